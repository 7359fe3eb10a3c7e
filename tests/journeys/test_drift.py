"""Drift of real recordings: planted, it is found; drawn from the same recordings, it is not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import emotions
from emotions.audio.decode import SAMPLE_RATE, to_model_rate
from emotions.audio.decoders.read import read
from emotions.audio.signal_measure import measure_signal
from emotions.audio.synthetic_speech import synthetic_speech
from emotions.audio.windows import FloatArray
from emotions.bundle.reference.drift import Comparison
from emotions.bundle.reference.fit import reference_of
from emotions.bundle.reference.observation import Observation
from emotions.cli import run
from emotions.inputs.discovery import find_files
from emotions.predictor import Predictor

RESAMPLES = 20
Alter = Callable[[FloatArray], FloatArray]


def telephone(waveform: FloatArray) -> FloatArray:
    """300 to 3400 Hz."""
    spectrum, hertz = np.fft.rfft(waveform), np.fft.rfftfreq(len(waveform), 1 / SAMPLE_RATE)
    spectrum[(hertz < 300) | (hertz > 3400)] = 0
    return np.fft.irfft(spectrum, len(waveform)).astype(np.float32)


def louder(waveform: FloatArray) -> FloatArray:
    """By 12 dB, clipped as a microphone is."""
    return np.clip(waveform * np.float32(10 ** (12 / 20)), -1, 1)


def faster(waveform: FloatArray) -> FloatArray:
    """Pitch, formants and tempo a fifth higher."""
    return to_model_rate(waveform, round(SAMPLE_RATE * 1.2))


def other_speech(waveform: FloatArray) -> FloatArray:
    """Speech of another source, as long and as loud."""
    made = synthetic_speech(len(waveform), np.random.default_rng(len(waveform)))
    return (made * np.sqrt(np.mean(waveform**2) / np.mean(made**2))).astype(np.float32)


def observed(predictor: Predictor, waveform: FloatArray) -> Observation:
    said = predictor.predict(np.ascontiguousarray(waveform, np.float32))
    return Observation(said.probabilities, said.values, said.duration_sec, measure_signal(waveform))


@pytest.fixture(scope="module")
def clips(emodb4: Path) -> tuple[list[FloatArray], list[str]]:
    """All recordings, and the class of each."""
    files = find_files([emodb4]).files
    return [read(file.path).waveform for file in files], [file.name.split("/")[0] for file in files]


@pytest.fixture(scope="module")
def predictor(emodb4: Path, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """A small classifier that was trained on them, by the first pipeline that the toolkit makes of a folder."""
    folder = tmp_path_factory.mktemp("trained")
    small = ["--set", "pipeline.0.learn_params.max_epoch=3"]
    command = ["init", str(emodb4), "--yes", "--output", str(folder / "config.json")]
    assert run(command) == 0
    assert run(["train", "--config-file", str(folder / "config.json"), "--root", str(folder), *small]) == 0
    bundle = folder / "bundle"
    assert run(["export", "--run", str(next((folder / "runs").iterdir())), "--output", str(bundle)]) == 0
    return emotions.load(bundle, device="cpu")


@pytest.fixture(scope="module")
def plain(predictor: Predictor, clips: tuple[list[FloatArray], list[str]]) -> list[Observation]:
    return [*map(partial(observed, predictor), clips[0])]


def halves(count: int, seed: int) -> tuple[Sequence[int], Sequence[int]]:
    order = np.random.default_rng(seed).permutation(count)
    return order[: count // 2].tolist(), order[count // 2 :].tolist()


def comparison(predictor: Predictor, clips: Sequence[Observation]) -> Comparison:
    labels = predictor.manifest.labels
    return Comparison(reference_of(clips, labels, "half of the recordings"), labels)


def drifted(found: Comparison, clips: Sequence[Observation]) -> set[str]:
    return {each.statistic for each in found.findings(found.joined(clips)) if each.drifted}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_halves_of_the_same_recordings_are_no_drift(predictor: Predictor, plain: list[Observation]) -> None:
    alarms = []
    for seed in range(RESAMPLES):
        one, other = halves(len(plain), seed)
        alarms.append(drifted(comparison(predictor, [plain[at] for at in one]), [plain[at] for at in other]))
    assert alarms == [set()] * RESAMPLES


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("alter", [telephone, louder, faster, other_speech])
def test_altered_recordings_are_drift_within_two_hundred(
    predictor: Predictor, clips: tuple[list[FloatArray], list[str]], plain: list[Observation], alter: Alter
) -> None:
    one, other = halves(len(plain), 0)
    found = comparison(predictor, [plain[at] for at in one])
    assert drifted(found, [observed(predictor, alter(clips[0][at])) for at in other])


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_class_that_vanishes_is_drift_of_the_labels(
    predictor: Predictor, clips: tuple[list[FloatArray], list[str]], plain: list[Observation]
) -> None:
    one, other = halves(len(plain), 0)
    most = max({*clips[1]}, key=clips[1].count)
    found = comparison(predictor, [plain[at] for at in one])
    assert drifted(found, [plain[at] for at in other if clips[1][at] != most])
