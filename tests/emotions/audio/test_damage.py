"""Damage of every kind: named, bounded, and without a word from the decoders."""

from __future__ import annotations

import contextlib
import resource
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from emotions.audio import decode
from emotions.audio.chunks import check_end
from emotions.errors import AudioError, NotAudio
from tests.conftest import Tone
from tests.emotions.audio.test_decode import by_ffmpeg, by_libsndfile
from tests.emotions.audio.test_mpeg import mp3
from tests.recordings import wrong_wavs
from tests.servers import REPOSITORY

CONTAINERS = ["aiff", "au", "caf", "w64", "mov", "matroska", "asf", "ogg"]


def test_a_hole_in_a_stream_is_marked_as_damage(tone: Tone) -> None:
    data = bytearray(by_ffmpeg(tone(4.0, rate=16_000), 16_000, "adts", "aac"))
    middle = data.index(data[:4], len(data) // 2)
    data[middle + 7 : middle + 60] = b"\xff\x00" * 26 + b"\xff"
    recording = decode.read(bytes(data))
    assert len(recording.waveform) > 60_000
    assert [flaw.code for flaw in recording.flaws] == ["damaged"]


def test_what_is_mostly_damaged_is_refused(tone: Tone) -> None:
    data = bytearray(by_ffmpeg(tone(2.0, rate=16_000), 16_000, "matroska", "aac"))
    random = np.random.default_rng(0)
    start = len(data) // 8
    data[start:] = random.integers(0, 256, len(data) - start, np.uint8).tobytes()
    try:
        assert decode.read(bytes(data)).flaws
    except NotAudio as error:
        assert "cannot be decoded" in str(error)  # noqa: PT017 - either is right, silence is not


def test_bytes_behind_the_audio_that_no_header_names_are_marked(tone: Tone) -> None:
    whole = by_libsndfile(tone(1.0), 16_000, "WAV", "PCM_16")
    at = whole.index(b"data") + 4
    early = whole[:at] + struct.pack("<I", 8_000) + whole[at + 4 :]
    recording = decode.read(early)
    assert len(recording.waveform) == 4_000
    assert recording.warnings == ("damaged: its header leaves out 24000 bytes behind the audio, which are not read",)


@pytest.mark.parametrize("size", [0xFFFFFFF0, 0x7FFFFFFF, 1 << 31])
@pytest.mark.parametrize("field", ["fmt ", "LIST", "ds64", "data"])
def test_sizes_that_a_header_claims_are_bounded_by_the_file(tone: Tone, field: str, size: int) -> None:
    pcm = (tone(0.5) * 32_767).astype("<i2").tobytes()
    whole = {name: content for name, content, _ in wrong_wavs(pcm)}
    content = bytearray(whole["rf64" if field == "ds64" else "padded"])
    at = content.index(field.encode()) + 4
    content[at : at + 4] = struct.pack("<I", size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with contextlib.suppress(AudioError):
        assert len(decode.read(bytes(content)).waveform) <= 8_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000, "KiB"


@given(st.binary(max_size=300), st.sampled_from(CONTAINERS), st.sampled_from([b"", bytes(12), bytes(40)]))
@settings(max_examples=300)
def test_any_bytes_end_somewhere(data: bytes, demuxer: str, head: bytes) -> None:
    import io

    try:
        check_end(io.BytesIO(head + data), demuxer)
    except NotAudio as error:
        assert "several recordings" in str(error)  # noqa: PT017 - most bytes raise nothing


def test_decoders_print_nothing(tone: Tone, tmp_path: Path) -> None:
    data = mp3(tone(3.0))
    broken = bytearray(data)
    broken[len(data) // 2 : len(data) // 2 + 300] = bytes(300)
    contents = {"whole.mp3": data, "hole.mp3": bytes(broken), "cut.mp3": data[:-50], "behind.mp3": data[500:]}
    for container, subtype in (("FLAC", "PCM_16"), ("OGG", "VORBIS")):
        whole = by_libsndfile(np.random.default_rng(0).normal(0, 0.1, 64_000), 16_000, container, subtype)
        hole = bytearray(whole)
        hole[len(hole) // 2 : len(hole) // 2 + 90] = bytes(90)
        contents |= {f"cut.{container.lower()}": whole[:-900], f"hole.{container.lower()}": bytes(hole)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    code = (
        "import sys\nfrom emotions.audio.decode import read\nfrom emotions.errors import AudioError\n"
        "for path in sys.argv[1:]:\n    try:\n        read(path)\n    except AudioError:\n        pass\n"
    )
    command = [sys.executable, "-c", code, *map(str, sorted(tmp_path.iterdir()))]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("", "")


def test_a_hole_in_a_flac_is_heard_or_marked(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 30 * 16_000), 16_000)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 300] = bytes(300)
    recording = decode.read(bytes(data))
    assert len(recording.waveform) > 29 * 16_000
    assert recording.flaws
