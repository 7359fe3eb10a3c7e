"""The service on a GPU that fails: status, message, and whether it lives on."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

import emotions
from emotions.errors import BundleError, EmotionsError, ModelError, OutOfMemory
from serving.settings import Settings
from serving.telemetry.metrics import Metrics
from serving.worker.startup import open_predictor, started
from tests.conftest import Tone
from tests.fake_cuda import LOST, FakeCuda
from tests.serving.conftest import Service, error_of

StartOnGpu = Callable[..., Service]


@pytest.fixture
def start_on_gpu(fake_cuda: FakeCuda, half_bundle: Path) -> Iterator[StartOnGpu]:
    """``start_on_gpu(**settings)``: a service whose model runs on the GPU, warmed up; closed after the test."""
    made: list[Service] = []

    def make(**settings: Any) -> Service:
        chosen = Settings(bundle=half_bundle, device="cuda", threads=1, **settings)
        made.append(Service(open_predictor(chosen), chosen))
        made[-1].engine.warm_up()
        return made[-1]

    yield make
    for service in made:
        service.engine.close()


def test_a_sound_gpu_answers_as_a_cpu(start_on_gpu: StartOnGpu, half_bundle: Path, clip: bytes) -> None:
    service = start_on_gpu()
    answer = service.post(clip)
    assert answer.status_code == 200
    expected = emotions.load(half_bundle, device="cpu").predict(clip).probabilities["emotion"]
    assert answer.json()["probabilities"]["emotion"] == pytest.approx(expected, abs=1e-5)
    assert (service.engine.predictor.session.device, service.engine.predictor.session.variant) == ("cuda", "fp16")


def test_every_shape_and_stream_is_warm_before_the_first_request(
    start_on_gpu: StartOnGpu, fake_cuda: FakeCuda, clip: bytes
) -> None:
    service = start_on_gpu()
    assert {*fake_cuda.runs} == {1, 2, 4, 8, 16, 32, 64}
    opened = len(fake_cuda.asked)
    for _ in range(3):
        assert service.post(clip).status_code == 200
    assert len(fake_cuda.asked) == opened


def test_without_memory_for_one_window_the_answer_is_503_and_the_worker_lives(
    start_on_gpu: StartOnGpu, fake_cuda: FakeCuda, clip: bytes
) -> None:
    service = start_on_gpu()
    fake_cuda.set("run memory 0")
    refused = service.post(clip)
    assert error_of(refused) == (503, "out_of_memory")
    assert int(refused.headers["retry-after"]) >= 1
    assert "the device lacks memory for a window of 0.5 s" in refused.json()["error"]["message"]
    assert "onnxruntime_src" not in refused.text
    assert service.metric("emotions_rejects_total", reason="out_of_memory") == 1
    fake_cuda.set("")
    assert service.post(clip).status_code == 200


def test_a_batch_that_memory_does_not_hold_runs_in_parts_and_the_log_has_a_line(
    start_on_gpu: StartOnGpu, fake_cuda: FakeCuda, tone: Tone, wav_bytes: Any, caplog: pytest.LogCaptureFixture
) -> None:
    service = start_on_gpu()
    long = wav_bytes(tone(30))
    expected = service.post(long).json()["probabilities"]["emotion"]
    fake_cuda.set("run memory 8")
    fake_cuda.runs.clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            answer = service.post(long)
            assert answer.status_code == 200
            assert answer.json()["probabilities"]["emotion"] == pytest.approx(expected, abs=1e-5)
    assert max(fake_cuda.runs) == 8
    lines = [record.getMessage() for record in caplog.records if "out of memory" in record.getMessage()]
    assert any(line.startswith("out of memory with a batch of 16 windows") for line in lines)
    assert len(lines) <= 3, "of two lanes each may meet the limit before the other has told it"


@pytest.mark.parametrize("reason", LOST)
def test_a_lost_card_is_503_and_the_worker_takes_no_more_and_ends(
    start_on_gpu: StartOnGpu, fake_cuda: FakeCuda, clip: bytes, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = start_on_gpu()
    fake_cuda.set(f"lost {reason}")
    refused = service.post(clip)
    assert error_of(refused) == (503, "device_lost")
    assert int(refused.headers["retry-after"]) >= 1
    assert "the GPU was lost while it computed (" in refused.json()["error"]["message"]
    assert "onnxruntime_src" not in refused.text
    assert not service.worker.ready
    fake_cuda.set("")  # for this process it is lost all the same
    assert error_of(service.post(clip)) == (503, "device_lost")
    assert service.request("GET", "/v2/health/ready").status_code == 503
    assert service.metric("emotions_rejects_total", reason="device_lost") == 2
    sent, latest = list[tuple[int, int]](), list[bool]()
    monkeypatch.setattr("os.kill", lambda *arguments: sent.append(arguments))
    monkeypatch.setattr(service.worker.drain, "end_at_the_latest", lambda: latest.append(True))
    asyncio.run(asyncio.wait_for(service.worker.end_with_device(), 10))
    assert sent == [(os.getpid(), signal.SIGTERM)]
    assert latest == [True]


def test_a_failure_that_is_of_the_model_or_of_memory_does_not_end_the_worker(
    start_on_gpu: StartOnGpu, fake_cuda: FakeCuda, clip: bytes
) -> None:
    service = start_on_gpu()
    fake_cuda.set("run memory 0")
    assert error_of(service.post(clip)) == (503, "out_of_memory")
    fake_cuda.set("model")
    assert error_of(service.post(clip)) == (500, "internal")
    fake_cuda.set("")
    assert service.worker.ready
    assert service.post(clip).status_code == 200


def test_nan_is_refused_with_a_name_and_counted(start_on_gpu: StartOnGpu, fake_cuda: FakeCuda, clip: bytes) -> None:
    service = start_on_gpu()
    fake_cuda.set("nan")
    refused = service.post(clip)
    assert error_of(refused) == (422, "not_a_number")
    assert service.metric("emotions_rejects_total", reason="not_a_number") == 1
    fake_cuda.set("")
    assert service.post(clip).status_code == 200


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("driver", r"its driver 550\.54\.15 is too old"),
        ("library", r"libcudnn\.so\.9"),
        ("memory", "its memory is too small for the model"),
        ("old card", "too old for onnxruntime-gpu"),
        ("new card", "too new for onnxruntime-gpu"),
        ("hidden", "shows none to this process"),
        ("no provider", "is built without CUDA"),
        ("run memory 0", "its memory is too small for the model"),
        ("lost ecc", r"it fails \(uncorrectable ECC error encountered\); reset it or restart the machine"),
    ],
)
def test_the_start_ends_with_the_cause(fake_cuda: FakeCuda, half_bundle: Path, fault: str, reason: str) -> None:
    fake_cuda.set(fault)
    with pytest.raises(EmotionsError, match=reason) as found:
        open_predictor(Settings(bundle=half_bundle, device="cuda", threads=1))
    assert "\n" not in str(found.value)
    assert open_predictor(Settings(bundle=half_bundle, device="auto", threads=1)).session.device == "cpu"


def test_fp16_that_misses_its_probe_is_a_start_up_error_only_where_it_was_named(
    fake_cuda: FakeCuda, half_bundle: Path
) -> None:
    fake_cuda.set("fp16")
    assert open_predictor(Settings(bundle=half_bundle, device="cuda", threads=1)).session.variant == "fp32"
    with pytest.raises(BundleError, match="answers its probe otherwise"):
        open_predictor(Settings(bundle=half_bundle, device="cuda", variant="fp16", threads=1))


def test_memory_that_is_short_at_warm_up_costs_batches_and_none_at_all_is_an_error(
    fake_cuda: FakeCuda, half_bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(bundle=half_bundle, device="cuda", threads=1)
    predictor = open_predictor(settings)
    fake_cuda.set("run memory 10")
    with caplog.at_level(logging.WARNING):
        started(predictor, settings, Metrics(CollectorRegistry())).close()
    assert "out of memory with a batch of 16 windows" in caplog.text
    assert max(fake_cuda.runs) == 8
    fake_cuda.set("run memory 0")
    with pytest.raises(OutOfMemory, match="lacks memory for a window"):
        started(predictor, settings, Metrics(CollectorRegistry()))
    fake_cuda.set("old card")
    with pytest.raises(ModelError, match=r"fails while it is warmed up \(.*no kernel image"):
        started(predictor, settings, Metrics(CollectorRegistry()))


def test_a_worker_that_cannot_start_says_why(service: Service, clip: bytes) -> None:
    service.worker.engine = None
    service.worker.models.default.fault = "the device lacks memory for a window of 3.0 s"
    refused = service.post(clip)
    assert error_of(refused) == (503, "not_ready")
    assert refused.json()["error"]["message"] == (
        "the service is not ready: the device lacks memory for a window of 3.0 s"
    )
