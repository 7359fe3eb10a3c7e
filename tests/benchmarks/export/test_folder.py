"""The race of a folder against the transformers pipeline: it runs, and says what it measured."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from transformers import Wav2Vec2Config

from benchmarks.export.folder import benchmark
from emotions.errors import DataError
from tests.conftest import Tone, WriteWav
from tests.export.huggingface.checkpoints import TINY


@pytest.mark.slow
def test_a_folder_is_raced_in_both_forms(tmp_path: Path, tone: Tone, write_wav: WriteWav) -> None:
    for index in range(3):
        write_wav(tmp_path / f"{index}.wav", tone(0.2 + 0.1 * index, 300 + 200 * index))
    config = Wav2Vec2Config(**TINY, classifier_proj_size=16)
    head, *lines = benchmark(tmp_path, 2, 1, 1, config, tmp_path / "kept")
    assert head == "2 files, 0.6 s of audio, 1 threads, medians of 1 interleaved rounds"
    assert [re.sub(r"\d+\.\d+", "#", line) for line in lines] == [
        "folder fp32: # clips/s, # times real time",
        "folder int8: # clips/s, # times real time",
        "transformers: # clips/s, # times real time",
        "fp32 to transformers: # times as fast (at least #)",
        "int8 to transformers: # times as fast (at least #)",
    ]
    rates = [float(re.findall(r"\d+\.\d+", line)[0]) for line in lines]
    assert min(rates[:3]) > 0
    assert rates[3] == pytest.approx(rates[0] / rates[2], rel=0.05)
    assert (tmp_path / "kept" / "bundle" / "manifest.json").exists()


def test_no_recording_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no recording to race on"):
        [*benchmark(tmp_path, 2, 1, 1)]
