"""Scenarios after MLPerf Inference, and those that users also meet: each drives a running service its own way.

single_stream, multi_stream and offline are closed loops: they measure how fast one caller is answered, how fast eight
recordings at once, and how many a second when there is always another. server is an open loop: requests come when a
seeded Poisson process says, and wait no matter whose fault it is. The rest ask what becomes of bursts, of more than
there is room for, of hours, and of bytes that are no recording.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np

from serving.benchmark.driver.load_generator import Job
from serving.benchmark.driver.server_process import memory_watched
from serving.benchmark.driver.statistics import spread
from serving.benchmark.driver.target import Target
from serving.benchmark.driver.trace import OK, Trace, bursts, poisson
from serving.benchmark.scenarios.profile import BenchmarkProfile

SHARES = (0.25, 0.5, 0.75, 0.9)
"""Of the offline throughput: rates at which the server scenario is measured."""
OVERLOAD, SOAK = 1.5, 0.5
"""Of it: rates of the overload and the soak."""
TOGETHER = 8
"""Recordings of one query of multi_stream."""
IN_FLIGHT = 64
"""Requests in flight of the offline scenario."""
MOST_IN_FLIGHT = 24
"""Requests that the service is told to take under overload."""
_BURST, _BURST_EVERY_SEC = 32, 2.0
_BINS = 60

Figures = dict[str, Any]


def figures(trace: Trace, server_cpu_sec: float, offered: float | None = None) -> Figures:
    """What one run gave, ready for JSON; ``offered`` is the rate of an open loop in requests a second."""
    return {
        "offered_per_sec": offered,
        "clips_per_sec": trace.goodput,
        "requests": trace.requests,
        "error_share": trace.error_share,
        "shed": trace.shed,
        "failed": trace.failed,
        "latency_ms": trace.latency_ms(),
        "server_cpu_ms": 1000 * server_cpu_sec / max(1, trace.requests),
        "client_cores": trace.client_cores,
        "slip_p99_ms": trace.slip_ms,
        "void": trace.void,
        "max_abs_diff": trace.max_abs_diff,
    }


def summary(runs: Sequence[Figures], traces: Sequence[Trace]) -> Figures:
    """Repeats of one scenario as one: medians with their range, and what plots need."""
    latencies = [run["latency_ms"] for run in runs if run["latency_ms"]]
    offered = [run["offered_per_sec"] for run in runs if run["offered_per_sec"] is not None]
    numbers = ("clips_per_sec", "error_share", "server_cpu_ms", "client_cores", "slip_p99_ms")
    good = np.concatenate([1000 * trace.latency[trace.good] for trace in traces])
    return {
        "offered_per_sec": median(offered) if offered else None,
        **{key: spread([run[key] for run in runs]) for key in numbers},
        **{key: sum(run[key] for run in runs) for key in ("requests", "shed", "failed")},
        "latency_ms": {key: spread([each[key] for each in latencies]) for key in (latencies[0] if latencies else ())},
        "void": sum(run["void"] for run in runs),
        "max_abs_diff": max(run["max_abs_diff"] for run in runs),
        "cdf_ms": np.percentile(good, np.linspace(0, 100, 101)).tolist() if len(good) else [],
        "timeline": timeline(traces[-1]),
    }


def timeline(trace: Trace) -> list[list[float]]:
    """Seconds, median and highest latency in ms of the good queries due in each of a few slices of a run."""
    edges = np.linspace(0, max(float(trace.due[-1]), 1e-6), _BINS + 1)
    slices = np.clip(np.digitize(trace.due, edges) - 1, 0, _BINS - 1)
    slices = np.where(trace.good, slices, _BINS)  # what is refused at once would look fast
    latency = 1000 * trace.latency
    return [
        [float(edges[at]), float(np.median(latency[slices == at])), float(latency[slices == at].max())]
        for at in range(_BINS)
        if (slices == at).any()
    ]


def repeated(target: Target, jobs: Sequence[Job], rate: float | None = None) -> Figures:
    """Run jobs one after the other and sum them up."""
    traces, runs = [], []
    for job in jobs:
        trace, cpu = target.run(job)
        traces.append(trace)
        runs.append(figures(trace, cpu, rate))
    return summary(runs, traces)


def single_stream(target: Target, profile: BenchmarkProfile) -> Figures:
    """One request at a time."""
    return repeated(target, [Job(seconds=profile.seconds, first=seed) for seed in profile.seeds(1)])


def multi_stream(target: Target, profile: BenchmarkProfile) -> Figures:
    """Eight recordings at once; a query has its answer with the last of them."""
    return repeated(target, [Job(seconds=profile.seconds, together=TOGETHER, first=seed) for seed in profile.seeds(2)])


def offline(target: Target, profile: BenchmarkProfile) -> Figures:
    """Always another recording: as many as the service can, with the sizes of the batches that it formed."""
    before = target.server.histogram("emotions_batch_size")
    jobs = [Job(seconds=profile.seconds, streams=IN_FLIGHT, first=seed) for seed in profile.seeds(3)]
    measured = repeated(target, jobs)
    after = target.server.histogram("emotions_batch_size")
    return {**measured, "batch_sizes": batches(before, after)}


def batches(before: dict[float, float], after: dict[float, float]) -> dict[str, float]:
    """Runs of the model between two scrapes, by the upper edge of their size's bucket."""
    counts, below = {}, 0.0
    for edge in sorted(after):
        upto = after[edge] - before.get(edge, 0.0)
        counts[f"{edge:g}"], below = upto - below, upto
    return counts


def at_rate(
    target: Target, profile: BenchmarkProfile, rate: float, seeds: Sequence[int]
) -> tuple[Figures, list[Trace]]:
    """Poisson arrivals at a rate, a schedule of its own for each repeat."""
    traces, runs = [], []
    for seed in seeds:
        trace, cpu = target.run(Job(schedule=poisson(rate, profile.seconds, seed), first=seed))
        traces.append(trace)
        runs.append(figures(trace, cpu, rate))
    return summary(runs, traces), traces


def burst(target: Target, profile: BenchmarkProfile) -> Figures:
    """Thirty-two recordings at the same instant, every two seconds."""
    count = max(1, round(profile.seconds / _BURST_EVERY_SEC))
    jobs = [Job(schedule=bursts(_BURST, _BURST_EVERY_SEC, count), first=seed) for seed in profile.seeds(4)]
    return repeated(target, jobs)


def overload(target: Target, profile: BenchmarkProfile) -> Figures:
    """One and a half times what the service can: what it still answers, how fast it sheds, and its memory.

    The service is told to take ``MOST_IN_FLIGHT`` requests; its peak is that of a closed loop of as many, measured anew
    before each repeat: a machine that slows down does so for both.
    """
    target.run(Job(seconds=min(profile.seconds, 3), streams=MOST_IN_FLIGHT))
    before = target.server.histogram("emotions_reject_seconds")
    peaks, runs, traces = [], [], []
    with memory_watched(target.server) as memory:
        for seed in profile.seeds(5):
            peaks.append(target.run(Job(seconds=profile.seconds, streams=MOST_IN_FLIGHT))[0].goodput)
            rate = OVERLOAD * peaks[-1]
            trace, cpu = target.run(Job(schedule=poisson(rate, profile.seconds, seed), first=seed))
            traces.append(trace)
            runs.append(figures(trace, cpu, rate))
    after = target.server.histogram("emotions_reject_seconds")
    return {
        **summary(runs, traces),
        "peak_per_sec": median(peaks),
        "goodput_of_peak": median(trace.goodput / peak for trace, peak in zip(traces, peaks, strict=True)),
        "shed_p95_ms": 1000 * histogram_quantile(before, after, 0.95),
        "memory_growth": growth(memory),
    }


def soak(target: Target, profile: BenchmarkProfile, peak: float) -> Figures:
    """Half of what the service can, for long: whether it slows down, grows or loses anything."""
    long = replace(profile, seconds=profile.soak_times * profile.seconds, repeats=1)
    with memory_watched(target.server) as memory:
        measured, traces = at_rate(target, long, SOAK * peak, long.seeds(6))
    quarters = np.array_split(1000 * traces[0].latency, 4)
    return {
        **measured,
        "seconds": long.seconds,
        "p99_last_quarter_of_first": float(np.percentile(quarters[-1], 99) / np.percentile(quarters[0], 99)),
        "memory_growth": growth(memory),
    }


def bad_input(target: Target, profile: BenchmarkProfile, rate: float, bad: Sequence[bool]) -> Figures:
    """One request in four is no recording, at a quarter of what the service can.

    Args:
        target: sends good and bad requests in order.
        profile: of the run.
        rate: requests a second.
        bad: whether each request is a bad one, in the order in which they are sent.
    """
    record = target.client.run(Job(schedule=poisson(rate, profile.seconds, profile.seeds(7)[0])))
    queries = [(query, *query.replies[0]) for query in record.queries]
    good = [query.done - query.due for query, index, _ in queries if not bad[index]]
    answers = [reply.status for _, index, reply in queries if bad[index]]
    return {
        "offered_per_sec": rate,
        "requests": len(queries),
        "bad": len(answers),
        "bad_refused": sum(400 <= status < 500 for status in answers),
        "bad_not_refused": sum(not 400 <= status < 500 for status in answers),
        "good_lost": sum(reply.status != OK for _, index, reply in queries if not bad[index]),
        "good_p99_ms": 1000 * float(np.percentile(good or [0.0], 99)),
    }


def growth(memory: Sequence[int]) -> float:
    """How much more memory the last quarter of a run took than the second: 0.05 for 5 %."""
    quarter = max(1, len(memory) // 4)
    return float(np.median(memory[-quarter:]) / np.median(memory[quarter : 2 * quarter] or memory) - 1)


def histogram_quantile(before: dict[float, float], after: dict[float, float], share: float) -> float:
    """Upper edge of the bucket that holds a quantile of what came between two scrapes; 0 where nothing did."""
    counts = {edge: after[edge] - before.get(edge, 0.0) for edge in sorted(after)}
    total = max(counts.values(), default=0.0)
    return next((edge for edge, count in counts.items() if total and count >= share * total), 0.0)


SIMPLE: dict[str, Callable[[Target, BenchmarkProfile], Figures]] = {
    "single_stream": single_stream,
    "multi_stream": multi_stream,
    "offline": offline,
    "burst": burst,
}
"""Scenarios that need nothing but a service."""
