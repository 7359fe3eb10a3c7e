"""16-bit PCM in WAV: the samples that libsndfile gives, of a whole recording and of a part of one."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emotions.audio import decode
from emotions.audio.containers import open_stream
from emotions.errors import NotAudio

RATE = 16_000


def pcm(channels: int, frames: int, rate: int = RATE) -> bytes:
    samples = np.random.default_rng(channels).integers(-(2**15), 2**15, (frames, channels), np.int16)
    file = io.BytesIO()
    soundfile.write(file, samples, rate, "PCM_16", format="WAV" if channels < 3 else "WAVEX")
    return file.getvalue()


def by_libsndfile(content: bytes) -> np.ndarray:
    samples, _ = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    mono: np.ndarray = samples[:, 0] if samples.shape[1] == 1 else samples.T.mean(axis=0, dtype=np.float32)
    return mono


@pytest.mark.parametrize("channels", [1, 2, 3, 8])
@pytest.mark.parametrize("frames", [160, RATE * 10 - 1, RATE * 10, RATE * 21 + 7])
def test_a_recording_has_the_samples_of_libsndfile(channels: int, frames: int, tmp_path: Path) -> None:
    content = pcm(channels, frames)
    (tmp_path / "clip.wav").write_bytes(content)
    for source in (content, tmp_path / "clip.wav"):
        recording = decode.read(source)
        assert (recording.rate, recording.channels, recording.flaws) == (RATE, channels, ())
        assert np.array_equal(recording.waveform, by_libsndfile(content))


def test_a_part_begins_and_ends_at_its_samples() -> None:
    content = pcm(2, RATE * 25)
    part = decode.read(content, start=3.25, end=20.5).waveform
    assert np.array_equal(part, by_libsndfile(content)[int(3.25 * RATE) : int(20.5 * RATE)])


@pytest.mark.parametrize("cut", [1, 3, 4, 4001])
def test_a_recording_without_its_end_is_read_up_to_there_and_says_so(cut: int) -> None:
    content = pcm(2, RATE)
    recording = decode.read(content[:-cut])
    whole = by_libsndfile(content)
    assert np.array_equal(recording.waveform, whole[: (4 * len(whole) - cut) // 4])
    [flaw] = recording.flaws
    assert str(flaw).startswith("is cut off")


def test_a_file_that_is_cut_while_it_is_read_is_said_to_be_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "clip.wav"
    path.write_bytes(pcm(1, RATE * 40))
    with open_stream(path) as stream:
        blocks = iter(stream.blocks)
        samples = len(next(blocks))
        os.truncate(path, path.stat().st_size // 2)
        samples += sum(len(block) for block in blocks)
        assert RATE * 19.9 < samples <= RATE * 20
        [flaw] = stream.flaws
    assert "20.00 s of what its header promises are missing" in str(flaw)


@pytest.mark.parametrize(("channels", "rate"), [(0, RATE), (65, RATE), (1, 0), (1, 800_000)])
def test_a_shape_that_no_recording_has_is_refused(channels: int, rate: int) -> None:
    data = bytes(2 * 65 * 100)
    fmt = struct.pack("<HHIIHH", 1, channels, rate, 2 * rate * channels, 2 * channels, 16)
    chunks = b"WAVEfmt \x10\0\0\0" + fmt + b"data" + struct.pack("<I", len(data)) + data
    with pytest.raises(NotAudio, match=f"has {channels} channels at {rate} Hz"):
        decode.read(b"RIFF" + struct.pack("<I", len(chunks)) + chunks)


def test_a_guid_of_another_format_is_not_taken_for_pcm() -> None:
    content = bytearray(pcm(3, RATE))
    at = content.index(bytes.fromhex("0100000000001000800000aa00389b71"))
    content[at + 10] ^= 0xFF
    with pytest.raises(NotAudio):
        decode.read(bytes(content))
