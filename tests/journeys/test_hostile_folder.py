"""A folder with every hostile recording among good ones: all the good rows, a reason for each other one, in 2 GB."""

from __future__ import annotations

import csv
import json
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
        self.output = ""
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
            time.sleep(0.25)  # a look takes milliseconds of each process

    def kill_after(self, seconds: float) -> None:
        time.sleep(seconds)
        self.process.kill()
        self.end()

    def end(self) -> int:
        self.output = self.process.communicate()[0].decode()
        self._thread.join()
        assert self.process.returncode in (0, 1, -9), self.output  # 1: some files failed
        return self.process.returncode


@pytest.mark.slow
@pytest.mark.timeout(900)
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


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory, tone: Tone) -> Path:
    """Class folders of eight speakers, the hostile recordings among those of one."""
    made = tmp_path_factory.mktemp("labelled")
    for number in range(80):
        label = ("high", "low")[number % 2]
        path = made / "data" / label / f"s{number // 2 % 8}_{number:03d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, tone(1.0, hz=200 + number + 400 * (label == "high")), 16_000)
    (made / "hostile").mkdir()
    hostile_audio.write_hostile(made / "hostile")
    for path in (made / "hostile").iterdir():
        path.rename(made / "data" / "low" / f"s0_{path.name}")
    train = {
        "type": "train",
        "model": "SpectrogramCnnClassifier",
        "model_architecture": {"backbone": "test_efficientnet"},
        "learn_params": {"padding_sec": 2, "spectrogram_size": 64, "max_epoch": 12},
        "dataset": {"path": str(made / "data"), "speaker": {"pattern": r"/(s\d)_"}},
        "saving_data_params": {"saved_checkpoints_path": [str(made), "run"]},
    }
    (made / "train.json").write_text(json.dumps({"pipeline": [train], "seed": 0}))
    return made


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform != "linux", reason="decoders are processes of Linux")
def test_training_and_export_leave_hostile_files_out(labelled: Path) -> None:
    hostile = len(hostile_audio.hostile_files())
    train = Watched("train", labelled / "train.json")
    assert train.end() == 0, train.output
    assert f"{hostile} of {80 + hostile} clips are left out" in train.output
    export = Watched("export", "--run", labelled / "run", "--output", labelled / "bundle")
    assert export.end() == 0, export.output
    again = labelled / "hostile_too"
    data = Watched("export", "--run", labelled / "run", "--output", again, "--data", labelled / "data")
    assert data.end() == 0, data.output
    assert max(each.most for each in (train, export, data)) < MOST_BYTES
