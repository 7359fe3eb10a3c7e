"""What an export is proven on: the recordings that a user names are read within the limits of a decoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from emotions.audio.decode import SAMPLE_RATE
from emotions.errors import DataError
from export.sources import recordings
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
