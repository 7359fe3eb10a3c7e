from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

import emotions
from emotions.errors import ConfigError, DataError, EmotionsError, OutputExists
from emotions.pipeline import Context
from emotions.runtime import Probabilities
from emotions.windows import FloatArray, IntArray
from serving.benchmark import server
from serving.benchmark.clips import make_clips, read_clips
from serving.benchmark.layers import Pass, largest_difference, session_layers
from serving.benchmark.pressure import Load, _quantile
from serving.benchmark.report import best_session, figures
from serving.benchmark.runner import Plan, benchmark_to_report
from serving.commands import BENCHMARK, benchmark
from serving.config import BenchmarkStep, Scenario
from tests.conftest import Tone, WriteWav

REPOSITORY = Path(__file__).parents[2]
SESSIONS = [f"session batch {size}" for size in (1, 2, 4, 8, 16, 32)]


def test_the_command_measures_every_layer_and_leaves_nothing_running(tiny_bundle: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "emotions.cli", "benchmark", "--quick", "--threads", "1"]
    done = subprocess.run(
        [*command, "--bundle", str(tiny_bundle), "--output", "report"],
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
    assert "service 16 connections" in done.stdout
    assert not [*tmp_path.glob("emotions-*")]
    left = [each for each in psutil.process_iter(["environ"]) if str(tmp_path) in str(each.info["environ"])]
    assert left == []


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


def test_pressure_and_bentomls_own_batcher_are_measured(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenarios: list[Scenario] = ["service", "peer", "pressure"]
    plan = Plan(tiny_bundle, tmp_path, None, scenarios, quick=True, device="cpu", threads=1, quiet=True, seconds=1)
    report = benchmark_to_report(plan)
    ours, theirs = "service 16 connections", "bentoml batchable 16 connections"
    assert list(report["layers"]) == [*SESSIONS, "service 1 connection", ours, theirs]
    assert report["layers"][theirs]["max_abs_diff"] < 1e-4
    assert report["ratios"][f"{ours} / {theirs}"]["median"] > 0
    assert set(report["cpu_ms_over_session"]) == {"service 1 connection", ours, theirs}
    pressure = report["pressure"]
    assert pressure["peak, clips/s"] > 0
    assert pressure["goodput at 1.5 times the peak, share of it"] > 0.3
    assert pressure["other than answered or shed"] == pressure["lost at half load"] == 0
    printed = capsys.readouterr().out
    assert f"{ours} / {theirs}: " in printed
    assert "ms of CPU a request over the session; the client took" in printed
    assert "pressure, goodput at 1.5 times the peak, share of it: " in printed


def test_a_scenario_that_does_not_exist_is_told(tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--scenario all: is none of session, folder, service, peer, pressure"):
        benchmark(tmp_path, bundle=tiny_bundle, scenario=["service", "all"])


def test_the_quantile_of_what_was_shed_is_taken_between_two_scrapes() -> None:
    before = {0.001: 10.0, 0.01: 10.0, 0.1: 10.0, float("inf"): 10.0}
    after = {0.001: 10.0, 0.01: 105.0, 0.1: 109.0, float("inf"): 110.0}
    assert _quantile(before, after, 0.95) == 0.01
    assert _quantile(before, after, 0.96) == 0.1
    assert _quantile(before, before, 0.95) == 0


def test_growth_is_the_last_quarter_to_the_second() -> None:
    load = Load(8, Counter({200: 80, 429: 3}), [50, 60, 100, 100, 100, 100, 110, 110])
    assert load.goodput == 10
    assert load.growth == pytest.approx(0.1)


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
    assert report["ratios"]["folder / session batch 4"] == {"median": 0.8, "min": 0.5, "max": 1.0}
    folder = report["layers"]["folder"]
    assert folder["clips_per_sec"] == {"median": 25, "min": 4, "max": 25}
    assert folder["audio_sec_per_sec"]["median"] == 75
    assert folder["cpu_ms_per_clip"] == {"median": 30, "min": 30, "max": 60}
    assert folder["max_abs_diff"] == 0.1
    service = report["layers"]["service 1 connection"]
    assert service["server_cpu_ms_per_clip"]["median"] == 20
    assert service["latency_ms"]["p50"] == pytest.approx(2)


def test_an_answer_that_lacks_a_label_is_not_equal(predictor: emotions.Predictor, tone: Tone) -> None:
    expected = predictor.predict(tone(1.0))
    other = {"emotion": {**expected.probabilities["emotion"], "sad": expected.probabilities["emotion"]["sad"] + 0.25}}
    assert largest_difference([expected.probabilities], [expected]) == 0
    assert largest_difference([{**expected.probabilities, **other}], [expected]) == pytest.approx(0.25)
    assert largest_difference([{}], [expected]) == np.inf


def test_a_service_that_does_not_start_is_told_in_its_own_words(tmp_path: Path) -> None:
    started = server.running({"EMOTIONS_BUNDLE": str(tmp_path / "none")}, tmp_path / "log")
    with pytest.raises(EmotionsError, match=r"did not get ready: .*no such folder"), started:
        pass
