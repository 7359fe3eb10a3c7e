"""MP3 as people have it: from a pipe, joined, with a wrong count, behind tags. All of it is decoded, or none."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from emotions.audio import decode
from emotions.audio.mpeg import first_frame, frame_bytes, id3_bytes, tagged_frames
from emotions.audio.windows import FloatArray
from emotions.errors import Truncated
from tests.conftest import Tone

RATES = [8_000, 16_000, 22_050, 44_100, 48_000]
QUALITIES = {"constant rate": {"b": "32k"}, "variable rate": {"compression_level": "5", "q": "4", "flags": "+qscale"}}


def mp3(
    waveform: FloatArray,
    rate: int = 16_000,
    *,
    channels: int = 1,
    tag: bool = True,
    codec: str = "libmp3lame",
    quality: str = "constant rate",
) -> bytes:
    """Encode a waveform (samples,); without ``tag`` as to a pipe, which cannot be rewound to write the count."""
    layout = "mono" if channels == 1 else "stereo"
    file = io.BytesIO()
    with av.open(
        file, "w", format="mp3" if codec == "libmp3lame" else "mp2", options={} if tag else {"write_xing": "0"}
    ) as output:
        stream = output.add_stream(codec, rate=rate, options=QUALITIES[quality])
        stream.layout = layout
        frame = av.AudioFrame.from_ndarray(np.tile(waveform, (channels, 1)), format="fltp", layout=layout)
        frame.rate = rate
        frames = av.AudioResampler(format=stream.format, layout=layout, rate=rate, frame_size=stream.frame_size or 1152)
        for part in [*frames.resample(frame), *frames.resample(None)]:
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    return file.getvalue()


def by_ffmpeg(data: bytes) -> FloatArray:
    """FFmpeg's own samples of an MP3, mono, (samples,), packets without a frame left out as its command line does."""
    blocks = []
    with av.open(io.BytesIO(data), format="mp3") as container:
        for packet in container.demux(audio=0):
            try:
                blocks += [frame.to_ndarray().mean(axis=0) for frame in packet.decode()]
            except av.error.InvalidDataError:
                continue
        rate = container.streams.audio[0].codec_context.sample_rate
    return decode.to_model_rate(np.clip(np.concatenate(blocks), -1, 1), rate)


def hz_at_the_end(waveform: FloatArray) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(waveform[-8_000:-800], 16_000))))


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("sec", [0.31, 2.96, 12.0])
def test_a_stream_without_a_count_is_heard_whole(
    tone: Tone, rate: int, channels: int, quality: str, sec: float
) -> None:
    data = mp3(tone(sec, rate=rate), rate, channels=channels, tag=False, quality=quality)
    decoded, expected = decode.read(data).waveform, by_ffmpeg(data)
    assert len(decoded) == len(expected) >= sec * 16_000
    np.testing.assert_allclose(decoded, expected, atol=1e-3)


@pytest.mark.parametrize("rate", RATES)
def test_a_count_makes_it_exact(tone: Tone, rate: int) -> None:
    data = mp3(tone(2.5, rate=rate), rate)
    assert tagged_frames(data[id3_bytes(data) :][:64]) > 0
    assert abs(len(decode.read(data).waveform) - 40_000) <= 1


@pytest.mark.parametrize("tags", [(True, True), (True, False), (False, True), (False, False)])
def test_every_part_of_joined_files_is_heard(tone: Tone, tags: tuple[bool, bool], tmp_path: Path) -> None:
    parts = [mp3(tone(2.0, hz=hz), tag=tag) for hz, tag in zip((300.0, 900.0), tags, strict=True)]
    path = tmp_path / "joined.mp3"
    path.write_bytes(b"".join(parts))
    decoded = decode.read(path).waveform
    assert len(decoded) == len(by_ffmpeg(path.read_bytes())) >= 64_000
    assert hz_at_the_end(decoded) == pytest.approx(900, abs=3)


def test_a_count_that_is_too_small_does_not_end_it(tone: Tone) -> None:
    data = bytearray(mp3(tone(4.0)))
    at = data.index(b"Info") + 8
    data[at : at + 4] = struct.pack(">I", 20)
    assert len(decode.read(bytes(data)).waveform) >= 63_000


@pytest.mark.parametrize("kept", [0.3, 0.7, 0.95])
@pytest.mark.parametrize("at_a_frame", [True, False])
def test_what_was_cut_off_is_heard_and_marked_where_the_count_tells(tone: Tone, kept: float, at_a_frame: bool) -> None:
    data = mp3(tone(4.0))
    end = int(kept * len(data))
    recording = decode.read(data[: data.rindex(data[id3_bytes(data) :][:2], 0, end) if at_a_frame else end])
    assert len(recording.waveform) == pytest.approx(kept * 64_000, abs=3_000)
    assert [flaw.code for flaw in recording.flaws] == ["truncated"]
    with pytest.raises(Truncated, match="is cut off"):
        decode.read(data[:end], strict=True)


@pytest.mark.parametrize("tail", [b"TAG" + bytes(125), b"APETAGEX" + bytes(56), b"LYRICSBEGIN" + bytes(40)])
def test_a_tag_behind_the_last_frame_is_no_audio(tone: Tone, tail: bytes) -> None:
    data = mp3(tone(1.0))
    assert not decode.read(data + tail).flaws
    np.testing.assert_array_equal(decode.read(data + tail).waveform, decode.read(data).waveform)


def id3(size: int) -> bytes:
    return b"ID3\x04\x00\x00" + bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0)) + bytes(size)


@pytest.mark.parametrize("size", [0, 100, 70_000])
def test_an_id3_tag_may_stand_before_any_stream(tone: Tone, size: int) -> None:
    flac = io.BytesIO()
    soundfile.write(flac, tone(1.0), 16_000, format="FLAC")
    adts = io.BytesIO()
    with av.open(adts, "w", format="adts") as output:
        stream = output.add_stream("aac", rate=16_000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(tone(1.024)[None], format="fltp", layout="mono")
        frame.rate = 16_000
        frames = av.AudioResampler(format=stream.format, layout="mono", rate=16_000, frame_size=1024)
        for part in [*frames.resample(frame), *frames.resample(None)]:
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    streams = {
        "mp3": mp3(tone(1.0)),
        "pipe": mp3(tone(1.0), tag=False),
        "flac": flac.getvalue(),
        "aac": adts.getvalue(),
    }
    for name, data in streams.items():
        tagged = id3(size) + data
        assert id3_bytes(tagged[:10]) == size + 10
        assert len(decode.read(tagged).waveform) == len(decode.read(data).waveform), name


def test_layer_2_is_heard_whole(tone: Tone) -> None:
    data = mp3(tone(3.0), codec="mp2", quality="constant rate")
    assert len(decode.read(data).waveform) >= 48_000


@given(
    st.binary(max_size=600),
    st.sampled_from([b"", b"\xff\xfb\x90\x00", b"\xff\xf3\x18\xc4", b"ID3\x04\x00\x00\x00\x00\x00\x05"]),
)
@settings(max_examples=200)
def test_any_bytes_are_counted_or_not(data: bytes, head: bytes) -> None:
    assert tagged_frames(head + data) >= 0
    assert frame_bytes((head + data)[:6]) >= 0
    found = first_frame(head + data)
    assert found is None or frame_bytes((head + data)[found:][:6]) > 0
