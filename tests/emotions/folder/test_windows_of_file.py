"""Long recordings, part by part: the same windows as all at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import emotions
from emotions.audio import decode
from emotions.audio.windows import WindowSpec, split
from emotions.errors import NotFinite, Silent
from emotions.folder import windows_of_file
from emotions.folder.predict_files import predict_files
from emotions.folder.windows_of_file import window_parts
from emotions.inputs.discovery import find_files
from emotions.inputs.input_file import InputFile
from tests.conftest import Tone, WriteWav


@given(
    samples=st.integers(400, 5_000),
    window=st.integers(50, 900),
    hop=st.integers(20, 1_200),
    block=st.integers(1, 700),
)
@settings(deadline=None, max_examples=200)
def test_parts_are_the_windows_of_the_whole(samples: int, window: int, hop: int, block: int) -> None:
    spec = WindowSpec(window, hop)
    waveform = np.random.default_rng(0).normal(0, 0.1, samples).astype(np.float32)
    blocks = (waveform[at : at + block] for at in range(0, samples, block))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows_of_file, "_PART_SEC", 0)
        patch.setattr(windows_of_file, "_PART_WINDOWS", 1.3)
        parts = list(windows_of_file._windows(blocks, spec))
    whole = split(waveform, replace(spec, dynamic=True))
    for name in ("samples", "lengths", "starts"):
        np.testing.assert_array_equal(np.concatenate([getattr(part, name) for part in parts]), getattr(whole, name))


@pytest.fixture(scope="module")
def predictor(tiny_bundle: Path) -> emotions.Predictor:
    return emotions.load(tiny_bundle, device="cpu", threads=1)


def test_a_long_recording_answers_as_all_at_once(
    predictor: emotions.Predictor, tmp_path: Path, write_wav: WriteWav
) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 100 * 22_050)
    path = write_wav(tmp_path / "a.wav", noise, rate=22_050)
    assert len([*window_parts(InputFile(path, "a"), predictor.manifest.window.spec, [])]) == 3
    (result,) = predict_files(predictor, [InputFile(path, "a.wav")])
    alone = predictor.predict(path)
    assert result.prediction is not None
    assert len(result.prediction.windows) == len(alone.windows) == 200
    assert result.prediction.duration_sec == alone.duration_sec
    for mine, theirs in zip(result.prediction.windows, alone.windows, strict=True):
        assert (mine.start, mine.end) == (theirs.start, theirs.end)
        assert mine.probabilities["emotion"] == pytest.approx(theirs.probabilities["emotion"], abs=1e-4)


def test_what_is_wrong_with_a_long_recording_is_found_wherever_it_is(
    predictor: emotions.Predictor, tmp_path: Path, write_wav: WriteWav, tone: Tone
) -> None:
    long = tone(95)
    long[94 * 16_000] = np.nan
    write_wav(tmp_path / "1_nan.wav", long, subtype="FLOAT")
    write_wav(tmp_path / "2_silent.wav", np.zeros(95 * 16_000))
    path = write_wav(tmp_path / "3_cut.flac", np.random.default_rng(0).normal(0, 0.1, 95 * 16_000))
    path.write_bytes(path.read_bytes()[:-50_000])
    write_wav(tmp_path / "4_good.wav", tone(40))
    results = [*predict_files(predictor, find_files([tmp_path]).files)]
    assert [result.code for result in results] == ["not_finite", "silent", None, None]
    assert [result.prediction and result.prediction.truncated for result in results] == [None, None, True, False]
    strict = [*predict_files(predictor, find_files([tmp_path]).files, strict=True)]
    assert [result.code for result in strict] == ["not_finite", "silent", "truncated", None]
    for error, name in ((NotFinite, "1_nan.wav"), (Silent, "2_silent.wav")):
        with pytest.raises(error):
            decode.decode(tmp_path / name)


def test_the_audio_track_of_a_video_is_read(predictor: emotions.Predictor, tmp_path: Path, tone: Tone) -> None:
    path = tmp_path / "talk.mp4"
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mpeg4", rate=10)
        picture.width = picture.height = 64
        sound = container.add_stream("aac", rate=16_000, layout="mono")
        for _ in range(20):
            image = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            container.mux(picture.encode(image))
        frame = av.AudioFrame.from_ndarray(tone(2.0)[None], format="fltp", layout="mono")
        frame.sample_rate = 16_000
        container.mux([*sound.encode(frame), *sound.encode(None), *picture.encode(None)])
    (result,) = predictor.predict_folder(tmp_path)
    assert result.prediction is not None
    assert result.prediction.duration_sec == pytest.approx(2.0, abs=0.15)
