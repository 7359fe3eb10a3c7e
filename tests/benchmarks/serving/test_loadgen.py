"""MLPerf's LoadGen and our driver measure the same service alike, where it is installed."""

from __future__ import annotations

import multiprocessing
import socket
import time
from collections.abc import Iterator
from math import log
from typing import Any

import numpy as np
import pytest

from benchmarks.serving.loadgen import MODULE, TURN_SEC, agreement, compare, figures, ours, ratios
from benchmarks.serving.loadgen_process import Kind, Load, LoadGen, arrivals, drive
from emotions.errors import EmotionsError
from serving.benchmark.driver.fake_server import fake_service
from serving.benchmark.driver.load_generator import Client, Job
from serving.benchmark.driver.self_check import DELAY_SEC
from serving.benchmark.driver.target import OURS
from serving.benchmark.report.tables import tables
from serving.benchmark.scenarios.profile import BenchmarkProfile
from serving.benchmark.scenarios.scenarios import Figures

REQUESTS = [OURS.request(bytes(9_000))] * 4
ROUNDS = 3


@pytest.fixture(scope="module")
def drivers() -> Iterator[tuple[Client, LoadGen]]:
    """Both drivers of a fake service that answers after a known delay."""
    pytest.importorskip(MODULE)
    with (
        fake_service(DELAY_SEC) as fake,
        Client(fake.port, REQUESTS) as client,
        LoadGen(fake.port, REQUESTS) as theirs,
    ):
        client.run(Job(count=1))
        yield client, theirs


@pytest.fixture
def nobody() -> Iterator[int]:
    """A port at which nobody answers."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.mark.parametrize(
    "load",
    [Load("server", 2, 100), Load("single_stream", 1, 50), Load("offline", 0.5, 1000)],
    ids=lambda load: load.kind,
)
def test_both_drivers_agree_within_five_in_a_hundred(drivers: tuple[Client, LoadGen], load: Load) -> None:
    client, theirs = drivers
    # Another round only where the machine was too busy to tell: a driver that is wrong is wrong in each.
    rounds = (compare(load, [attempt], client, theirs.run) for attempt in range(ROUNDS))
    measured = next(filter(agree, rounds), None) or compare(load, range(ROUNDS), client, theirs.run)
    assert agree(measured), measured
    if load.kind != "single_stream":
        assert measured["ours"]["requests"] == measured["loadgen"]["requests"]


def agree(measured: Figures) -> bool:
    """Whether each ratio is within 5 %, or as near to one as those of the drivers to themselves."""
    itself = ("ours_to_ours", "loadgen_to_loadgen")
    return all(
        abs(log(ratio)) <= max(log(1.05), *(abs(log(measured[side][name])) for side in itself))
        for name, ratio in measured["ours_to_loadgen"].items()
    )


def test_what_is_wrong_by_more_than_chance_is_no_agreement() -> None:
    same, noisy = {"p50": 1.0, "p99": 1.0}, {"p50": 1.0, "p99": 1.4}
    assert agree({"ours_to_loadgen": {"p50": 0.96, "p99": 1.04}, "ours_to_ours": same, "loadgen_to_loadgen": same})
    assert not agree({"ours_to_loadgen": {"p50": 0.96, "p99": 1.06}, "ours_to_ours": same, "loadgen_to_loadgen": same})
    assert agree({"ours_to_loadgen": {"p50": 0.96, "p99": 0.75}, "ours_to_ours": same, "loadgen_to_loadgen": noisy})
    assert not agree({"ours_to_loadgen": {"p50": 1.06, "p99": 1.0}, "ours_to_ours": same, "loadgen_to_loadgen": noisy})


def test_arrivals_are_those_that_loadgen_draws() -> None:
    pytest.importorskip(MODULE)
    stamps: list[float] = []

    class Instant:
        """Answers at once, and notes when it was asked."""

        def issue(self, samples: Any) -> None:
            import mlperf_loadgen

            stamps.append(time.perf_counter())
            mlperf_loadgen.QuerySamplesComplete([mlperf_loadgen.QuerySampleResponse(each.id, 0, 0) for each in samples])

    load = Load("server", 1, 100, seed=7)
    assert len(drive(Instant(), load)) == len(stamps)
    due = arrivals(load.rate, load.seconds, load.seed)
    assert len(due) == len(stamps)
    assert np.median(np.abs(np.array(stamps) - stamps[0] - due)) < 0.002


def test_arrivals_are_a_poisson_process_from_the_first_instant_on() -> None:
    due = arrivals(100, 2, 7)
    assert due[:5] == pytest.approx([0, 0.002579152, 0.006420669, 0.044689628, 0.050770063], abs=1e-7)
    assert due[-2] < 2 <= due[-1]
    assert len(arrivals(50, 100, 3)) == pytest.approx(5000, abs=4 * 5000**0.5)
    assert arrivals(50, 1, 3) != arrivals(50, 1, 4)


def test_quantiles_are_picked_from_all_turns_together() -> None:
    turns = [[0.001 * number for number in range(1, 100, 2)], [0.001 * number for number in range(100, 0, -2)]]
    assert figures("server", turns) == pytest.approx({"requests": 100, "p50": 51, "p90": 91, "p99": 100})
    assert figures("offline", [[0.5, 2.0], [1.0, 0.1]]) == pytest.approx({"requests": 4, "clips_per_sec": 4 / 3})
    assert ratios({"requests": 4, "p50": 3}, {"requests": 5, "p50": 2}) == {"p50": 1.5}


@pytest.mark.parametrize("kind", ["single_stream", "server", "offline"])
def test_requests_without_an_answer_are_an_error(nobody: int, kind: Kind) -> None:
    with Client(nobody, REQUESTS) as client, pytest.raises(EmotionsError, match=r"did not answer \d+ of our requests"):
        ours(Load(kind, 0.05, 20), client)


def test_requests_of_loadgen_without_an_answer_are_told(nobody: int) -> None:
    pytest.importorskip(MODULE)
    others = {*multiprocessing.active_children()}
    with LoadGen(nobody, REQUESTS) as theirs:
        with pytest.raises(EmotionsError, match=r"did not answer \d+ of LoadGen's requests"):
            theirs.run(Load("server", 0.05, 50))
        (process,) = {*multiprocessing.active_children()} - others
        process.kill()
        process.join()
        with pytest.raises(EmotionsError, match="LoadGen's process ended by itself"):
            theirs.run(Load("server", 0.05, 50))


def test_without_loadgen_the_report_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.serving.loadgen.MODULE", "no_such_driver")
    told = agreement(0, BenchmarkProfile(1, 1, 0), 10, REQUESTS)
    assert told == {"not_run": "mlcommons-loadgen is not installed; pip install 'emotions-toolkit[loadgen]'"}


def test_a_whole_comparison_has_three_scenarios_and_a_line_of_the_report(
    drivers: tuple[Client, LoadGen], monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in TURN_SEC:
        monkeypatch.setitem(TURN_SEC, kind, 0.1)
    with fake_service(0.001) as fake:
        told = agreement(fake.port, BenchmarkProfile(0.1, 1, 0), 200, REQUESTS)
    assert list(told["scenarios"]) == ["single_stream", "server", "offline"]
    nothing: dict[str, Any] = {"layers": {}, "ratios": {}, "cpu_ms_over_session": {}}
    report = {"best_session": "none", **nothing, "scenarios": {"loadgen": told}}
    line = next(note for table in tables(report) for note in table.notes if note.startswith("LoadGen"))
    assert "server at 50.0/s" in line
    ratio = told["scenarios"]["offline"]["ours_to_loadgen"]["clips_per_sec"]
    assert f"offline (80 requests) clips_per_sec {ratio:.3f}" in line
