from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import emotions
from emotions.bundle.summary import describe
from emotions.errors import AudioError, BundleError, NotFinite, Silent, TooShort, Truncated
from tests.conftest import TINY_TARGETS, Tone, WriteWav, make_tiny_bundle


@pytest.fixture(scope="module")
def predictor(tiny_bundle: Path) -> emotions.Predictor:
    return emotions.load(tiny_bundle, device="cpu", threads=1)


def test_every_form_of_a_clip_gives_one_answer(
    predictor: emotions.Predictor, tone: Tone, write_wav: WriteWav, tmp_path: Path
) -> None:
    waveform = tone(1.3)
    path = write_wav(tmp_path / "clip.wav", waveform, subtype="FLOAT")
    expected = predictor.predict(waveform).probabilities
    for form in (path, str(path), path.read_bytes(), (waveform, 16_000), waveform.astype(np.float64)):
        assert predictor.predict(form).probabilities == expected


def test_a_waveform_at_another_rate_is_resampled(predictor: emotions.Predictor, tone: Tone) -> None:
    at_16 = predictor.predict(tone(1.0, 440, 16_000))
    at_48 = predictor.predict((tone(1.0, 440, 48_000), 48_000))
    assert at_48.probabilities["emotion"] == pytest.approx(at_16.probabilities["emotion"], abs=0.02)


def test_a_prediction_says_what_the_windows_say(predictor: emotions.Predictor, tone: Tone) -> None:
    prediction = predictor.predict(tone(1.3))
    assert prediction.duration_sec == pytest.approx(1.3)
    assert [(round(w.start, 3), round(w.end, 3)) for w in prediction.windows] == [(0, 0.5), (0.5, 1.0), (0.8, 1.3)]
    for target, labels in TINY_TARGETS.items():
        clip = prediction.probabilities[target]
        assert list(clip) == labels
        assert sum(clip.values()) == pytest.approx(1, abs=1e-5)
        for label in labels:
            assert clip[label] == pytest.approx(np.mean([w.probabilities[target][label] for w in prediction.windows]))
    assert prediction.label == prediction.labels["emotion"]
    assert prediction.confidence == prediction.probabilities["emotion"][prediction.label]


def test_every_sample_counts_once_where_the_bundle_says_so(
    predictor: emotions.Predictor, tone: Tone, write_wav: WriteWav, tmp_path: Path
) -> None:
    covering = emotions.load(make_tiny_bundle(tmp_path / "bundle", pooling="coverage"), device="cpu", threads=1)
    assert "every sample counts once" in describe(covering.bundle, "fp32", "cpu")
    clip = np.concatenate([tone(0.5), 0.1 * tone(33.31, 3_000)])
    prediction, before = covering.predict(clip), predictor.predict(clip)
    assert prediction.windows == before.windows
    per_sample = [1.0] * 66 + [(0.31 + 0.19 / 2) / 0.5, (0.31 + 0.19 / 2) / 0.5]
    first = next(iter(TINY_TARGETS["emotion"]))
    scores = [window.probabilities["emotion"][first] for window in prediction.windows]
    assert len(scores) == len(per_sample)
    assert prediction.probabilities["emotion"][first] == pytest.approx(np.average(scores, weights=per_sample), abs=1e-6)
    assert before.probabilities["emotion"][first] == pytest.approx(np.mean(scores), abs=1e-6)
    write_wav(tmp_path / "clips" / "long.wav", clip, subtype="FLOAT")
    (row,) = covering.predict_folder(tmp_path / "clips")
    assert row.prediction is not None
    assert row.prediction.probabilities["emotion"] == pytest.approx(prediction.probabilities["emotion"], abs=1e-6)


def test_the_predictor_tells_what_it_is(predictor: emotions.Predictor) -> None:
    for part in ("tiny@", "fp32 on cpu", "0.5 s", "angry|happy|sad"):
        assert part in repr(predictor)


@pytest.mark.parametrize(
    ("clip", "error"),
    [
        (np.zeros(8_000, np.float32), Silent),
        (np.ones(100, np.float32), TooShort),
        (np.full(8_000, np.nan, np.float32), NotFinite),
        (np.full(8_000, 3e38, np.float32), NotFinite),
        ((np.full(8_000, -2e6, np.float32), 48_000), NotFinite),
        (np.ones((2, 8_000), np.float32), AudioError),
        (np.ones(8_000, np.int16), AudioError),
        ((np.ones(8_000, np.float32), 0), AudioError),
        ([0.1, 0.2], AudioError),
        (None, AudioError),
    ],
)
def test_a_waveform_that_cannot_be_used_is_refused(
    predictor: emotions.Predictor, clip: np.ndarray, error: type[AudioError]
) -> None:
    with pytest.raises(error):
        predictor.predict(clip)


def test_a_clip_that_is_cut_off_is_marked_or_refused(
    predictor: emotions.Predictor, tmp_path: Path, tone: Tone, write_wav: WriteWav
) -> None:
    path = write_wav(tmp_path / "cut.wav", tone(1.0))
    assert not predictor.predict(path, strict=True).truncated
    path.write_bytes(path.read_bytes()[:-8_000])
    prediction = predictor.predict(path)
    assert (prediction.truncated, prediction.duration_sec) == (True, 0.75)
    assert prediction.warnings == ("truncated: is cut off: 8000 bytes of what its header promises are missing",)
    with pytest.raises(Truncated, match="8000 bytes"):
        predictor.predict(path, strict=True)
    (marked,), (refused,) = predictor.predict_folder(tmp_path), predictor.predict_folder(tmp_path, strict=True)
    assert marked.prediction is not None
    assert marked.prediction.truncated
    assert (refused.prediction, refused.code) == (None, "truncated")


def test_a_missing_bundle_is_named() -> None:
    with pytest.raises(BundleError, match="no such folder"):
        emotions.load("bundles/none")


def test_every_public_name_is_there() -> None:
    assert set(emotions.__all__) == {
        *("AsyncClient", "CallSummary", "Client", "EmotionsError", "Prediction", "Predictor", "ServiceError"),
        *("__version__", "load"),
    }
    for name in emotions.__all__:
        assert getattr(emotions, name)
    with pytest.raises(AttributeError, match="no attribute 'predict'"):
        emotions.predict  # noqa: B018


def test_loading_and_predicting_needs_no_torch(tiny_bundle: Path) -> None:
    code = (
        "import sys, numpy, emotions;"
        f"p = emotions.load({str(tiny_bundle)!r}); p.predict(numpy.sin(numpy.arange(9000) / 9).astype('float32'));"
        "print([m for m in ('torch', 'onnx', 'lightning', 'transformers', 'bentoml') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
