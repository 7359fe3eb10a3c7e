"""Batches of a worker: which threads each gets."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from emotions.audio.windows import FloatArray, IntArray
from emotions.errors import OutOfMemory
from emotions.predictor import Predictor
from emotions.runtime.batch_shape import Run
from tests.conftest import Tone
from tests.serving.conftest import StartService


def slowed(predictor: Predictor, seconds: float, seen: list[int]) -> Run:
    """The model, which takes ``seconds`` more, and notes the windows of each batch."""

    def run(waveform: FloatArray, length: IntArray) -> Any:
        seen.append(len(length))
        time.sleep(seconds)
        return predictor.session.run(waveform, length)

    return run


@pytest.mark.parametrize(("seconds", "threads", "in_a_slot"), [(0.02, 2, 0), (0.02, 1, 1), (0.0, 2, 1)])
def test_a_long_run_that_is_alone_has_all_threads(
    start: StartService,
    predictor: Predictor,
    tone: Tone,
    wav_bytes: Callable[..., bytes],
    seconds: float,
    threads: int,
    in_a_slot: int,
) -> None:
    seen: list[int] = []
    service = start(slowed(predictor, seconds, seen), threads=threads)
    service.engine.warm_up()
    service.engine.finish_warm_up()
    seen.clear()
    clip = tone(0.5)
    answer = service.post(wav_bytes(clip))
    assert answer.status_code == 200
    assert len(seen) == in_a_slot
    expected = predictor.predict(clip).probabilities["emotion"]
    assert answer.json()["probabilities"]["emotion"] == pytest.approx(expected, abs=1e-6)


def test_several_windows_share_the_threads(start: StartService, predictor: Predictor, clip: bytes) -> None:
    seen: list[int] = []
    service = start(slowed(predictor, 0.02, seen), threads=2)
    service.engine.warm_up()
    service.engine.finish_warm_up()
    seen.clear()
    assert service.post(clip).status_code == 200
    assert sum(seen) >= 2


def test_where_it_cannot_be_opened_again_a_window_runs_as_others_do(
    start: StartService,
    predictor: Predictor,
    clip: bytes,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OutOfMemory("no room for it")

    monkeypatch.setattr("serving.worker.batch_runner.open_session", fail)
    service = start(slowed(predictor, 0.02, []), threads=2)
    service.engine.warm_up()
    service.engine.finish_warm_up()
    assert "no room for it" in caplog.text
    assert service.post(clip).status_code == 200
