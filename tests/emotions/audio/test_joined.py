"""Streams joined in one file, and streams of unknown length: all of it is decoded."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from emotions.audio import decode
from emotions.audio.chunks import check_end
from emotions.audio.libsndfile import is_one_flac_of_known_length, is_one_vorbis
from emotions.audio.windows import FloatArray
from emotions.errors import AudioError
from tests.conftest import Tone

FORMATS = [("FLAC", "PCM_16"), ("FLAC", "PCM_24"), ("OGG", "VORBIS"), ("OGG", "OPUS")]
BLOCK = 4_608
"""The longest block of these codecs, in samples at 16 kHz."""


def encoded(waveform: FloatArray, container: str, subtype: str, rate: int = 16_000) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, waveform, rate, format=container, subtype=subtype)
    return file.getvalue()


def hz_at_the_end(waveform: FloatArray) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(waveform[-8_000:-800], 16_000))))


@pytest.mark.parametrize(("container", "subtype"), FORMATS)
@pytest.mark.parametrize("parts", [2, 3])
@pytest.mark.parametrize("from_disk", [True, False])
def test_every_stream_is_heard(
    tone: Tone, tmp_path: Path, container: str, subtype: str, parts: int, from_disk: bool
) -> None:
    pitches = [300.0 * (index + 1) for index in range(parts)]
    data = b"".join(encoded(tone(2.0, hz=hz), container, subtype) for hz in pitches)
    path = tmp_path / "joined"
    path.write_bytes(data)
    decoded = decode.read(path if from_disk else data).waveform
    assert len(decoded) == pytest.approx(parts * 32_000, abs=0 if container == "FLAC" else parts * BLOCK / 3)
    assert hz_at_the_end(decoded) == pytest.approx(pitches[-1], abs=3)


@pytest.mark.parametrize(("container", "subtype"), FORMATS[:2])
def test_a_flac_of_unknown_length_is_heard(tone: Tone, container: str, subtype: str) -> None:
    data = bytearray(encoded(tone(2.5), container, subtype))
    expected = decode.read(bytes(data)).waveform
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    assert is_one_flac_of_known_length(io.BytesIO(bytes(data))) is False
    np.testing.assert_allclose(decode.read(bytes(data)).waveform, expected, atol=1e-6)


def test_flac_in_ogg_is_heard(tone: Tone) -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="ogg") as output:
        stream = output.add_stream("flac", rate=16_000)
        stream.layout = "mono"
        for start in range(0, 32_000, 4_000):
            frame = av.AudioFrame.from_ndarray(
                (tone(0.25) * 32_767).astype(np.int16)[None], format="s16", layout="mono"
            )
            frame.rate, frame.pts = 16_000, start
            output.mux(stream.encode(frame))
        for packet in stream.encode(None):
            if packet.pts is not None:  # the last one holds no audio
                output.mux(packet)
    data = file.getvalue()
    assert len(decode.read(data).waveform) == 32_000


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"fLaC", b"OggS\0\2" + bytes(20), b"OggS\0\2" + bytes(20) + b"\1\7\1vorbis"]),
)
@settings(max_examples=200)
def test_any_bytes_are_looked_at(data: bytes, head: bytes) -> None:
    assert is_one_vorbis(io.BytesIO(head + data)) in (True, False)
    check_end(io.BytesIO(head + data), "ogg")
    assert is_one_flac_of_known_length(io.BytesIO(head + data)) in (True, False)


@given(st.binary(max_size=120), st.integers(0, 2_000))
@settings(max_examples=60, deadline=None)
def test_a_damaged_joined_file_is_heard_or_refused(damage: bytes, at: int) -> None:
    data = bytearray(encoded(np.sin(np.arange(8_000) / 9).astype(np.float32) / 3, "OGG", "VORBIS") * 2)
    data[at : at + len(damage)] = damage
    try:
        waveform = decode.read(bytes(data)).waveform
    except AudioError:
        return
    assert np.isfinite(waveform).all()
