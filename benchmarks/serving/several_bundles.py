"""One service with several bundles, beside a service for each: memory, and recordings a second.

Both answer the same load, in turn: as many clients as bundles, each with the same requests in flight for its own. The
services that do not answer stay started, and do nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from serving.benchmark.driver.load_generator import Client, Job, Record
from serving.benchmark.driver.server_process import Server, running
from serving.benchmark.driver.target import OURS

ROUNDS = 5
IN_FLIGHT = 4
"""Requests in flight for each bundle."""


def measure(
    bundles: Sequence[Path], recordings: Sequence[Path], seconds: float, rounds: int = ROUNDS
) -> dict[str, Any]:
    """Memory and recordings a second of one service and of several.

    Args:
        bundles: what is served.
        recordings: what is sent.
        seconds: of a round.
        rounds: of each, in turn.

    Returns:
        Of ``one`` and ``several``: MiB (proportional set size, so that shared pages count once), recordings a second in
        each round, milliseconds of CPU a recording; and the ratios, one to several.
    """
    names = [f"b{number}" for number in range(len(bundles))]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        named = ",".join(f"{name}={path.resolve()}" for name, path in zip(names, bundles, strict=True))
        settings = {"EMOTIONS_DEVICE": "cpu"}
        one = stack.enter_context(running({**settings, "EMOTIONS_BUNDLES": named}, folder / "one.log"))
        several = [
            stack.enter_context(running({**settings, "EMOTIONS_BUNDLE": str(path.resolve())}, folder / f"{name}.log"))
            for name, path in zip(names, bundles, strict=True)
        ]
        paths = [f"/v1/models/{name}/predict" for name in names]
        sides = {
            "one": [stack.enter_context(_client(one, path, recordings)) for path in paths],
            "several": [stack.enter_context(_client(each, OURS.path, recordings)) for each in several],
        }
        rates: dict[str, list[float]] = {side: [] for side in sides}
        for clients in sides.values():
            _rate(clients, seconds / 2)  # warm
        servers = {"one": [one], "several": several}
        before = {side: _cpu_sec(servers[side]) for side in sides}
        for number in range(rounds):
            for side in sorted(sides, reverse=bool(number % 2)):
                rates[side].append(_rate(sides[side], seconds))
        used = {side: _cpu_sec(servers[side]) - before[side] for side in sides}
        cpu = {side: 1000 * used[side] / (sum(rates[side]) * seconds) for side in sides}
        memory = {"one": _mib([one]), "several": _mib(several)}
    return {
        **{
            side: {
                "mib": memory[side],
                "recordings_a_second": [round(each, 1) for each in rates[side]],
                "cpu_ms_a_recording": round(cpu[side], 2),
            }
            for side in sides
        },
        "memory_ratio": round(memory["one"] / memory["several"], 3),
        "speed_ratio": round(median(rates["one"]) / median(rates["several"]), 3),
        "cpu_ratio": round(cpu["one"] / cpu["several"], 3),
    }


def _client(server: Server, path: str, recordings: Sequence[Path]) -> Client:
    api = replace(OURS, path=path)
    return Client(server.port, [api.request(file.read_bytes()) for file in recordings])


def _rate(clients: Sequence[Client], seconds: float) -> float:
    """Recordings a second of all clients at once; RuntimeError where one was not answered."""

    def run(client: Client) -> Record:
        return client.run(Job(streams=IN_FLIGHT, seconds=seconds))

    with ThreadPoolExecutor(len(clients)) as threads:
        records = [*threads.map(run, clients)]
    replies = [reply.status for record in records for query in record.queries for _, reply in query.replies]
    if lost := [status for status in replies if status != 200]:
        raise RuntimeError(f"{len(lost)} of {len(replies)} requests were not answered: {lost[:5]}")
    return float(len(replies) / max(record.wall_sec for record in records))


def _cpu_sec(servers: Sequence[Server]) -> float:
    return float(sum(server.cpu_sec() for server in servers))


def _mib(servers: Sequence[Server]) -> float:
    """MiB of servers and their workers."""
    parents = [psutil.Process(server.process.pid) for server in servers]
    processes = [each for parent in parents for each in (parent, *parent.children(recursive=True))]
    return float(round(sum(each.memory_full_info().pss for each in processes) / (1 << 20), 1))
