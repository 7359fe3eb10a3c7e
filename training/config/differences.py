"""In what two settings differ, as text for a message."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

_SHOWN = 5
_SHOWN_CHARACTERS = 80


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Each value that differs, as it was and as it is, by its dotted path; a few of them.

    Args:
        before: nested objects.
        now: the same.
    """
    then, here = dict(_leaves(before)), dict(_leaves(now))
    names = [name for name in {**then, **here} if then.get(name) != here.get(name)]
    told = [f"{name} was {_told(then.get(name))}, now {_told(here.get(name))}" for name in names[:_SHOWN]]
    return told if len(names) <= _SHOWN else [*told, f"and {len(names) - _SHOWN} more"]


def _told(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:_SHOWN_CHARACTERS]


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The values in nested objects by their dotted paths; lists count as values."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, value
