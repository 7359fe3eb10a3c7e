"""Strict JSON: bounded, of one meaning, written atomically."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from emotions.errors import ConfigError
from emotions.files.atomic import write_bytes
from emotions.files.content import open_regular

_MAX_DEPTH = 100


def read_json(path: Path, max_bytes: int | None = None) -> Any:
    """Parse a UTF-8 JSON file.

    Args:
        path: the file.
        max_bytes: most bytes that it may have; None for any number.

    Raises:
        ConfigError: it is missing, too large, no regular file or no JSON, is nested too deep, repeats a key, or holds
            NaN or Infinity.
    """
    try:
        with open_regular(path) as stream:
            data = stream.read(-1 if max_bytes is None else max_bytes + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text") from error
    if max_bytes is not None and len(data) > max_bytes:
        raise ConfigError(f"{path}: has more than {max_bytes:,} bytes")
    return parse_json(text, str(path))


def parse_json(text: str, name: str) -> Any:
    """Parse JSON text. Raises as ``read_json``.

    Args:
        text: the JSON.
        name: where it came from, for messages.
    """
    try:
        value = json.loads(text, object_pairs_hook=_no_repeated_keys, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{name}:{error.lineno}:{error.colno}: is not JSON ({error.msg})") from error
    except RecursionError as error:
        raise ConfigError(f"{name}: is nested too deep") from error
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from error
    if _deeper(value, _MAX_DEPTH):
        raise ConfigError(f"{name}: is nested too deep")
    return value


def _deeper(value: Any, most: int) -> bool:
    """Whether there are containers within containers at more than ``most`` levels: our own code recurses into them."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(most):
        inner = (items.values() if isinstance(items, dict) else items for items in level)
        level = [item for items in inner for item in items if item and isinstance(item, (dict, list))]
    return bool(level)


def _no_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    items: dict[str, Any] = {}
    for key, value in pairs:
        if key in items:
            raise ValueError(f"the key {key!r} stands twice in one object")
        items[key] = value
    return items


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a JSON number")


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically: UTF-8, indented, keys in the order given, no NaN. Args as ``write_bytes``."""
    write_bytes(path, (json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n").encode())
