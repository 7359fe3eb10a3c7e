"""What an export is proven on: the recordings that a user names are read within the limits of a decoder."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emotions.audio.decode import SAMPLE_RATE
from emotions.errors import CheckpointError, DataError
from emotions.files.json_text import read_json, write_json
from export.sources import load_source, recordings
from tests import hostile_audio


def test_a_hostile_recording_is_passed_over(tmp_path: Path) -> None:
    voice = 0.3 * np.sin(np.arange(SAMPLE_RATE) * 0.1)
    soundfile.write(tmp_path / "good.wav", voice, SAMPLE_RATE)
    (tmp_path / "claims.m4a").write_bytes(hostile_audio.m4a_that_claims(85_000_000))
    (tmp_path / "fragments.mp4").write_bytes(hostile_audio.fragments_that_claim(85_000_000))
    (tmp_path / "long.opus").write_bytes(hostile_audio.opus_silence(700.0))
    (waveform,) = recordings(tmp_path, seed=0)
    np.testing.assert_allclose(waveform, voice, atol=1e-4)


def test_they_are_decoded_within_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    voice = 0.3 * np.sin(np.arange(96_000) * 0.1)[:, None].repeat(32, 1)
    soundfile.write(tmp_path / "many.ogg", voice, 96_000, format="OGG", subtype="VORBIS")
    assert len([*recordings(tmp_path, seed=0)]) == 1
    monkeypatch.setenv("EMOTIONS_DECODER_MEMORY", "65536")
    with pytest.raises(DataError, match="holds no recording that can be used"):
        list(recordings(tmp_path, seed=0))


def test_a_bundle_says_what_taught_its_model(trained_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained_run, tmp_path / "run")
    index = read_json(run / "run.json")
    known = {"bundle": "large@0123456789ab", "digest": "0" * 64, "weight": 0.5, "temperature": 2.0}
    write_json(run / "run.json", {**index, "teacher": known})
    told = load_source(run).extra["teacher"]
    assert told == {**known, "unlabelled": None, "trained_on": None, "saw_held_out": None}
    assert "teacher" not in load_source(trained_run).extra
    write_json(run / "run.json", {**index, "teacher": {**known, "weight": 7}})
    with pytest.raises(CheckpointError, match=r"is damaged \(teacher.weight"):
        load_source(run)
