from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import emotions
from emotions.audio.windows import FloatArray, IntArray
from emotions.cli import run
from emotions.errors import ConfigError, DataError, EmotionsError, OutputExists
from emotions.pipeline.runner import Context
from emotions.runtime.batch_shape import Probabilities
from serving.benchmark.driver import server_process
from serving.benchmark.driver.clips import durations, make_clips, read_clips
from serving.benchmark.driver.interleaved import interleaved
from serving.benchmark.driver.passes import Pass, largest_difference
from serving.benchmark.layers.layers import session_layers
from serving.benchmark.report.report import best_session, figures
from serving.benchmark.report.tables import runs, text
from serving.benchmark.runner import Plan, benchmark_to_report
from serving.benchmark.scenarios.names import OF_SERVICE, SCENARIOS, resolved
from serving.benchmark.scenarios.scenarios import batches, growth, histogram_quantile
from serving.commands import BENCHMARK
from serving.config import BenchmarkStep
from tests.conftest import Tone, WriteWav

REPOSITORY = Path(__file__).parents[3]
pytestmark = pytest.mark.timeout(900)  # the first of those that take ``whole`` makes it
SESSIONS = [f"session batch {size}" for size in (1, 2, 4, 8, 16, 32)]


def test_the_command_measures_layers_and_leaves_nothing_running(tiny_bundle: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "emotions.cli", "benchmark", "--quick", "--threads", "1"]
    scenarios = ["--scenario", "folder", "--scenario", "service"]
    done = subprocess.run(
        [*command, *scenarios, "--seconds", "1", "--bundle", str(tiny_bundle), "--output", "report"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    names = [*SESSIONS, "folder", "folder to table", "service 1 connection", "service 16 connections"]
    assert list(report["layers"]) == names
    for layer in report["layers"].values():
        for key in ("clips_per_sec", "audio_sec_per_sec", "cpu_ms_per_clip"):
            assert 0 < layer[key]["min"] <= layer[key]["median"] <= layer[key]["max"]
        assert layer["max_abs_diff"] < 1e-4
    assert report["best_session"] in SESSIONS
    assert list(report["ratios"]) == [f"{name} / {report['best_session']}" for name in names[6:]]
    assert all(0 < ratio["min"] <= ratio["median"] <= ratio["max"] for ratio in report["ratios"].values())
    latency = report["layers"]["service 1 connection"]["latency_ms"]
    assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"]
    assert report["clips"]["count"] == 24
    assert report["clips"]["left_out"] == 0
    assert 24 < report["clips"]["audio_sec"] < 120
    assert report["settings"]["threads"] == 1
    assert report["command"].startswith("emotions benchmark --quick")
    assert report["bundle_sha256"] == emotions.load(tiny_bundle).manifest.variants["fp32"].sha256
    assert "service 16 connections" in done.stdout
    assert "% of a core, p99 of slip" in done.stdout
    assert not [*tmp_path.glob("emotions-*")]
    left = [each for each in psutil.process_iter(["environ"]) if str(tmp_path) in str(each.info["environ"])]
    assert left == []


@pytest.fixture(scope="module")
def whole(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Every scenario on a tiny model, a quarter of a second a run; a cache without environments of peers."""
    output = tmp_path_factory.mktemp("whole")
    options: dict[str, Any] = {"quick": True, "device": "cpu", "threads": 1, "quiet": True, "seconds": 0.25}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMOTIONS_CACHE", str(tmp_path_factory.mktemp("cache")))
        return output, benchmark_to_report(Plan(tiny_bundle, output, None, (*SCENARIOS, "stream"), **options))


@pytest.mark.slow
def test_every_layer_has_an_owner_in_the_waterfall(whole: tuple[Path, dict[str, Any]]) -> None:
    layers, falls = whole[1]["layers"], whole[1]["waterfall"]
    assert list(layers)[6:9] == ["predictor", "batcher 1 caller", "batcher 16 callers"]
    assert "http, fake model 16 connections" in layers
    assert list(falls["alone_ms"]) == ["decode", "windows", "model", "pool", "batcher", "HTTP and JSON", "side by side"]
    alone = 1000 / layers["service 1 connection"]["clips_per_sec"]["median"]
    assert sum(falls["alone_ms"].values()) == pytest.approx(alone)
    cpu = layers["service 16 connections"]["server_cpu_ms_per_clip"]["median"]
    assert sum(falls["cpu_ms"].values()) == pytest.approx(cpu)


@pytest.mark.slow
def test_every_scenario_is_measured_and_every_answer_right(whole: tuple[Path, dict[str, Any]]) -> None:
    report = whole[1]
    scenarios = report["scenarios"]
    assert set(scenarios) == OF_SERVICE
    found = runs(report)
    for name, each in found.items():
        assert each["requests"] > 0, name
        assert each["failed"] == 0, name
        assert each["max_abs_diff"] < 1e-4, name
        assert each["latency_ms"]["p50"]["median"] <= each["latency_ms"]["max"]["median"], name
        assert len(each["cdf_ms"]) == 101, name
    assert [round(each["offered_per_sec"], 6) for each in scenarios["server"]["rates"]] == [
        round(share * scenarios["offline"]["clips_per_sec"]["median"], 6) for share in (0.25, 0.5, 0.75, 0.9)
    ]
    assert sum(scenarios["offline"]["batch_sizes"].values()) > 0
    assert scenarios["overload"]["goodput_of_peak"] > 0.2
    assert scenarios["bad_input"]["bad"] > 0
    assert scenarios["bad_input"]["bad_not_refused"] == scenarios["bad_input"]["good_lost"] == 0
    live = scenarios["stream"]
    assert live["errors"] == live["fast_errors"] == live["behind"] == live["uploads_lost"] == 0
    assert not live["vad"]
    assert live["fast_audio_per_sec"] > 1
    assert "stream: 20 streams in real time for 1 s" in text(report)
    assert 0 < scenarios["cold_start"]["ready_sec"]["median"] < 60
    assert len(scenarios["search"]["probes"]) == 4
    assert report["harness"]["rate_per_sec"] == 200


@pytest.mark.slow
def test_every_part_says_how_long_it_took(whole: tuple[Path, dict[str, Any]]) -> None:
    parts = whole[1]["parts_sec"]
    assert {"layers", *OF_SERVICE, "backends", "BentoML batchable", "Ray Serve"} < {*parts}
    assert 0.8 * whole[1]["seconds"] < sum(parts.values()) <= whole[1]["seconds"]
    assert "this run's own time" in text(whole[1])


@pytest.mark.slow
def test_a_peer_that_is_at_hand_is_raced_and_the_others_say_why_not(whole: tuple[Path, dict[str, Any]]) -> None:
    report = whole[1]
    assert set(report["cpu_ms_over_session"]) == {"service 1 connection", "service 16 connections"}
    session, service = (report["layers"][name] for name in ("session batch 1", "service 1 connection"))
    alone = service["server_cpu_ms_per_clip"]["median"] - session["cpu_ms_per_clip"]["median"]
    assert report["cpu_ms_over_session_batch_1"]["service 1 connection"] == pytest.approx(alone)
    measured = report["peers"]
    assert list(measured["rows"]) == ["BentoML batchable"]
    row = measured["rows"]["BentoML batchable"]
    assert row["max_abs_diff"] < 1e-4
    assert row["clips_per_sec"]["median"] > 0
    pairs = zip(row["ours_clips_per_sec"]["values"], row["clips_per_sec"]["values"], strict=True)
    assert row["ours_to_theirs"]["values"] == pytest.approx([ours / theirs for ours, theirs in pairs])
    for name in ("LitServe", "FastAPI", "Ray Serve"):
        assert measured["not_run"][name] == "its environment is not made; add --install-peers"
    assert "not ONNX files" in measured["not_run"]["transformers pipeline"]


@pytest.mark.slow
def test_runtimes_are_measured_in_the_same_report(whole: tuple[Path, dict[str, Any]]) -> None:
    measured = whole[1]["backends"]
    assert {"onnxruntime cpu, fp32"} <= {row["name"] for row in measured["rows"]}
    assert measured["not_run"]["torchscript"] == "the bundle has no torchscript; export it with one"


@pytest.mark.slow
def test_the_page_needs_nothing_else_and_shows_every_table(whole: tuple[Path, dict[str, Any]]) -> None:
    content = (whole[0] / "report.html").read_text(encoding="utf-8")
    assert not re.findall(r'(?:src|href)="', content)
    assert "url(" not in content
    for title in ("Layers", "Scenarios", "Waterfall", "Search", "Runtimes", "Peers", "Notes", "Seconds", "Machine"):
        assert f"<caption>{title}" in content or f"<p>{title}" in content
    for plot in ("A request alone", "Latency by rate", "Requests answered within", "Batches at sat", "over time: soak"):
        assert f'aria-label="{plot}' in content or f"{plot}" in content
    assert content.count("<svg") == 8
    assert text(whole[1]).count("VOID:") <= 1


def test_older_names_of_scenarios_stand_for_what_they_measured() -> None:
    assert resolved(["peer", "pressure", "soak"]) == ("peers", "overload", "soak")


def test_durations_are_drawn_of_a_mix() -> None:
    random = np.random.default_rng(0)
    assert 2 <= durations("2-3.5", 99, random).min() <= durations("2-3.5", 99, random).max() <= 3.5
    assert 2.5 < np.median(durations("speech", 999, random)) < 3.5
    for wrong in ("", "5-1", "0-2", "1-900", "long"):
        with pytest.raises(ConfigError, match="write speech, or LOW-HIGH"):
            durations(wrong, 1, random)


def test_a_step_measures_a_users_folder(
    tiny_bundle: Path, tmp_path: Path, tone: Tone, write_wav: WriteWav, capsys: pytest.CaptureFixture[str]
) -> None:
    for index in range(3):
        write_wav(tmp_path / "clips" / f"{index}.wav", tone(1.0 + index))
    (tmp_path / "clips" / "broken.wav").touch()
    step = BenchmarkStep(data="clips", output=["out", "report"], scenarios=["folder"], quick=True)
    BENCHMARK.run(step, Context(tmp_path, 7, 0, {}, last_bundle=tiny_bundle, quiet=True))
    report = json.loads((tmp_path / "out" / "report" / "report.json").read_text(encoding="utf-8"))
    assert list(report["layers"]) == [*SESSIONS, "folder", "folder to table"]
    assert report["clips"] == {"source": "recorded", "count": 3, "left_out": 1, "audio_sec": 6.0, "windows": 12}
    assert report["seed"] == 7
    assert "folder to table" in capsys.readouterr().out


def test_a_scenario_that_does_not_exist_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["benchmark", "--output", "out", "--bundle", "none", "--scenario", "all"]) == 2
    assert "--scenario all: is none of session, folder, service, waterfall" in capsys.readouterr().err


def test_the_folder_of_the_report_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["benchmark", "--quick"]) == 2
    assert "--output" in capsys.readouterr().err


def test_the_quantile_of_what_was_shed_is_taken_between_two_scrapes() -> None:
    before = {0.001: 10.0, 0.01: 10.0, 0.1: 10.0, float("inf"): 10.0}
    after = {0.001: 10.0, 0.01: 105.0, 0.1: 109.0, float("inf"): 110.0}
    assert histogram_quantile(before, after, 0.95) == 0.01
    assert histogram_quantile(before, after, 0.96) == 0.1
    assert histogram_quantile(before, before, 0.95) == 0
    assert batches(before, after) == {"0.001": 0, "0.01": 95, "0.1": 4, "inf": 1}


def test_growth_is_the_last_quarter_to_the_second() -> None:
    assert growth([50, 60, 100, 100, 100, 100, 110, 110]) == pytest.approx(0.1)
    assert growth([100]) == 0


def test_a_report_is_not_overwritten(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "report.json").touch()
    for output in (tmp_path, tmp_path / "report.json"):
        with pytest.raises(OutputExists, match="name another output"):
            benchmark_to_report(Plan(tiny_bundle, output, None, ["session"]))


def test_a_folder_without_a_usable_recording_is_named(predictor: emotions.Predictor, tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    with pytest.raises(DataError, match="holds no recording"):
        read_clips(predictor, tmp_path, 10)


def test_synthetic_clips_are_the_same_for_a_seed_and_spread_over_a_folder(
    predictor: emotions.Predictor, tmp_path: Path
) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / name).mkdir()
        make_clips(tmp_path / name, 9, seed)
    contents = {name: [clip.content for clip in read_clips(predictor, tmp_path / name, 9)[0]] for name in "abc"}
    assert contents["a"] == contents["b"] != contents["c"]
    chosen, left_out = read_clips(predictor, tmp_path / "a", 3)
    assert [clip.file.name for clip in chosen] == ["00000.wav", "00004.wav", "00008.wav"]
    assert left_out == 0
    assert all(1 <= clip.expected.duration_sec <= 5 for clip in chosen)


def test_the_bare_session_hears_the_same_windows(predictor: emotions.Predictor, tmp_path: Path) -> None:
    make_clips(tmp_path, 5, 0)
    clips, _ = read_clips(predictor, tmp_path, 5)
    windows = sum(len(clip.windows) for clip in clips)
    seen = []

    def spy(waveform: FloatArray, length: IntArray) -> Probabilities:
        seen.append(waveform.copy())
        return predictor.session.run(waveform, length)

    spied = emotions.Predictor(predictor.bundle, replace(predictor.session, run=spy))
    session_layers(spied, clips)[3].run()
    assert [len(batch) for batch in seen] == [8] * (windows // 8) + [windows % 8] * (windows % 8 > 0)
    assert np.array_equal(np.concatenate(seen), np.concatenate([clip.windows.samples for clip in clips]))


def test_figures_are_medians_and_ratios_are_taken_pass_by_pass() -> None:
    passes = {name: [Pass(4, 1), Pass(8, 1), Pass(40, 1)] for name in SESSIONS}
    passes["session batch 4"] = [Pass(2, 1), Pass(4, 1), Pass(20, 1)]
    passes["folder"] = [Pass(4, 6, max_abs_diff=0.1), Pass(4, 3), Pass(25, 3)]
    passes["service 1 connection"] = [Pass(4, 1, 2, (0.001, 0.003))] * 3
    report = figures(passes, clips=100, audio_sec=300)
    assert report["best_session"] == best_session(passes) == "session batch 4"
    assert report["ratios"]["folder / session batch 4"] == {
        "median": 0.8,
        "min": 0.5,
        "max": 1.0,
        "values": [0.5, 1.0, 0.8],
    }
    folder = report["layers"]["folder"]
    assert folder["clips_per_sec"] == {"median": 25, "min": 4, "max": 25, "values": [25, 25, 4]}
    assert folder["audio_sec_per_sec"]["median"] == 75
    assert folder["cpu_ms_per_clip"] == {"median": 30, "min": 30, "max": 60, "values": [60, 30, 30]}
    assert folder["max_abs_diff"] == 0.1
    service = report["layers"]["service 1 connection"]
    assert service["server_cpu_ms_per_clip"]["median"] == 20
    assert service["latency_ms"]["p50"] == pytest.approx(2)


def test_candidates_take_turns_after_a_round_that_does_not_count() -> None:
    order: list[str] = []
    said: list[str] = []

    def candidate(name: str) -> Callable[[], int]:
        return lambda: order.append(name) or len(order)

    measured = interleaved({"a": candidate("a"), "b": candidate("b")}, 2, say=said.append)
    assert order == ["b", "a", "a", "b", "b", "a"]
    assert measured == {"a": [3, 6], "b": [4, 5]}
    assert said == ["warming up", "repeat 1 of 2", "repeat 2 of 2"]


def test_an_answer_that_lacks_a_label_is_not_equal(predictor: emotions.Predictor, tone: Tone) -> None:
    expected = predictor.predict(tone(1.0))
    other = {"emotion": {**expected.probabilities["emotion"], "sad": expected.probabilities["emotion"]["sad"] + 0.25}}
    assert largest_difference([expected.probabilities], [expected]) == 0
    assert largest_difference([{**expected.probabilities, **other}], [expected]) == pytest.approx(0.25)
    assert largest_difference([{}], [expected]) == np.inf


def test_a_service_that_does_not_start_is_told_in_its_own_words(tmp_path: Path) -> None:
    started = server_process.running({"EMOTIONS_BUNDLE": str(tmp_path / "none")}, tmp_path / "log")
    with pytest.raises(EmotionsError, match=r"did not get ready: .*no such folder"), started:
        pass
