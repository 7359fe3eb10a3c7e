"""A shadow beside the live model: what it counts, and that nobody waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import emotions
from emotions.audio.windows import FloatArray, IntArray
from emotions.errors import BundleError
from emotions.predictor import Predictor
from emotions.runtime.batch_shape import Probabilities, Run
from serving.settings import Settings
from serving.worker.loading import load_shadow
from serving.worker.shadow import Shadow
from tests.conftest import make_tiny_bundle
from tests.serving.conftest import Service

Start = Callable[..., Service]


@pytest.fixture
def shadowed(start: Any, predictor: Predictor) -> Iterator[Start]:
    """``shadowed(run, share=1, **settings)``: a service whose shadow's model is ``run``."""
    shadows: list[Shadow] = []

    def make(run: Run, share: float = 1.0, **settings: Any) -> Service:
        service: Service = start(**settings)
        other = Predictor(predictor.bundle, replace(predictor.session, run=run))
        shadows.append(Shadow(other, share, service.worker.metrics.shadow))
        service.engine.shadow = shadows[-1]
        return service

    yield make
    for shadow in shadows:
        shadow.close()


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def compared(service: Service, outcome: str = "compared") -> float:
    return service.metric("emotions_shadow_recordings_total", outcome=outcome)


def is_free(service: Service) -> bool:
    """Whether nothing waits for the shadow."""
    assert service.engine.shadow is not None
    return not service.engine.shadow.waiting


def test_the_same_model_never_disagrees(shadowed: Start, predictor: Predictor, clip: bytes) -> None:
    service = shadowed(predictor.session.run)
    for _ in range(5):
        assert service.post(clip).status_code == 200
    until(lambda: compared(service) == 5)
    assert service.metric("emotions_shadow_disagreements_total", target="emotion") == 0
    assert service.metric("emotions_shadow_difference_count", target="emotion") == 5
    assert service.metric("emotions_shadow_difference_sum", target="emotion") == pytest.approx(0, abs=1e-6)


def test_another_model_is_compared_label_by_label(shadowed: Start, predictor: Predictor, clip: bytes) -> None:
    def reversed_labels(waveform: FloatArray, length: IntArray) -> Probabilities:
        return {name: values[:, ::-1] for name, values in predictor.session.run(waveform, length).items()}

    service = shadowed(reversed_labels)
    live = service.post(clip).json()["probabilities"]["emotion"]
    until(lambda: compared(service) == 1)
    scores = np.array([*live.values()])
    expected = float(np.abs(scores - scores[::-1]).mean())
    assert service.metric("emotions_shadow_difference_sum", target="emotion") == pytest.approx(expected, abs=1e-4)
    assert service.metric("emotions_shadow_disagreements_total", target="emotion") == (scores.argmax() != 1)
    assert service.metric("emotions_predictions_total", target="emotion", label=max(live, key=live.get)) == 1


def test_nobody_waits_for_a_shadow_that_hangs_and_what_comes_meanwhile_is_dropped(
    shadowed: Start, predictor: Predictor, tone: Any, wav_bytes: Any
) -> None:
    hangs = threading.Event()

    def hang(waveform: FloatArray, length: IntArray) -> Probabilities:
        assert hangs.wait(60)
        return predictor.session.run(waveform, length)

    service = shadowed(hang)
    minute = wav_bytes(tone(40))
    try:
        answers = [service.post(minute) for _ in range(4)]
        assert {answer.status_code for answer in answers} == {200}
        assert compared(service) == 0
        assert compared(service, "dropped") == 3
    finally:
        hangs.set()
    until(lambda: compared(service) == 1 and is_free(service))
    assert service.post(minute).status_code == 200
    until(lambda: compared(service) == 2)


def test_a_shadow_that_fails_fails_alone(shadowed: Start, clip: bytes) -> None:
    def fail(_: FloatArray, __: IntArray) -> Probabilities:
        raise RuntimeError("no")

    service = shadowed(fail)
    assert service.post(clip).status_code == 200
    until(lambda: compared(service, "failed") == 1)
    assert service.post(b"no recording").status_code == 415
    assert compared(service, "failed") == 1


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (0.5, 5, 35), (1.0, 40, 40)])
def test_it_answers_its_share(
    shadowed: Start, predictor: Predictor, clip: bytes, share: float, least: int, most: int
) -> None:
    service = shadowed(predictor.session.run, share)
    for _ in range(40):
        service.post(clip)
    until(lambda: is_free(service))
    assert least <= compared(service) <= most


def test_one_that_does_not_load_or_answers_other_targets_leaves_the_service_as_it_was(
    start: Any, tmp_path: Path, clip: bytes, predictor: Predictor
) -> None:
    service: Service = start()
    load_shadow(service.worker, Settings(shadow=tmp_path / "gone"))
    assert service.engine.shadow is None
    assert service.metric("emotions_shadow_ready") == 0
    assert service.post(clip).status_code == 200
    other = emotions.load(make_tiny_bundle(tmp_path / "other", targets={"mood": ["bad", "good"]}), device="cpu")
    with pytest.raises(BundleError, match="nothing to compare"):
        Shadow(other, 1.0, service.worker.metrics.shadow).check(predictor)


def test_one_that_loads_runs_on_one_thread_of_the_cpu(start: Any, affect_bundle: Path, clip: bytes) -> None:
    service: Service = start()
    load_shadow(service.worker, Settings(shadow=affect_bundle))
    shadow = service.engine.shadow
    assert shadow
    assert (shadow.predictor.session.device, shadow.predictor.session.threads) == ("cpu", 1)
    assert service.metric("emotions_shadow_ready") == 1
    service.post(clip)
    until(lambda: compared(service) == 1)
    assert service.metric("emotions_shadow_difference_count", target="emotion") == 1
    assert service.metric("emotions_shadow_difference_count", target="state") == 0
    shadow.close()
