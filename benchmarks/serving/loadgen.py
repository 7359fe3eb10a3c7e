"""MLPerf's LoadGen as a driver of the same service, to see that ours agrees with it.

Optional: ``pip install 'emotions-toolkit[loadgen]'``. Both send the same recordings in the same order, in the server
scenario at the same instants: those that LoadGen draws. They take turns every second or two, so that a machine that
drifts drifts for both, and are compared round by round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from statistics import median

from benchmarks.serving.loadgen_process import Kind, Latencies, Load
from emotions.errors import EmotionsError
from serving.benchmark.driver.load_generator import Client, Job
from serving.benchmark.driver.trace import OK
from serving.benchmark.scenarios.profile import BenchmarkProfile
from serving.benchmark.scenarios.scenarios import Figures

MODULE = "mlperf_loadgen"
SHARE = 0.25
"""Of the offline throughput: the rate of the server scenario. Nearer to the peak, queues make much of small noise."""
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
_FEWEST_TURNS = 2

TURN_SEC: dict[Kind, float] = {"single_stream": 1.0, "server": 2.0, "offline": 1.0}
"""Seconds of one turn of a driver."""

Measured = dict[str, float]


def agreement(port: int, profile: BenchmarkProfile, peak: float, requests: Sequence[bytes]) -> Figures:
    """What both drivers measure of a service in three scenarios, and the ratios; ``not_run`` with the reason if none.

    Args:
        port: of the running service on the loopback interface.
        profile: a second of it is four turns of each scenario.
        peak: offline throughput of the service in requests a second.
        requests: whole HTTP requests, which both send.
    """
    if find_spec(MODULE) is None:
        return {"not_run": "mlcommons-loadgen is not installed; pip install 'emotions-toolkit[loadgen]'"}
    from benchmarks.serving.loadgen_process import LoadGen

    turns = range(profile.seeds(9)[0], profile.seeds(9)[0] + max(_FEWEST_TURNS, round(profile.seconds)))
    rates: dict[Kind, float] = {"single_stream": peak, "server": SHARE * peak, "offline": peak}
    try:
        with Client(port, requests) as client, LoadGen(port, requests) as theirs:
            client.run(Job(count=1))  # it opens its connections before it is measured, as LoadGen's process does
            measured = {
                kind: compare(Load(kind, TURN_SEC[kind], rate), turns, client, theirs.run)
                for kind, rate in rates.items()
            }
    except EmotionsError as error:
        return {"not_run": str(error)}
    return {"offered_per_sec": SHARE * peak, "share": SHARE, "scenarios": measured}


def compare(load: Load, seeds: Sequence[int], client: Client, theirs: Callable[[Load], Latencies]) -> Figures:
    """Measure with ours, LoadGen, LoadGen and ours again, for each seed.

    Args:
        load: what to offer.
        seeds: of its arrivals.
        client: our driver.
        theirs: runs LoadGen once.

    Returns:
        Figures of all turns of ``ours`` and ``loadgen``, and medians over seeds of ratios: ``ours_to_loadgen``, and of
        each driver's first turn to its second, ``ours_to_ours`` and ``loadgen_to_loadgen``: what chance alone makes.

    Raises:
        EmotionsError: a request was not answered.
    """
    sides: dict[str, Callable[[Load], Latencies]] = {"ours": lambda offered: ours(offered, client), "loadgen": theirs}
    taken: dict[str, list[Latencies]] = {side: [] for side in sides}
    for seed in seeds:
        for side in ("ours", "loadgen", "loadgen", "ours"):
            taken[side].append(sides[side](replace(load, seed=seed)))
    both = {side: figures(load.kind, turns) for side, turns in taken.items()}
    rounds = {side: [turns[at : at + 2] for at in range(0, len(turns), 2)] for side, turns in taken.items()}
    itself = {
        f"{side}_to_{side}": _ratios(load.kind, [([first], [second]) for first, second in pairs])
        for side, pairs in rounds.items()
    }
    between = _ratios(load.kind, [*zip(rounds["ours"], rounds["loadgen"], strict=True)])
    return {**both, "ours_to_loadgen": between, **itself}


def _ratios(kind: Kind, rounds: Sequence[tuple[Sequence[Latencies], Sequence[Latencies]]]) -> Measured:
    """Medians over rounds: a moment at which the machine did something else spoils one of them, not the tail of all."""
    each = [ratios(figures(kind, one), figures(kind, other)) for one, other in rounds]
    return {name: median(ratio[name] for ratio in each) for name in each[0]}


def ours(load: Load, client: Client) -> Latencies:
    """One turn of our driver.

    Raises:
        EmotionsError: a request was not answered.
    """
    record = client.run(load.job())
    refused = sum(reply.status != OK for query in record.queries for _, reply in query.replies)
    if refused:
        raise EmotionsError(f"the service did not answer {refused} of our requests")
    return [query.done - (0.0 if load.kind == "offline" else query.due) for query in record.queries]


def figures(kind: Kind, turns: Sequence[Latencies]) -> Measured:
    """Of several turns: requests, and quantiles in ms as LoadGen picks them, without interpolation, or clips/s."""
    latencies = sorted(latency for turn in turns for latency in turn)
    if kind == "offline":
        return {"requests": len(latencies), "clips_per_sec": len(latencies) / sum(map(max, turns))}
    picked = {name: 1000 * latencies[int(len(latencies) * share)] for name, share in QUANTILES.items()}
    return {"requests": len(latencies), **picked}


def ratios(one: Measured, other: Measured) -> Measured:
    """Ratios of all figures but how many requests there were."""
    return {name: one[name] / other[name] for name in one if name != "requests"}
