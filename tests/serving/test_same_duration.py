"""Every recording of the matrix through ``emotions predict``, ``/v1/predict``, ``emotions data check`` and training."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from emotions.audio.decode import SAMPLE_RATE
from emotions.audio.formats import EXTENSIONS
from tests.conftest import needs
from tests.recordings import Recording, Workshop
from tests.serving.conftest import Service
from training.config.dataset import DatasetConfig
from training.data.checks.check import check_dataset
from training.data.clips import read_clips
from training.data.waveforms.waveform_cache import WaveformCache

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Recording]:
    needs(bool(shutil.which("ffmpeg") and shutil.which("sox")), "ffmpeg and sox are needed as commands")
    return Workshop(tmp_path_factory.mktemp("recordings")).all()


@pytest.fixture
def dataset(recordings: list[Recording], tmp_path: Path) -> Path:
    """Two class folders with all of them."""
    for index, recording in enumerate(recordings):
        folder = tmp_path / "dataset" / "ab"[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(recording.path, folder)
    return tmp_path / "dataset"


def test_all_ways_in_agree_on_the_duration(
    recordings: list[Recording], dataset: Path, tmp_path: Path, tiny_bundle: Path, service: Service
) -> None:
    table = _predicted(dataset, tiny_bundle, tmp_path / "t.csv")
    facts = {clip.file.name: clip for clip in read_clips(DatasetConfig(path=str(dataset)), tmp_path).clips}
    assert len(table) == len(facts) == len(recordings), "a folder is searched for every ending"
    cache = WaveformCache()
    for recording in recordings:
        name = recording.path.name
        row, answer = table[name], service.post(recording.path.read_bytes())
        if recording.outcome == "refused":
            assert row["error"].startswith("not_audio: "), recording.kind
            assert answer.status_code == 415, recording.kind
            assert answer.json()["error"]["message"].partition(": ")[2] in row["error"], recording.kind
            assert cache.prepare([facts[name]])[0].error_code == "not_audio", recording.kind
            continue
        duration = float(row["duration"])
        assert row["warning"].startswith("truncated: ") is (recording.outcome == "marked"), recording.kind
        assert answer.json()["duration_sec"] == duration, recording.kind
        assert answer.json()["truncated"] is (recording.outcome == "marked"), recording.kind
        assert len(cache.waveform(facts[name])) / SAMPLE_RATE == duration, recording.kind
        checked = _checked(recording.path, tmp_path / "one")
        assert float(re.findall(r"([\d.]+) s shortest", checked)[0]) == pytest.approx(duration, abs=0.006)
        assert ("truncated" in checked) is (recording.outcome == "marked"), recording.kind


def _predicted(folder: Path, bundle: Path, table: Path) -> dict[str, dict[str, str]]:
    """The rows of ``emotions predict`` by the names of their files. Decoders print nothing."""
    command = [
        sys.executable,
        "-m",
        "emotions.cli",
        "predict",
        folder,
        "--bundle",
        bundle,
        "--output",
        table,
        "--quiet",
    ]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [*map(str, command)], env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert (done.returncode, done.stderr) == (1, "")
    with table.open(encoding="utf-8", newline="") as stream:
        return {Path(row["file"]).name: row for row in csv.DictReader(stream)}


def _checked(path: Path, folder: Path) -> str:
    """The report of ``emotions data check`` on one recording."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "joy").mkdir(parents=True)
    shutil.copy(path, folder / "joy")
    return str(check_dataset(DatasetConfig(path=str(folder)), folder))


def test_every_ending_of_the_table_is_searched_for(recordings: list[Recording]) -> None:
    assert {recording.path.suffix for recording in recordings} <= EXTENSIONS
    assert {".mov", ".3gp", ".m4b", ".weba", ".aifc", ".mp2", ".amr", ".wma", ".gsm"} <= EXTENSIONS
