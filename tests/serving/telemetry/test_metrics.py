from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

import emotions
from emotions.predictor import Predictor
from serving.settings import Settings
from serving.telemetry.metrics import DIRECTORY, use_metrics_dir
from tests.serving.conftest import Service, StartService


def test_a_recording_is_counted_with_its_audio_batches_and_answer(
    service: Service, predictor: Predictor, clip: bytes
) -> None:
    for _ in range(3):
        service.post(clip)
    answer = predictor.predict(clip)
    assert service.metric("emotions_requests_total", route="/v1/predict", method="POST", status="200") == 3
    assert service.metric("emotions_request_seconds_count", route="/v1/predict") == 3
    assert service.metric("emotions_audio_seconds_total") == pytest.approx(3.6)
    assert service.metric("emotions_batch_size_sum") == 9
    assert service.metric("emotions_padding_efficiency_sum") == service.metric("emotions_batch_size_count") == 3
    for stage in ("decode", "queue", "inference"):
        assert service.metric(f"emotions_{stage}_seconds_count") == 3
    assert service.metric("emotions_predictions_total", target="emotion", label=answer.label) == 3
    assert service.metric("emotions_confidence_sum", target="emotion") == pytest.approx(3 * answer.confidence, abs=1e-4)
    assert service.metric("emotions_in_flight") == service.metric("emotions_queued_audio_seconds") == 0
    bundle = {"bundle": predictor.bundle.id, "variant": "fp32", "device": "cpu"}
    assert service.metric("emotions_bundle_info", **bundle) == 1


def test_the_variant_that_was_chosen_is_told(small_bundle: Path) -> None:
    predictor = emotions.load(small_bundle, device="cpu", threads=1)
    service = Service(predictor, Settings())
    served = {"bundle": predictor.bundle.id, "variant": "int8", "device": "cpu"}
    assert service.metric("emotions_bundle_info", **served) == 1
    assert service.request("GET", "/v1/model").json()["variant"] == "int8"
    service.engine.close()


def test_the_real_time_factor_is_computation_over_audio(service: Service, clip: bytes) -> None:
    timing = service.post(clip).json()["timing_ms"]
    expected = (timing["decode"] + timing["inference"]) / 1200
    rounded = 1e-3 / 1200  # two figures, each to a thousandth of a millisecond
    assert service.metric("emotions_real_time_factor_sum") == pytest.approx(expected, rel=0.01, abs=rounded)


def test_padding_is_told_from_audio(service: Service, tone: object, wav_bytes: object) -> None:
    service.post(wav_bytes(tone(0.25)))  # type: ignore[operator]
    assert service.metric("emotions_padding_efficiency_sum") == pytest.approx(0.5)


def test_refusals_are_counted_by_their_reason(start: StartService, clip: bytes) -> None:
    service = start(max_seconds=1)
    service.post(b"text")
    service.post(clip)
    service.request("POST", "/v1/predict/batch", files=[("file", ("a", b"text")), ("file", ("b", b""))])
    assert service.metric("emotions_rejects_total", reason="not_audio") == 2
    assert service.metric("emotions_rejects_total", reason="too_long") == 1
    assert service.metric("emotions_rejects_total", reason="bad_request") == 1
    assert service.metric("emotions_reject_seconds_count") == 0


def test_what_is_shed_is_timed(service: Service, clip: bytes) -> None:
    service.worker.engine = None
    service.post(clip)
    assert service.metric("emotions_reject_seconds_count") == 1
    assert service.metric("emotions_rejects_total", reason="not_ready") == 1


def test_a_path_or_a_name_never_becomes_a_label(service: Service, clip: bytes) -> None:
    for index in range(20):
        service.request("GET", f"/alice-{index}.wav")
    service.request("POST", "/v1/predict", files={"file": ("alice.wav", clip)})
    assert service.metric("emotions_requests_total", route="other", method="GET", status="404") == 20
    text = service.request("GET", "/metrics").text
    assert "alice" not in text
    series = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    assert len({str(sample.labels) for sample in series if sample.name == "emotions_requests_total"}) == 2


def test_every_label_has_a_share_from_the_start(service: Service, predictor: Predictor) -> None:
    text = service.request("GET", "/metrics").text
    for target, labels in predictor.manifest.targets.items():
        for label in labels:
            assert f'emotions_predictions_total{{label="{label}",target="{target}"}} 0.0' in text


_WORKER = """
import sys
from serving.telemetry.metrics import Metrics
metrics = Metrics()
metrics.in_flight.set(3)
metrics.audio_seconds.inc(5)
if sys.argv[1] == "show":
    print(metrics.exposition().decode())
"""


def test_workers_are_summed_and_what_a_dead_one_had_in_flight_is_forgotten(tmp_path: Path) -> None:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for what in ("leave", "show"):
        command = [sys.executable, "-c", _WORKER, what]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
    assert "emotions_audio_seconds_total 10.0" in done.stdout
    assert "emotions_in_flight 3.0" in done.stdout


def test_workers_of_a_server_share_a_folder_that_no_other_server_empties(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "prometheus_multiproc_dir"
    monkeypatch.setenv(DIRECTORY, str(shared))
    use_metrics_dir()
    ours = Path(os.environ[DIRECTORY])
    assert ours.is_dir()
    assert not ours.is_relative_to(shared)
    use_metrics_dir()
    assert Path(os.environ[DIRECTORY]) == ours
    monkeypatch.setenv(DIRECTORY, str(shared))
    monkeypatch.setattr("os.getppid", os.getpid)
    use_metrics_dir()
    assert Path(os.environ[DIRECTORY]) != ours
    assert ours.is_dir(), "of a server that runs"


def test_the_folder_of_a_server_that_ended_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DIRECTORY, str(tmp_path / "prometheus_multiproc_dir"))
    folders = tmp_path / "emotions_metrics"
    ended = folders / f"{platform.node()}_{os.getpid()}_1"
    elsewhere, foreign = folders / f"{platform.node()}x_1_1", folders / f"{platform.node()}_mine_1"
    for folder in (ended, elsewhere, foreign):
        folder.mkdir(parents=True)
        (folder / "counter_3.db").touch()
    use_metrics_dir()
    assert not ended.exists()
    assert elsewhere.is_dir()
    assert foreign.is_dir()


@pytest.mark.parametrize("given", [None, "", "/somewhere/mine"])
def test_another_folder_is_left_alone(monkeypatch: pytest.MonkeyPatch, given: str | None) -> None:
    if given is None:
        monkeypatch.delenv(DIRECTORY, raising=False)
    else:
        monkeypatch.setenv(DIRECTORY, given)
    use_metrics_dir()
    assert os.environ.get(DIRECTORY) == given
