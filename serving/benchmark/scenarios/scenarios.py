"""Scenarios after MLPerf Inference, and those that users also meet: each drives a running service its own way.

single_stream, multi_stream and offline are closed loops: they measure how fast one caller is answered, how fast eight
recordings at once, and how many a second when there is always another. The others are open loops: requests come when
a schedule says, and wait no matter whose fault it is.
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
from serving.benchmark.driver.trace import OK, QUANTILES, Trace, bursts, poisson
from serving.benchmark.scenarios.profile import BenchmarkProfile

SHARES = (0.25, 0.5, 0.75, 0.9)
"""Of the offline throughput: rates at which the server scenario is measured."""
_OVERLOAD, _SOAK = 1.5, 0.5
"""Of it: rates of the overload and the soak."""
_TOGETHER = 8
"""Recordings of one query of multi_stream."""
IN_FLIGHT = 64
"""Requests in flight of the offline scenario."""
MOST_IN_FLIGHT = 24
"""Requests that the service takes at once under overload."""
_BURST, _BURST_EVERY_SEC = 32, 2.0
_BINS = 60
"""Slices of a time line."""

Figures = dict[str, Any]
Run = tuple[Trace, float]
"""One repeat of a scenario, and the CPU seconds that the service took."""


def _summary(runs: Sequence[Run], offered: float | None = None) -> Figures:
    """Repeats of one scenario as one: medians with their range, sums, and what plots need; ready for JSON."""
    traces = [trace for trace, _ in runs]
    latencies = [found for trace in traces if (found := trace.latency_ms())]
    good_ms = np.concatenate([1000 * trace.latency[trace.good] for trace in traces])
    return {
        "offered_per_sec": offered,
        "clips_per_sec": spread([trace.goodput for trace in traces]),
        "error_share": spread([trace.error_share for trace in traces]),
        "server_cpu_ms": spread([1000 * cpu_sec / max(1, trace.requests) for trace, cpu_sec in runs]),
        "client_cores": spread([trace.client_cores for trace in traces]),
        "slip_p99_ms": spread([trace.slip_ms for trace in traces]),
        "requests": sum(trace.requests for trace in traces),
        "shed": sum(trace.shed for trace in traces),
        "failed": sum(trace.failed for trace in traces),
        "latency_ms": {key: spread([each[key] for each in latencies]) for key in QUANTILES if latencies},
        "void": sum(trace.void for trace in traces),
        "max_abs_diff": max(trace.max_abs_diff for trace in traces),
        "cdf_ms": np.percentile(good_ms, np.linspace(0, 100, 101)).tolist() if len(good_ms) else [],
        "timeline": _timeline(traces[-1]),
    }


def _timeline(trace: Trace) -> list[list[float]]:
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


def _single_stream(target: Target, profile: BenchmarkProfile) -> Figures:
    """One request at a time."""
    return _repeated(target, profile, 1, Job(seconds=profile.seconds))


def _multi_stream(target: Target, profile: BenchmarkProfile) -> Figures:
    """Eight recordings at once; a query has its answer with the last of them."""
    return _repeated(target, profile, 2, Job(seconds=profile.seconds, together=_TOGETHER))


def _offline(target: Target, profile: BenchmarkProfile) -> Figures:
    """Always another recording: as many as the service can, with the sizes of the batches that it formed."""
    before = target.server.histogram("emotions_batch_size")
    measured = _repeated(target, profile, 3, Job(seconds=profile.seconds, streams=IN_FLIGHT))
    return {**measured, "batch_sizes": batches(before, target.server.histogram("emotions_batch_size"))}


def _burst(target: Target, profile: BenchmarkProfile) -> Figures:
    """Thirty-two recordings at the same instant, every two seconds."""
    count = max(1, round(profile.seconds / _BURST_EVERY_SEC))
    return _repeated(target, profile, 4, Job(schedule=bursts(_BURST, _BURST_EVERY_SEC, count)))


def _repeated(target: Target, profile: BenchmarkProfile, scenario: int, job: Job) -> Figures:
    """A job once for each seed, which says with which recording it begins."""
    return _summary([target.run(replace(job, first=seed)) for seed in profile.seeds(scenario)])


def batches(before: dict[float, float], after: dict[float, float]) -> dict[str, float]:
    """What came between two scrapes of a histogram: upper edge of a bucket -> runs in it.

    Args:
        before: cumulative counts of the first scrape, by the upper edge of the bucket.
        after: those of the second.
    """
    counts, below = {}, 0.0
    for edge in sorted(after):
        upto = after[edge] - before.get(edge, 0.0)
        counts[f"{edge:g}"], below = upto - below, upto
    return counts


def server(target: Target, profile: BenchmarkProfile, peak: float) -> Figures:
    """Poisson arrivals at shares of the offline throughput, with a schedule of its own for each repeat.

    Args:
        target: the service.
        profile: length and repeats.
        peak: offline throughput, in requests a second.
    """
    rates = []
    for number, rate in enumerate(share * peak for share in SHARES):
        runs = [_at_rate(target, profile.seconds, rate, seed + number) for seed in profile.seeds(8)]
        rates.append(_summary(runs, rate))
    return {"rates": rates}


def _at_rate(target: Target, seconds: float, rate: float, seed: int) -> Run:
    return target.run(Job(schedule=poisson(rate, seconds, seed), first=seed))


def overload(target: Target, profile: BenchmarkProfile) -> Figures:
    """One and a half times what the service can: what it still answers, how fast it sheds, and its memory.

    Its peak is measured anew before each repeat: a machine that slows down does so for both.

    Args:
        target: a service that takes ``MOST_IN_FLIGHT`` requests at once.
        profile: length and repeats.
    """
    target.run(Job(seconds=min(profile.seconds, 3), streams=MOST_IN_FLIGHT))  # warms up
    before = target.server.histogram("emotions_reject_seconds")
    peaks, runs = list[float](), list[Run]()
    with memory_watched(target.server) as memory:
        for seed in profile.seeds(5):
            peaks.append(target.run(Job(seconds=profile.seconds, streams=MOST_IN_FLIGHT))[0].goodput)
            runs.append(_at_rate(target, profile.seconds, _OVERLOAD * peaks[-1], seed))
    after = target.server.histogram("emotions_reject_seconds")
    return {
        **_summary(runs, _OVERLOAD * median(peaks)),
        "peak_per_sec": median(peaks),
        "goodput_of_peak": median(trace.goodput / peak for (trace, _), peak in zip(runs, peaks, strict=True)),
        "shed_p95_ms": 1000 * histogram_quantile(before, after, 0.95),
        "memory_growth": growth(memory),
    }


def soak(target: Target, profile: BenchmarkProfile, peak: float) -> Figures:
    """Half of what the service can, for long: does it slow down, grow or lose anything? Arguments as ``server``."""
    rate, seconds = _SOAK * peak, profile.soak_times * profile.seconds
    with memory_watched(target.server) as memory:
        run = _at_rate(target, seconds, rate, profile.seeds(6)[0])
    quarters = np.array_split(1000 * run[0].latency, 4)
    return {
        **_summary([run], rate),
        "seconds": seconds,
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
    """Upper edge of the bucket of a quantile of what came between two scrapes; 0 where nothing came.

    Args:
        before: as for ``batches``.
        after: as for ``batches``.
        share: 0.95 for the 95th percentile.
    """
    counts = {edge: after[edge] - before.get(edge, 0.0) for edge in sorted(after)}
    total = max(counts.values(), default=0.0)
    return next((edge for edge, count in counts.items() if total and count >= share * total), 0.0)


SIMPLE: dict[str, Callable[[Target, BenchmarkProfile], Figures]] = {
    "single_stream": _single_stream,
    "multi_stream": _multi_stream,
    "offline": _offline,
    "burst": _burst,
}
"""Scenarios that need nothing but a service."""
