"""What a pipeline file leaves open until it is run: overrides (``--set``) and placeholders (``$$ROOT_DIR$$``)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel

from emotions.errors import ConfigError, Fault
from emotions.files.json_text import parse_json
from emotions.pipeline.validation import json_path, unknown

T = TypeVar("T")

PLACEHOLDERS = ("ROOT_DIR", "MODEL_NAME", "DATETIME")
_PLACEHOLDER = re.compile(r"\$\$(\w+)\$\$")
_MAX_INDEX_DIGITS = 9  # no list is longer, and int() raises at thousands of digits


def override(document: Any, overrides: Sequence[str]) -> Any:
    """Apply ``path=value`` overrides, in order, to a copy of a document.

    A path is dotted, list items by their index: ``pipeline.0.learn_params.max_epoch=3``. A value is JSON, else a
    string. Missing parents are made.

    Args:
        document: the parsed JSON.
        overrides: ``path=value`` texts; ConfigError where one does not fit the document.
    """
    for text in overrides:
        path, equals, value = text.partition("=")
        keys = path.split(".")
        if not equals or not all(keys):
            raise ConfigError(f"--set {text}: must read path=value, such as pipeline.0.learn_params.max_epoch=3")
        document = _with(document, keys, _parsed(value, f"--set {path}"), f"--set {path}")
    return document


def _parsed(text: str, where: str) -> Any:
    try:
        return parse_json(text, where)
    except ConfigError as error:
        if isinstance(error.__cause__, json.JSONDecodeError):
            return text
        raise


def _with(document: Any, keys: Sequence[str], value: Any, where: str) -> Any:
    """A copy of ``document`` in which ``keys`` lead to ``value``."""
    if not keys:
        return value
    key, *rest = keys
    if isinstance(document, dict):
        return {**document, key: _with(document.get(key, {}), rest, value, where)}
    if isinstance(document, list):
        index = _index(key, document, where)
        return [*document[:index], _with(document[index], rest, value, where), *document[index + 1 :]]
    raise ConfigError(
        f"{where}: {key!r} would lie inside {json.dumps(document)}, which is neither an object nor a list"
    )


def _index(key: str, items: list[Any], where: str) -> int:
    if not re.fullmatch(f"[0-9]{{1,{_MAX_INDEX_DIGITS}}}", key) or int(key) >= len(items):
        have = f"0 to {len(items) - 1}" if items else "none, it is empty"
        raise ConfigError(f"{where}: {key!r} is no index of this list; its indices: {have}")
    return int(key)


def replace(value: T, names: Mapping[str, str]) -> T:
    """Replace placeholders in every string of a JSON value, or of a validated model, once each.

    Args:
        value: a JSON value or a pydantic model; models are copied, not validated anew.
        names: what stands for each placeholder, by its name without the dollars; others are left as they are.
    """
    new: Any = value
    if isinstance(value, str):
        new = _PLACEHOLDER.sub(lambda match: names.get(match[1], match[0]), value)
    elif isinstance(value, dict):
        new = {key: replace(item, names) for key, item in value.items()}
    elif isinstance(value, list):
        new = [replace(item, names) for item in value]
    elif isinstance(value, BaseModel):
        changed = {key: after for key, item in value if (after := replace(item, names)) != item}
        new = value.model_copy(update=changed) if changed else value
    return new  # type: ignore[no-any-return]


def left_over(value: Any, prefix: str) -> list[Fault]:
    """Find placeholders that were not replaced: misspelt ones, and the model's where a step has none.

    Args:
        value: a JSON value.
        prefix: its JSON path in the file.
    """
    return [fault for path, text in _strings(value, ()) for fault in _left_in(text, json_path(prefix, path))]


def _left_in(text: str, where: str) -> Iterator[Fault]:
    for name in _PLACEHOLDER.findall(text):
        if name == "MODEL_NAME":
            yield Fault(where, "$$MODEL_NAME$$", "stands for the step's model, and this step has none")
        else:
            yield Fault(where, f"unknown placeholder $${name}$$", unknown(name, PLACEHOLDERS))


def _strings(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _strings(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _strings(item, (*path, index))
