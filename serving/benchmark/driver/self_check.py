"""What the harness itself costs: measured against a fake service of known delay, and printed in every report.

``python -m serving.benchmark.driver.self_check --busy 3`` measures it alone, and beside processes that keep
every core busy.
"""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from serving.benchmark.driver.fake_server import fake_service
from serving.benchmark.driver.load_generator import Client, Job
from serving.benchmark.driver.target import OURS
from serving.benchmark.driver.trace import Trace, poisson, to_trace

RATE = 200.0
"""Requests a second at which the harness's own cost is measured."""
MOST_CORES = 0.25
"""Of a core that it may take there."""
DELAY_SEC = 0.02
_UPLOAD_BYTES = 96_000
"""Three seconds of 16 bits at 16 kHz."""


def open_loop(seconds: float, seed: int = 0, rate: float = RATE, stall: tuple[float, float] | None = None) -> Trace:
    """Drive the fake service at a rate; ``stall``: after how many seconds it stops answering, and for how many."""
    return _driven(Job(schedule=poisson(rate, seconds, seed)), stall)


def closed_loop(seconds: float, stall: tuple[float, float] | None = None) -> Trace:
    """Drive the fake service one request after the other."""
    return _driven(Job(seconds=seconds), stall)


def _driven(job: Job, stall: tuple[float, float] | None) -> Trace:
    with fake_service(DELAY_SEC) as fake, Client(fake.port, [OURS.request(bytes(_UPLOAD_BYTES))]) as client:
        client.run(Job(count=1))
        if stall:
            fake.stall(*stall)
        return to_trace(client.run(job))


def own_cost(seconds: float, rate: float = RATE) -> dict[str, Any]:
    """Cores and slip of the client at a rate, and how well it measures a known delay."""
    trace = open_loop(seconds, rate=rate)
    return {
        "rate_per_sec": rate,
        "client_cores": trace.client_cores,
        "slip_p99_ms": trace.slip_ms,
        "delay_ms": 1000 * DELAY_SEC,
        "measured_p50_ms": trace.latency_ms().get("p50"),
        "within_limits": trace.client_cores <= MOST_CORES and not trace.void,
    }


@contextlib.contextmanager
def busy(processes: int) -> Iterator[None]:
    """As many processes that never wait, at the usual priority, until the block ends."""
    context = multiprocessing.get_context("spawn")
    busy_processes = [context.Process(target=_spin, daemon=True) for _ in range(processes)]
    for process in busy_processes:
        process.start()
    try:
        yield
    finally:
        for process in busy_processes:
            process.kill()
            process.join()


def _spin() -> None:
    while True:
        pass


def main(
    rate: Annotated[float, typer.Option(min=1, help="Requests a second.")] = RATE,
    seconds: Annotated[float, typer.Option(min=1, help="Seconds of a run.")] = 5.0,
    processes: Annotated[int, typer.Option("--busy", min=0, help="Processes that keep the cores busy.")] = 0,
) -> None:
    """Print what the client costs, by how much it misses its schedule, and what it makes of a known delay."""
    with busy(processes):
        cost = own_cost(seconds, rate)
    typer.echo("\n".join(f"{name} {value}" for name, value in cost.items()))


if __name__ == "__main__":
    typer.run(main)
