"""Folders at scale: a recording of two hours in little memory, and the benchmark of folders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import emotions
from benchmarks.serving.folder_scale import repeated, with_broken
from emotions.folder.predict_files import predict_files
from serving.benchmark.driver.clips import make_broken
from tests.conftest import Tone, WriteWav

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
PREDICT = """
import sys
from pathlib import Path
from serving.batch.options import Options
from serving.batch.predict import predict_to_table
source, bundle, output = sys.argv[1:]
predict_to_table([source], Path(bundle), Path(output), Options(windows=True, quiet=True, device="cpu", threads=2))
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(int(status["VmHWM"].split()[0]) / 1024)
"""
TWO_HOURS = 7_200


def run(*arguments: str | Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_windows_of_two_hours_take_little_memory(
    tiny_bundle: Path, tmp_path: Path, tone: Tone, write_wav: WriteWav
) -> None:
    write_wav(tmp_path / "short.wav", tone(1.0))
    minute = np.random.default_rng(0).normal(0, 0.1, 60 * 8_000)
    with soundfile.SoundFile(tmp_path / "long.wav", "w", 8_000, 1, subtype="PCM_U8") as file:
        for _ in range(TWO_HOURS // 60):
            file.write(minute)
    peaks = {}
    for name in ("short", "long"):
        told = run("-c", PREDICT, tmp_path / f"{name}.wav", tiny_bundle, tmp_path / f"{name}.csv")
        peaks[name] = float(told.splitlines()[-1])
    lines = (tmp_path / "long.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * TWO_HOURS
    assert lines[-1].startswith("long.wav,7199.5,7200.0,")
    assert peaks["long"] - peaks["short"] < 100


def test_the_benchmark_of_folders_prints_its_figures(
    tiny_bundle: Path, tmp_path: Path, tone: Tone, write_wav: WriteWav
) -> None:
    for index in range(5):
        write_wav(tmp_path / "clips" / f"{index}.wav", tone(0.3 + 0.1 * index))
    arguments = ("--bundle", tiny_bundle, "--data", tmp_path / "clips", "--files", "500", "--threads", "1")
    report = json.loads(run("-m", "benchmarks.serving", "folder", *arguments))
    assert [part["files"] for part in report["by_size"]] == [50, 500]
    assert report["bare_clips_per_sec"] > report["folder_files_per_sec"] > 0
    assert report["of_bare_lowest"] <= report["of_bare"] <= report["of_bare_highest"]


def test_one_file_in_a_hundred_is_broken_of_each_kind_in_turn(tiny_bundle: Path, tmp_path: Path) -> None:
    broken = make_broken(tmp_path / "broken")
    results = [*predict_files(emotions.load(tiny_bundle, device="cpu", threads=1), broken)]
    assert [result.name for result in results if result.error] == [file.name for file in broken]
    assert len(broken) == 10
    mixed = with_broken(repeated(["good"], 2_000), broken)
    assert [mixed.count(file) for file in broken] == [2] * 10
    assert mixed.count("good") == 1_980
