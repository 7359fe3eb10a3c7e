"""One channel of a recording, in every reader."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from emotions.audio.decode import SAMPLE_RATE, ReadOptions
from emotions.audio.decoders.read import read
from emotions.audio.windows import FloatArray
from emotions.errors import NoChannel

HERTZ = (300, 700, 1500)
KINDS = ("pcm16.wav", "float.wav", "whole.flac", "vorbis.ogg", "mulaw.au", "aac.m4a")


def tones(channels: int) -> FloatArray:
    """(samples, channels): 4 s, a tone of its own in each channel."""
    time = np.arange(4 * SAMPLE_RATE) / SAMPLE_RATE
    return np.stack([0.3 * np.sin(2 * np.pi * hertz * time) for hertz in HERTZ[:channels]], axis=1).astype(np.float32)


def written(folder: Path, name: str, samples: FloatArray) -> Path:
    path = folder / name
    if name == "aac.m4a":
        with av.open(str(path), "w") as container:
            track = container.add_stream("aac", rate=SAMPLE_RATE, layout="stereo")
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), "fltp", "stereo")
            frame.sample_rate = SAMPLE_RATE
            container.mux([*track.encode(frame), *track.encode(None)])
        return path
    subtypes = {"float.wav": "FLOAT", "pcm16.wav": "PCM_16", "mulaw.au": "ULAW"}
    soundfile.write(path, samples, SAMPLE_RATE, subtype=subtypes.get(name))
    return path


def amplitudes(waveform: FloatArray) -> list[float]:
    """Of the tones, in the two seconds in the middle, where all periods are whole."""
    spectrum = np.abs(np.fft.rfft(waveform[SAMPLE_RATE : 3 * SAMPLE_RATE])) / SAMPLE_RATE
    return [float(spectrum[2 * hertz]) for hertz in HERTZ]


@pytest.mark.parametrize("name", KINDS)
def test_a_channel_has_its_own_samples_and_no_others(name: str, tmp_path: Path) -> None:
    path = written(tmp_path, name, tones(2))
    for number, expected in enumerate(((0.3, 0, 0), (0, 0.3, 0)), 1):
        whole = read(path, ReadOptions(channel=number))
        assert whole.channels == 2
        assert amplitudes(whole.waveform) == pytest.approx(expected, abs=0.01)
        part = read(path, ReadOptions(start=1.0, end=3.0, channel=number)).waveform
        assert np.abs(part - whole.waveform[SAMPLE_RATE : 3 * SAMPLE_RATE]).max() < 1e-3
    assert amplitudes(read(path).waveform) == pytest.approx((0.15, 0.15, 0), abs=0.01)


@pytest.mark.parametrize("name", KINDS)
def test_a_channel_that_is_not_there(name: str, tmp_path: Path) -> None:
    path = written(tmp_path, name, tones(2))
    with pytest.raises(NoChannel, match="has 2 channels, so there is none of the number 3"):
        read(path, ReadOptions(channel=3))


def test_the_only_channel_is_the_recording(tmp_path: Path) -> None:
    path = written(tmp_path, "pcm16.wav", tones(1))
    assert np.array_equal(read(path, ReadOptions(channel=1)).waveform, read(path).waveform)
    with pytest.raises(NoChannel, match="has 1 channel, so there is none of the number 2"):
        read(path, ReadOptions(channel=2))


def test_one_of_three_channels_at_another_rate(tmp_path: Path) -> None:
    samples = tones(3)
    soundfile.write(tmp_path / "three.wav", samples, SAMPLE_RATE // 2)
    found = read(tmp_path / "three.wav", ReadOptions(channel=3)).waveform
    alone = tmp_path / "alone.wav"
    soundfile.write(alone, samples[:, 2], SAMPLE_RATE // 2)
    assert np.abs(found - read(alone).waveform).max() < 1e-4
