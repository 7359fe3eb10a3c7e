"""JSON of a client: bounded in parts and in depth before it is parsed, since parsing makes objects of it at once."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from serving.http.errors import RequestError


def check_parts(content: bytes, most: Mapping[bytes, int]) -> None:
    """Refuse JSON of more parts than expected; its depth is at most the braces and brackets allowed.

    Args:
        content: JSON in UTF-8.
        most: for structural characters, how many there may be, inside strings too.

    Raises:
        RequestError: 400, it has more.
    """
    for character, limit in most.items():
        if content.count(character) > limit:
            problem = f"the body is not JSON of this request: it has more than {limit} times {character.decode()!r}"
            raise RequestError(400, "bad_request", problem)


def parse_json(content: bytes) -> Any:
    """Parse JSON whose parts have been checked; 400 for what is none.

    By pydantic's parser: it holds the interpreter's lock for a third of the time of Python's own.
    """
    try:
        return from_json(content.removeprefix(codecs.BOM_UTF8))
    except ValueError as error:
        raise RequestError(400, "bad_request", f"the body is not JSON: {error}") from error
