"""Faults: what pydantic found wrong in a document, in the words of the person who wrote it."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from emotions.errors import Fault
from emotions.pipeline.schema import Schema, known_keys

Path = tuple[str | int, ...]

_MAX_SHOWN = 60
_WORDS = (
    (r"^Value error, ", ""),
    (r"^Field required$", "must be given"),
    (r"^Input should be a valid (dictionary|dictionary or .*|.*instance of .*)$", "must be an object"),
    (r"^Input should be a valid (integer)", r"must be an \1"),
    (r"^Input should be a valid (boolean)", "must be true or false"),
    (r"^Input should be a valid ", "must be a "),
    (r"^Input should be a dictionary.*$", "must be an object"),
    (r"^Input should be ", "must be "),
    (r"^List should have at least 1 item.*$", "must not be empty"),
    (r"^String should have at least 1 character$", "must not be empty"),
)


@dataclass(frozen=True)
class _Finding:
    path: Path
    is_type: bool
    found: str
    remedy: str


def faults_of(error: ValidationError, document: Any, prefix: str, schema: Schema) -> list[Fault]:
    """Turn pydantic's errors into faults, one a place.

    Args:
        error: what pydantic raised about ``document``.
        document: the parsed JSON that was checked.
        prefix: JSON path of ``document`` in its file, such as ``pipeline[0]``, or "".
        schema: JSON Schema of ``document``, for the keys that are known.
    """
    findings = [_finding(dict(detail), document, schema) for detail in error.errors(include_url=False)]
    kept = [each for each in findings if not (each.is_type and any(_is_below(other, each) for other in findings))]
    places: dict[Path, list[_Finding]] = {}
    for each in kept:
        places.setdefault(each.path, []).append(each)
    return [Fault(json_path(prefix, path), some[0].found, _joined(some)) for path, some in places.items()]


def json_path(prefix: str, path: Sequence[str | int]) -> str:
    """Write a path as ``pipeline[0].learn_params.batch_size``; keys that are no plain words are quoted.

    Args:
        prefix: JSON path that it starts from, or "".
        path: keys and indices.
    """
    text = prefix
    for key in (each if isinstance(each, int) else _cut(each) for each in path):
        if isinstance(key, int):
            text += f"[{key}]"
        elif re.fullmatch(r"[\w$-]+", key):
            text += f".{key}" if text else key
        else:
            text += f"[{json.dumps(key, ensure_ascii=False)}]"
    return text or "the file"


def shown(value: Any) -> str:
    """A value of a document as a fault quotes it: short, on one line."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list):
        return "a list"
    return _cut(json.dumps(value, ensure_ascii=False))


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"


def _did_you_mean(name: str, known: Sequence[str]) -> str:
    """``did you mean 'x'? `` for the known name nearest to a wrong one, or "" where none is near."""
    near = difflib.get_close_matches(name, known, 1)
    return f"did you mean {near[0]!r}? " if near else ""


def unknown(name: str, known: Sequence[str]) -> str:
    """The remedy for an unknown name.

    Args:
        name: what was found.
        known: the names that are allowed.
    """
    return f"{_did_you_mean(name, known)}allowed: {', '.join(known)}"


def _finding(detail: dict[str, Any], document: Any, schema: Schema) -> _Finding:
    kind, path = detail["type"], _located(detail["loc"], document)
    if kind == "extra_forbidden":
        return _Finding(path, False, "unknown key", unknown(str(path[-1]), known_keys(schema, document, path[:-1])))
    if kind == "missing":
        return _Finding((*path, detail["loc"][-1]), False, "missing", "must be given")
    of_block = kind == "value_error" and isinstance(detail["input"], Mapping)
    found = "" if of_block else shown(detail["input"])
    return _Finding(path, kind.endswith(("_type", "union_tag_invalid")), found, _remedy(detail))


def _located(loc: Sequence[str | int], document: Any) -> Path:
    """The part of pydantic's location that leads through the document; it also holds the names of union members."""
    path: list[str | int] = []
    for key in loc:
        inside = isinstance(document, Mapping) and key in document
        if inside or (isinstance(document, list) and isinstance(key, int) and key < len(document)):
            document = document[key]
            path.append(key)
    return tuple(path)


def _remedy(detail: dict[str, Any]) -> str:
    text = str(detail["msg"])
    for pattern, words in _WORDS:
        text = re.sub(pattern, words, text)
    text = text[:1].lower() + text[1:]
    if detail["type"] == "literal_error" and isinstance(detail["input"], str):
        text = _did_you_mean(detail["input"], re.findall("'([^']*)'", detail["ctx"]["expected"])) + text
    return text


def _is_below(one: _Finding, other: _Finding) -> bool:
    return len(one.path) > len(other.path) and one.path[: len(other.path)] == other.path


def _joined(findings: Sequence[_Finding]) -> str:
    """The remedies of a union's members as one sentence."""
    first, *rest = dict.fromkeys(each.remedy for each in findings)
    return " or ".join([first, *(remedy.removeprefix("must be ") for remedy in rest)])
