"""A folder with every hostile recording among good ones: all the good rows, a reason for each other one, in 2 GB."""

from __future__ import annotations

import csv
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile

import emotions
from tests import hostile_audio
from tests.conftest import Tone

MOST_BYTES = 2 << 30
GOOD = 200
KINDS = (
    ("wav", "WAV", "PCM_16"),
    ("flac", "FLAC", "PCM_16"),
    ("ogg", "OGG", "VORBIS"),
    ("mp3", "MP3", "MPEG_LAYER_III"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tone: Tone) -> Path:
    made = tmp_path_factory.mktemp("hostile")
    hostile_audio.write_hostile(made)
    for number in range(GOOD):
        ending, container, subtype = KINDS[number % len(KINDS)]
        waveform = tone(1.0, hz=200 + number)
        soundfile.write(made / f"good_{number:03d}.{ending}", waveform, 16_000, subtype, format=container)
    return made


class Watched:
    """A command, and the most memory that it and all its processes had at a time."""

    def __init__(self, *command: str | Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "emotions.cli", *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self.most = 0
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while self.process.poll() is None:
            used = 0
            try:
                root = psutil.Process(self.process.pid)
                for each in (root, *root.children(recursive=True)):
                    memory = each.memory_full_info()
                    used += memory.pss
            except psutil.Error:
                continue
            self.most = max(self.most, used)
            time.sleep(0.1)

    def kill_after(self, seconds: float) -> None:
        time.sleep(seconds)
        self.process.kill()
        self.end()

    def end(self) -> int:
        output = self.process.communicate()[0]
        self._thread.join()
        assert self.process.returncode in (1, -9), output.decode()  # 1: some files failed
        return self.process.returncode


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="decoders are processes of Linux")
def test_each_hostile_file_is_a_row_with_a_reason(folder: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    whole, resumed = tmp_path / "whole.csv", tmp_path / "resumed.csv"
    command = ("predict", folder, "--bundle", tiny_bundle, "--quiet", "--chunk", "50")
    run = Watched(*command, "--output", whole)
    assert run.end() == 1
    assert run.most < MOST_BYTES
    Watched(*command, "--output", resumed).kill_after(4)
    assert Watched(*command, "--output", resumed, "--resume").end() == 1
    assert resumed.read_bytes() == whole.read_bytes()
    with whole.open(encoding="utf-8") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    hostile = hostile_audio.hostile_files()
    assert len(rows) == GOOD + len(hostile)
    predictor = emotions.load(tiny_bundle, device="cpu")
    for name, row in rows.items():
        if name in hostile:
            assert row["error"], name
            assert not row["confidence"], name
        else:
            expected = predictor.predict(folder / name).confidence
            assert not row["error"], name
            np.testing.assert_allclose(float(row["confidence"]), expected, atol=1e-5)
    assert "crashed" in rows["silence.ogg"]["error"]
