"""Sends fuzzed requests to a service on this machine, on several connections, and judges what comes back.

``python -m tests.security.fuzz.attack KIND PORT SEED FIRST COUNT FOLDER``, in a process of its own, so that it delays
nobody who measures; it prints a line of JSON. A request that fails is kept in the folder.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from random import Random
from threading import Lock
from typing import Any

from tests.security.fuzz.requests import BATCH, PREDICT, Request, json_request, recording_request

KINDS: dict[str, Callable[[Random], Request]] = {"bodies": recording_request, "json": json_request}
DOCUMENTED = {200, 400, 408, 413, 415, 422, 429, 503, 507}
"""Statuses of a request to a path that there is, by ``serving/http/errors.py``; no 500 and no 504."""
CONNECTIONS = 8
_TIMEOUT_SEC = 40
_MOST_KEPT = 50


@dataclass
class Seen:
    """What came back: statuses, the slowest answer, what is wrong."""

    statuses: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    faults: list[str] = field(default_factory=list)


def request_of(kind: str, seed: str, number: int) -> Request:
    """The request of a number: the same each time for the same seed.

    Args:
        kind: of ``KINDS``.
        seed: of the run.
        number: of the request.
    """
    return KINDS[kind](Random(f"{seed}:{kind}:{number}"))


def fault_of(path: str, status: int, content_type: str, body: bytes) -> str:
    """What is wrong with an answer; nothing, where it is as documented.

    Args:
        path: that was asked.
        status: of the answer.
        content_type: of the answer.
        body: of the answer.
    """
    if status not in DOCUMENTED:
        return f"status {status}: {body[:200]!r}"
    if not content_type.startswith("application/json"):
        return "" if status == 200 and content_type == "application/octet-stream" else f"an answer of {content_type!r}"
    try:
        answer = json.loads(body, parse_constant=_no_number)
    except ValueError as error:
        return f"an answer that is no JSON ({error})"
    if status != 200:
        wanted = {"code", "message"} if path.startswith("/v1/") else None
        said = answer.get("error")
        return "" if (isinstance(said, str) if wanted is None else set(said) == wanted) else f"an error {body[:200]!r}"
    found = answer.get("results") if path == BATCH else [answer] if path == PREDICT else []
    return "" if all(map(_is_prediction, found or ())) else f"probabilities that are none: {body[:300]!r}"


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} in JSON")


def _is_prediction(item: dict[str, Any]) -> bool:
    if "error" in item:
        return item["error"]["code"] != "internal"
    return all(math.isclose(sum(each.values()), 1, abs_tol=1e-3) for each in item["probabilities"].values())


class Client:
    """One connection that is kept, and opened anew where the service closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: socket.socket | None = None

    def ask(self, content: bytes) -> tuple[int, str, bytes] | None:
        """Status, media type and body of the answer; None where the connection was closed twice without one."""
        for _ in range(2):
            with contextlib.suppress(OSError, HTTPException):
                return self._asked(content)
            self.close()
        return None

    def _asked(self, content: bytes) -> tuple[int, str, bytes]:
        if self._connection is None:
            self._connection = socket.create_connection(("127.0.0.1", self._port), timeout=_TIMEOUT_SEC)
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused early: the answer is there
            self._connection.sendall(content)
        response = HTTPResponse(self._connection, method="POST")
        response.begin()
        found = response.status, response.getheader("content-type", ""), response.read()
        if response.will_close:
            self.close()
        return found

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def attack(kind: str, port: int, seed: str, numbers: Sequence[int], folder: Path) -> Seen:
    """Send the requests of some numbers; those that fail are kept in ``folder`` as ``kind-seed-number.http``.

    Args:
        kind: of ``KINDS``.
        port: of the service.
        seed: of the run.
        numbers: of the requests.
        folder: is made when there is something to keep.
    """
    seen, lock, following = Seen(), Lock(), iter(numbers)

    def send(_: int) -> None:
        client = Client(port)
        while True:
            with lock:
                number = next(following, None)
            if number is None:
                break
            request = request_of(kind, seed, number)
            started = time.monotonic()
            answer = client.ask(request.raw())
            fault = "no answer" if answer is None else fault_of(request.path, *answer)
            with lock:
                seen.slowest = max(seen.slowest, time.monotonic() - started)
                seen.statuses["none" if answer is None else str(answer[0])] += 1
                if fault:
                    seen.faults.append(f"{kind}-{seed}-{number}: {fault}")
                    _keep(folder, f"{kind}-{seed}-{number}.http", request.raw(), len(seen.faults))
        client.close()

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(send, range(CONNECTIONS)))
    return seen


def _keep(folder: Path, name: str, content: bytes, count: int) -> None:
    if count <= _MOST_KEPT:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def main(arguments: Sequence[str]) -> None:
    """Attack, and print what was seen."""
    kind, port, seed, first, count, folder = arguments
    numbers = range(int(first), int(first) + int(count))
    seen = attack(kind, int(port), seed, numbers, Path(folder))
    faults = list(itertools.islice(seen.faults, _MOST_KEPT))
    print(json.dumps({"statuses": seen.statuses, "slowest": seen.slowest, "faults": faults}))


if __name__ == "__main__":
    main(sys.argv[1:])
