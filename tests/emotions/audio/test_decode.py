from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emotions.audio import decode
from emotions.errors import AudioError, NotAudio, NotFinite, Silent, TooLong, TooShort, Truncated
from tests.conftest import Tone

LIBSNDFILE = [
    *(("WAV", subtype) for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAW")),
    ("FLAC", "PCM_16"),
    ("FLAC", "PCM_24"),
    ("OGG", "VORBIS"),
    ("MP3", "MPEG_LAYER_III"),
    ("AIFF", "PCM_16"),
    ("AU", "PCM_16"),
    ("CAF", "PCM_16"),
    ("RF64", "PCM_16"),
    ("W64", "PCM_16"),
]
FFMPEG = [("mp4", "aac"), ("ipod", "aac"), ("adts", "aac"), ("webm", "libopus"), ("ogg", "libopus")]


def by_libsndfile(waveform: np.ndarray, rate: int, container: str, subtype: str | None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, waveform, rate, format=container, subtype=subtype)
    return file.getvalue()


def by_ffmpeg(waveform: np.ndarray, rate: int, container: str, codec: str) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(waveform[None], format="fltp", layout="mono")
        frame.rate = rate
        frames = av.AudioResampler(format=stream.format, layout="mono", rate=rate, frame_size=stream.frame_size or 1024)
        for part in [*frames.resample(frame), *frames.resample(None)]:
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    return file.getvalue()


def dominant_hz(waveform: np.ndarray) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(waveform, 16_000))))


@pytest.mark.parametrize(("container", "subtype"), LIBSNDFILE)
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
@pytest.mark.parametrize("channels", [1, 2])
def test_every_libsndfile_form_gives_the_same_tone(
    tone: Tone, container: str, subtype: str, rate: int, channels: int
) -> None:
    signal = np.stack([tone(1.0, 440.0, rate)] * channels, axis=1)
    waveform = decode.decode(by_libsndfile(signal, rate, container, subtype))
    assert waveform.dtype == np.float32
    assert abs(len(waveform) - 16_000) <= 2
    assert abs(dominant_hz(waveform) - 440) <= 2
    assert 0.27 < np.abs(waveform).max() < 0.34


@pytest.mark.parametrize(("container", "codec"), FFMPEG)
def test_every_ffmpeg_form_gives_the_same_tone(tone: Tone, container: str, codec: str) -> None:
    waveform = decode.decode(by_ffmpeg(tone(1.0, 440.0, 48_000), 48_000, container, codec))
    assert 15_900 < len(waveform) < 16_600
    assert abs(dominant_hz(waveform[1600:-1600]) - 440) <= 2


def test_96_khz_is_resampled_without_aliases() -> None:
    time = np.arange(96_000) / 96_000
    waveform = decode.decode(by_libsndfile(np.sin(2 * np.pi * 12_000 * time), 96_000, "WAV", "PCM_16"))
    assert np.abs(waveform[1000:-1000]).max() < 0.01, "12 kHz is above what 16 kHz can hold"


def test_channels_are_averaged_and_what_exceeds_the_range_is_clipped(tone: Tone) -> None:
    opposite = np.stack([tone(), -tone()], axis=1)
    assert np.abs(decode.read(by_libsndfile(opposite, 16_000, "WAV", "FLOAT")).waveform).max() < 1e-7
    loud = decode.decode(by_libsndfile(tone() * 100, 16_000, "WAV", "FLOAT"))
    assert np.abs(loud).max() == 1


def test_blocks_resample_as_one_stream(tone: Tone) -> None:
    long = tone(25.0, 440.0, 22_050)
    by_blocks = decode.decode(by_libsndfile(long, 22_050, "WAV", "FLOAT"))
    assert np.abs(by_blocks - decode.to_model_rate(long, 22_050)).max() < 1e-5


def test_a_path_and_its_bytes_are_the_same(tmp_path: Path, tone: Tone) -> None:
    path = tmp_path / "речь 😀\n.wav"
    path.write_bytes(by_libsndfile(tone(), 16_000, "WAV", "PCM_16"))
    assert np.array_equal(decode.decode(path), decode.decode(path.read_bytes()))
    assert np.array_equal(decode.decode(str(path)), decode.decode(path))


def test_facts_of_the_recording_are_told(tone: Tone) -> None:
    stereo = np.stack([tone(0.5, 440, 8_000)] * 2, axis=1)
    recording = decode.read(by_libsndfile(stereo, 8_000, "FLAC", "PCM_16"))
    assert (recording.rate, recording.channels, len(recording.waveform)) == (8_000, 2, 8_000)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF",
        b"RIFF\x00\x00\x00\x00WAVE",
        b"\xff\xfb" + bytes(200),
        b"OggS" + b"\x01" * 100,
        b"\x1a\x45\xdf\xa3" + b"\x02" * 100,
        b"\x00\x00\x00\x20ftypisom" + bytes(100),
        b"\xff\xf1" + bytes(100),
        b"ID3" + bytes(400),
        b"fLaC" + b"\x07" * 100,
        b"PK\x03\x04" + bytes(100),
        b"\x80\x04\x95" + bytes(100),
        b"#EXTM3U\nfile:///etc/passwd",
        "просто текст".encode(),
        b"<!DOCTYPE html>",
    ],
)
def test_what_is_not_audio_is_named_so(data: bytes) -> None:
    with pytest.raises(NotAudio):
        decode.decode(data)


@pytest.mark.parametrize("container", ["WAV", "FLAC", "MP3", "AIFF", "AU", "CAF", "RF64", "W64"])
def test_a_recording_that_was_cut_off_is_heard_and_marked_or_refused(tone: Tone, container: str) -> None:
    whole = by_libsndfile(tone(3.0), 16_000, container, "PCM_16" if container != "MP3" else None)
    half = whole[: len(whole) // 2]
    recording = decode.read(half)
    assert 0.9 * 16_000 < len(recording.waveform) < 2 * 16_000
    assert [warning.split(":")[0] for warning in recording.warnings] == ["truncated"]
    with pytest.raises(Truncated, match="is cut off"):
        decode.read(half, strict=True)
    assert not decode.read(whole, strict=True).flaws


def test_a_wav_whose_recorder_left_the_size_open_is_read(tone: Tone) -> None:
    data = bytearray(by_libsndfile(tone(), 16_000, "WAV", "PCM_16"))
    data[40:44] = b"\xff\xff\xff\xff"
    assert len(decode.decode(bytes(data))) == 16_000


def test_a_wav_without_samples_is_too_short() -> None:
    with pytest.raises(TooShort):
        decode.decode(by_libsndfile(np.zeros(0), 16_000, "WAV", "PCM_16"))


@pytest.mark.parametrize(
    ("waveform", "error"),
    [
        (np.zeros(16_000), Silent),
        (np.full(16_000, 0.00009), Silent),
        (np.full(399, 0.5), TooShort),
        (np.r_[np.full(800, 0.5), np.nan], NotFinite),
        (np.r_[np.full(800, 0.5), np.inf], NotFinite),
        (np.r_[np.full(800, 0.5), -np.inf], NotFinite),
    ],
)
def test_audio_with_nothing_to_classify_is_named_so(waveform: np.ndarray, error: type[AudioError]) -> None:
    with pytest.raises(error):
        decode.decode(by_libsndfile(waveform, 16_000, "WAV", "DOUBLE"))


def test_400_samples_are_enough(tone: Tone) -> None:
    assert len(decode.decode(by_libsndfile(tone(0.025), 16_000, "WAV", "PCM_16"))) == 400


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
def test_decoding_stops_at_the_limit(tone: Tone, rate: int) -> None:
    data = by_libsndfile(tone(2.0, 440, rate), rate, "FLAC", "PCM_16")
    assert len(decode.decode(data, max_sec=2.0)) == 32_000
    with pytest.raises(TooLong, match=r"longer than 1\.9 s"):
        decode.decode(data, max_sec=1.9)


def test_a_video_without_sound_has_no_audio_track() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream = output.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for _ in range(5):
            output.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        output.mux(stream.encode(None))
    with pytest.raises(NotAudio, match="no audio track"):
        decode.decode(file.getvalue())


def test_a_recording_of_many_channels_is_averaged(tone: Tone) -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as output:
        stream = output.add_stream("pcm_f32le", rate=16_000)
        stream.layout = "22.2"
        interleaved = np.repeat(tone()[:, None], 24, axis=1).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(interleaved, format="flt", layout="22.2")
        frame.rate = 16_000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    recording = decode.read(file.getvalue())
    assert recording.channels == 24
    assert np.abs(recording.waveform - tone()).max() < 1e-6


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        decode.decode(tmp_path / "none.wav")


SAMPLES = [by_libsndfile(np.sin(np.arange(2_000) / 5), 16_000, c, s) for c, s in LIBSNDFILE]
SAMPLES += [by_ffmpeg(np.sin(np.arange(4_800) / 5).astype(np.float32), 48_000, c, s) for c, s in FFMPEG]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_damaged_bytes_decode_or_fail_as_audio_errors(data: st.DataObject) -> None:
    damaged = bytearray(data.draw(st.sampled_from(SAMPLES)))
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    damaged = damaged[: data.draw(st.integers(0, len(damaged)))]
    try:
        waveform = decode.decode(bytes(damaged), max_sec=10)
    except AudioError:
        return
    assert np.isfinite(waveform).all()
    assert np.abs(waveform).max() <= 1.5


@pytest.mark.parametrize("ending", ["wav", "flac", "aiff"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_are_the_floats_of_libsndfile(tmp_path: Path, ending: str, channels: int) -> None:
    every = np.arange(-(2**15), 2**15, dtype=np.int16)
    path = tmp_path / f"a.{ending}"
    soundfile.write(path, np.stack([np.roll(every, 7 * index) for index in range(channels)], axis=1), 16_000)
    expected = soundfile.read(path, dtype="float32", always_2d=True)[0].T
    np.testing.assert_array_equal(decode.decode(path), expected.mean(axis=0, dtype=np.float32))
