"""The proof: it passes what is right, and each kind of wrong graph fails it with its figure."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from emotions.audio.windows import FloatArray, IntArray
from emotions.errors import ExportError
from emotions.runtime.batch_shape import Probabilities, Run
from export.graph.deployable import Deployable
from export.proof.proof import prove
from export.proof.signals import Signals, signals_of, synthetic_voices
from tests.export.conftest import WINDOW, Standin

TARGETS = {"emotion": 3, "state": 2}
Alter = Callable[[Probabilities, FloatArray, IntArray], Probabilities]


@pytest.fixture(scope="module")
def model() -> Deployable:
    return Deployable(Standin(TARGETS), list(TARGETS))


@pytest.fixture(scope="module")
def signals() -> Signals:
    return signals_of(synthetic_voices(60, WINDOW, seed=3), WINDOW, seed=0, source="test")


def graph_of(model: Deployable, alter: Alter | None = None) -> Run:
    """What stands for a graph: the model itself, its answers altered."""

    def run(waveform: FloatArray, length: IntArray) -> Probabilities:
        with torch.inference_mode():
            answers = model(torch.from_numpy(waveform.copy()), torch.from_numpy(length))
        named = {name: values.numpy().copy() for name, values in zip(model.targets, answers, strict=True)}
        return alter(named, waveform, length) if alter else named

    return run


def test_a_right_graph_passes(model: Deployable, signals: Signals) -> None:
    proof = prove(model, graph_of(model), signals, seed=0)
    assert proof.max_abs_diff < 1e-6
    assert proof.agreement == 1
    assert proof.batch_difference < 1e-6
    assert proof.padding_difference == 0
    assert min(proof.spread.values()) > 1e-3
    assert proof.figures()["batch_sizes"] == [1, 2, 7, 32]


def shifted(answers: Probabilities, _: FloatArray, __: IntArray) -> Probabilities:
    return {**answers, "state": answers["state"] + np.float32(2e-4)}


def leaning_on_its_batch(answers: Probabilities, waveform: FloatArray, _: IntArray) -> Probabilities:
    return {name: values + np.float32(5e-5) * (len(waveform) > 7) for name, values in answers.items()}


def hearing_past_the_end(answers: Probabilities, waveform: FloatArray, _: IntArray) -> Probabilities:
    return {name: values + waveform[:, -1:] * np.float32(1e-4) for name, values in answers.items()}


def constant(answers: Probabilities, _: FloatArray, __: IntArray) -> Probabilities:
    return {name: np.full_like(values, 1 / values.shape[1]) for name, values in answers.items()}


def mixing_up_rows(answers: Probabilities, _: FloatArray, __: IntArray) -> Probabilities:
    return {name: values[::-1].copy() for name, values in answers.items()}


def no_number_for_silence(answers: Probabilities, waveform: FloatArray, _: IntArray) -> Probabilities:
    silent = np.abs(waveform).max(axis=1, keepdims=True) == 0
    return {name: np.where(silent, np.float32(np.nan), values) for name, values in answers.items()}


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (shifted, r"probabilities differ by 2\.\de-04 \(at most 1e-04; labels agree on"),
        (leaning_on_its_batch, r"a batch changes them by 5\.\de-05 \(at most 1e-05"),
        (hearing_past_the_end, r"what lies past a clip's end changes them by \d\.\de-0\d \(at most 1e-06"),
        (constant, "probabilities differ by"),
        (mixing_up_rows, "a batch changes them by"),
        (no_number_for_silence, "the exported graph answers NaN or infinity for emotion on 1 of 52 windows"),
    ],
)
def test_a_wrong_graph_fails(model: Deployable, signals: Signals, alter: Alter, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        prove(model, graph_of(model, alter), signals, seed=0)


def test_a_constant_head_proves_nothing(signals: Signals) -> None:
    standin = Standin(TARGETS)
    torch.nn.init.zeros_(standin.layers[0].weight)  # type: ignore[arg-type]
    model = Deployable(standin, list(TARGETS))
    with pytest.raises(ExportError, match=r"the proof says nothing: .* of emotion \(0\.0e\+00\)"):
        prove(model, graph_of(model), signals, seed=0)


def test_a_model_that_gives_no_number_is_named(signals: Signals) -> None:
    model = Deployable(Standin(TARGETS), list(TARGETS), temperature=float("nan"))
    with pytest.raises(ExportError, match="the model answers NaN or infinity"):
        prove(model, graph_of(model), signals, seed=0)


def test_temperature_divides_logits(signals: Signals) -> None:
    cold, hot = (Deployable(Standin(TARGETS), list(TARGETS), temperature=value) for value in (1.0, 4.0))
    rows = torch.from_numpy(signals.waveform[:4]), torch.from_numpy(signals.length[:4])
    for one, other in zip(cold(*rows), hot(*rows), strict=True):
        torch.testing.assert_close((one.log() / 4).softmax(dim=1), other)


def test_signals_are_mixed_bounded_and_seeded(signals: Signals) -> None:
    again = signals_of(synthetic_voices(60, WINDOW, seed=3), WINDOW, seed=0, source="test")
    np.testing.assert_array_equal(signals.waveform, again.waveform)
    assert len(signals) == 48 + signals.special == 52
    recorded = signals.length[: -signals.special]
    assert recorded.max() == WINDOW
    assert len(set(recorded.tolist())) > 10
    silence, noise, shortest, loud = (
        row[:samples] for row, samples in zip(signals.waveform[-4:], signals.length[-4:], strict=True)
    )
    assert not silence.any()
    assert len(noise) == WINDOW
    assert 0.05 < noise.std() < 0.2
    assert len(shortest) == 400
    assert len(loud) == WINDOW


def test_noise_lies_past_the_end_alone(signals: Signals) -> None:
    noisy = signals.with_garbage(seed=1)
    for before, after, length in zip(signals.waveform, noisy, signals.length, strict=True):
        np.testing.assert_array_equal(before[:length], after[:length])
        assert not before[length:].any()
        assert length == WINDOW or after[length:].std() > 0.3


def test_one_long_recording_gives_few_windows() -> None:
    long, short = np.ones(WINDOW * 9, np.float32) * 0.1, np.ones(500, np.float32) * 0.1
    signals = signals_of([long, short], WINDOW, seed=0, source="test")
    assert len(signals) - signals.special == 4
    assert signals.clips == 2
