"""JSON of a client: bounded in parts and in depth before it is parsed, since parsing makes objects of it at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from serving.http.errors import RequestError


def parse_json(content: bytes, most: Mapping[bytes, int]) -> Any:
    """Parse JSON that holds no more parts than expected; its depth is at most the braces and brackets allowed.

    Args:
        content: JSON in UTF-8.
        most: for structural characters, how many there may be, inside strings too.

    Raises:
        RequestError: 400, it is not JSON, or has more parts.
    """
    for character, limit in most.items():
        if content.count(character) > limit:
            problem = f"the body is not JSON of this request: it has more than {limit} times {character.decode()!r}"
            raise RequestError(400, "bad_request", problem)
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, "bad_request", "the body is not JSON") from error
