"""MLPerf's LoadGen as a driver of the same service, to see that ours agrees with it.

Optional: ``pip install 'emotions-toolkit[loadgen]'``. Both send the same recordings in the same order, in the server
scenario at the same instants: those that LoadGen draws. What LoadGen says is what its own log says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from statistics import median
from typing import Literal

import numpy as np

from emotions.errors import EmotionsError
from serving.benchmark.client import Client, Job, Record
from serving.benchmark.extent import Extent
from serving.benchmark.load import Target
from serving.benchmark.scenarios import IN_FLIGHT, Figures
from serving.benchmark.trace import OK, to_trace

MODULE = "mlperf_loadgen"
SHARE = 0.5
"""Of the offline throughput: the rate of both in the server scenario."""
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
_SHARE_OF_TIME = {"single_stream": 0.5, "server": 1.0, "offline": 0.5}
"""Seconds of a run of each scenario, to those of the others of a benchmark: tails under load need the most."""

Kind = Literal["single_stream", "server", "offline"]
Measured = dict[str, float]


@dataclass(frozen=True)
class Load:
    """What both drivers are to offer.

    Attributes:
        kind: of MLPerf's scenarios: one request at a time, Poisson arrivals, or ``IN_FLIGHT`` at any time.
        seconds: how long; offline for as many requests as ``rate`` makes of it.
        rate: requests a second of the server scenario; what offline is expected to reach.
        seed: of the arrivals, from 0.
    """

    kind: Kind
    seconds: float
    rate: float
    seed: int = 0

    @property
    def requests(self) -> int:
        """How many requests the offline scenario sends."""
        return max(1, round(self.rate * self.seconds))

    def job(self) -> Job:
        """The same for our driver."""
        if self.kind == "single_stream":
            return Job(seconds=self.seconds)
        if self.kind == "offline":
            return Job(count=self.requests, streams=IN_FLIGHT)
        return Job(schedule=arrivals(self.rate, self.seconds, self.seed))


def arrivals(rate: float, seconds: float, seed: int) -> tuple[float, ...]:
    """When LoadGen issues the queries of its server scenario: seconds, sorted, the first at 0.

    It draws gaps with ``std::exponential_distribution`` from ``std::mt19937``, two words for each, in nanoseconds, and
    stops with the first arrival at or after ``seconds``.
    """
    source, times = np.random.RandomState(seed), [0.0]
    while times[-1] < seconds:
        low, high = source.randint(0, 1 << 32, 2, np.uint32).tolist()
        gap = -np.log1p(-(low + high * 2.0**32) / 2.0**64) / rate
        times.append(times[-1] + int(1e9 * gap) / 1e9)
    return tuple(times)


def agreement(target: Target, extent: Extent, peak: float, requests: Sequence[bytes]) -> Figures:
    """What both drivers measure of a service in three scenarios, and the ratios; ``not_run`` with the reason if none.

    Args:
        target: the service.
        extent: how long and how often.
        peak: its offline throughput in requests a second.
        requests: what LoadGen sends: those of the target's client.
    """
    if find_spec(MODULE) is None:
        return {"not_run": "mlcommons-loadgen is not installed; pip install 'emotions-toolkit[loadgen]'"}
    rates: dict[Kind, float] = {"single_stream": peak, "server": SHARE * peak, "offline": peak}
    told: Figures = {"offered_per_sec": SHARE * peak, "ours_to_loadgen": {}, "ours_to_ours": {}, "scenarios": {}}
    for kind, rate in rates.items():
        load = Load(kind, _SHARE_OF_TIME[kind] * extent.seconds, rate)
        try:
            measured = compare(load, extent.seeds(9), target.client, target.server.port, requests)
        except EmotionsError as error:
            return {"not_run": str(error)}
        told["scenarios"][kind] = measured
        for ratios in ("ours_to_loadgen", "ours_to_ours"):
            told[ratios] |= {f"{kind} {name}": ratio for name, ratio in measured[ratios].items()}
    return told


def compare(load: Load, seeds: Sequence[int], client: Client, port: int, requests: Sequence[bytes]) -> Figures:
    """Measure with ours, LoadGen, and ours again, for each seed.

    Returns:
        ``ours``, ``loadgen`` and ``again``: a list of figures each, and medians of their ratios within a repeat:
        ``ours_to_loadgen``, both of ours to LoadGen's between them, and ``ours_to_ours``: what chance alone makes of it.

    Raises:
        EmotionsError: a request was not answered.
    """
    from serving.benchmark.loadgen_driver import loadgen

    runs: dict[str, list[Measured]] = {"ours": [], "loadgen": [], "again": []}
    sides: Mapping[str, Callable[[Load], Measured]] = {
        "ours": lambda load: ours(load, client),
        "loadgen": lambda load: loadgen(load, port, requests),
        "again": lambda load: ours(load, client),
    }
    for seed in seeds:
        for side, measure in sides.items():
            runs[side].append(measure(replace(load, seed=seed)))
    return {**runs, **ratios(runs["ours"], runs["loadgen"], runs["again"])}


def ratios(first: Sequence[Measured], theirs: Sequence[Measured], again: Sequence[Measured]) -> dict[str, Measured]:
    """Medians over repeats of the ratios of each figure that is no count."""
    names = [name for name in theirs[0] if name != "requests"]
    between = {
        name: median((a[name] + c[name]) / 2 / b[name] for a, b, c in zip(first, theirs, again, strict=True))
        for name in names
    }
    itself = {name: median(a[name] / c[name] for a, c in zip(first, again, strict=True)) for name in names}
    return {"ours_to_loadgen": between, "ours_to_ours": itself}


def ours(load: Load, client: Client) -> Measured:
    """What our driver measures.

    Raises:
        EmotionsError: a request was not answered.
    """
    record = client.run(load.job())
    trace = to_trace(record)
    if trace.statuses[OK] < trace.requests:
        raise EmotionsError(f"the service did not answer {trace.requests - trace.statuses[OK]} of our requests")
    if load.kind == "offline":
        return {"requests": trace.requests, "clips_per_sec": trace.goodput}
    return {"requests": trace.requests, **_quantiles(record)}


def _quantiles(record: Record) -> Measured:
    """Of the latencies in ms, as LoadGen picks them: without interpolation, which a short run's tail would show."""
    latencies = sorted(1000 * (query.done - query.due) for query in record.queries)
    return {name: latencies[int(len(latencies) * share)] for name, share in QUANTILES.items()}
