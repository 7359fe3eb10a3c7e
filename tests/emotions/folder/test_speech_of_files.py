"""Files of which only the speech is classified."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import emotions
from emotions.audio.windows import FloatArray
from emotions.errors import NoSpeech, Silent
from emotions.folder.predict_files import predict_files
from emotions.folder.result import FileResult
from emotions.inputs.input_file import InputFile
from emotions.runtime.prediction import Prediction
from tests.conftest import WriteWav
from tests.emotions.audio.speech.conftest import between_silences, real_clips, sounds_without_speech


@pytest.fixture(scope="module")
def predictor(tiny_bundle: Path) -> emotions.Predictor:
    return emotions.load(tiny_bundle, device="cpu", threads=1)


@pytest.fixture(scope="module")
def talk() -> FloatArray:
    return between_silences(real_clips())


def _results(predictor: emotions.Predictor, *files: InputFile) -> list[FileResult]:
    return [*predict_files(predictor, files, segments="speech")]


def _close(one: Prediction, other: Prediction) -> None:
    assert [(each.start, each.end) for each in one.windows] == [(each.start, each.end) for each in other.windows]
    assert [(each.start, each.end) for each in one.segments] == [(each.start, each.end) for each in other.segments]
    for target, scores in one.probabilities.items():
        assert scores == pytest.approx(other.probabilities[target], abs=1e-5)


def test_a_file_answers_as_its_waveform(
    predictor: emotions.Predictor, talk: FloatArray, tmp_path: Path, write_wav: WriteWav
) -> None:
    path = write_wav(tmp_path / "talk.wav", talk, rate=16_000)
    (result,) = _results(predictor, InputFile(path, "talk.wav"))
    assert result.prediction is not None
    _close(result.prediction, predictor.predict(path, segments="speech"))
    assert result.prediction.duration_sec == pytest.approx(len(talk) / 16_000)
    assert 0 < result.prediction.speech_sec < result.prediction.duration_sec - 3
    for window in result.prediction.windows:
        assert any(span.start <= window.start and window.end <= span.end for span in result.prediction.segments)


def test_what_lies_between_segments_changes_nothing(predictor: emotions.Predictor, talk: FloatArray) -> None:
    plain, longer = (predictor.predict(each, segments="speech") for each in (talk, np.pad(talk, (0, 512 * 200))))
    assert longer.duration_sec > plain.duration_sec + 6
    _close(plain, longer)


def test_segments_count_by_their_length(predictor: emotions.Predictor, talk: FloatArray) -> None:
    found = predictor.predict(talk, segments="speech")
    seconds = np.array([each.end - each.start for each in found.segments])
    for target, scores in found.probabilities.items():
        for label, probability in scores.items():
            every = np.array([each.probabilities[target][label] for each in found.segments])
            assert probability == pytest.approx(float((every * seconds).sum() / seconds.sum()), abs=1e-6)


def test_all_of_a_recording_is_the_default(predictor: emotions.Predictor, talk: FloatArray) -> None:
    found = predictor.predict(talk)
    assert found.segments == ()
    assert found.speech_sec == 0


def test_files_without_speech_are_rows_with_the_error(
    predictor: emotions.Predictor, tmp_path: Path, write_wav: WriteWav
) -> None:
    sounds = {**sounds_without_speech(), "silence": np.zeros(32_000, np.float32)}
    files = [
        InputFile(write_wav(tmp_path / f"{name}.wav", samples, rate=16_000), name) for name, samples in sounds.items()
    ]
    results = _results(predictor, *files)
    assert [each.code for each in results] == ["no_speech"] * (len(sounds) - 1) + ["silent"]
    assert results[0].error == "no speech in its 6.00 s"
    with pytest.raises(NoSpeech):
        predictor.predict(sounds["tone"], segments="speech")
    with pytest.raises(Silent):
        predictor.predict(sounds["silence"], segments="speech")


def test_a_segment_of_a_table_is_searched_alone(
    predictor: emotions.Predictor, talk: FloatArray, tmp_path: Path, write_wav: WriteWav
) -> None:
    path = write_wav(tmp_path / "talk.wav", talk, rate=16_000)
    silent, spoken = InputFile(path, "talk", 0.0, 0.8), InputFile(path, "talk", 0.5, 4.0)
    before, inside = _results(predictor, silent, spoken)
    assert before.code == "silent"
    assert inside.prediction is not None
    assert inside.prediction.segments[0].start < 1
