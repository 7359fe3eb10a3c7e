"""The windows of a worker: the last recordings alone, and what Prometheus is told of them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

import emotions
from emotions.audio.signal_measure import measure_signal
from emotions.audio.windows import FloatArray
from emotions.bundle.bundle import read_bundle
from emotions.bundle.reference.fit import reference_of
from emotions.bundle.reference.observation import Observation
from emotions.bundle.reference.reference import add_reference, read_reference
from emotions.predictor import Predictor
from serving.telemetry.drift.gauges import DriftMetrics, embeds
from serving.telemetry.drift.watch import DriftWatch
from tests.conftest import TINY_TARGETS
from tests.serving.conftest import Service, StartService


def voices(count: int, gain: float, seed: int) -> list[FloatArray]:
    random = np.random.default_rng(seed)
    return [
        (gain * random.uniform(0.5, 1.5) * random.standard_normal(8_000 + int(random.integers(16_000)))).astype(
            np.float32
        )
        for _ in range(count)
    ]


def observed(predictor: Predictor, waveform: FloatArray) -> Observation:
    said = predictor.predict(waveform)
    return Observation(said.probabilities, said.values, said.duration_sec, measure_signal(waveform))


@pytest.fixture(scope="module")
def watched(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    path = Path(shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("watched") / "bundle"))
    predictor = emotions.load(path, device="cpu", threads=1)
    clips = [observed(predictor, each) for each in voices(120, 0.05, 0)]
    add_reference(path, reference_of(clips, TINY_TARGETS, "noises"))
    return emotions.load(path, device="cpu", threads=1)


@pytest.fixture
def watch(watched: Predictor) -> tuple[DriftWatch, CollectorRegistry]:
    registry = CollectorRegistry()
    found = DriftMetrics(registry).watch(watched.bundle, 60)
    assert found is not None
    return found, registry


def ratio(registry: CollectorRegistry, watched: Predictor, statistic: str) -> float:
    labels = {"bundle": watched.bundle.id, "statistic": statistic}
    return registry.get_sample_value("emotions_drift_ratio", labels) or 0.0


def test_louder_recordings_are_drift_and_the_window_forgets_them(
    watch: tuple[DriftWatch, CollectorRegistry], watched: Predictor
) -> None:
    added, registry = watch
    for gain, seed, drifted in ((0.05, 1, False), (0.2, 2, True), (0.05, 3, False)):
        for each in voices(75, gain, seed):
            added.add(observed(watched, each))
        assert (ratio(registry, watched, "level") > 1) is drifted
        bundle = {"bundle": watched.bundle.id}
        assert registry.get_sample_value("emotions_drift_clips", bundle) == 60
        assert registry.get_sample_value("emotions_drift_watched", bundle) == 1
    psi = registry.get_sample_value("emotions_drift_psi", {**bundle, "statistic": "duration"})
    assert psi is not None
    assert psi < 1
    assert (registry.get_sample_value("emotions_drift_distance", {**bundle, "space": "answers"}) or 0) >= 0
    for target in TINY_TARGETS:
        accuracy = registry.get_sample_value("emotions_expected_accuracy", {**bundle, "target": target})
        assert accuracy is not None
        assert 0 < accuracy <= 1


def test_a_bundle_without_a_reference_is_not_watched(predictor: Predictor) -> None:
    registry = CollectorRegistry()
    assert DriftMetrics(registry).watch(predictor.bundle, 500) is None
    assert registry.get_sample_value("emotions_drift_watched", {"bundle": predictor.bundle.id}) == 0


def test_a_window_of_none_watches_nothing(watched: Predictor) -> None:
    assert DriftMetrics(CollectorRegistry()).watch(watched.bundle, 0) is None


def test_only_a_bundle_with_an_embedding_answers_one(watched: Predictor) -> None:
    assert not embeds(watched.bundle, 500)
    assert read_reference(read_bundle(watched.bundle.path)) is not None


def test_a_recording_costs_the_watch_little(watch: tuple[DriftWatch, CollectorRegistry], watched: Predictor) -> None:
    clip = observed(watched, voices(1, 0.05, 1)[0])
    started = time.process_time()
    for _ in range(500):
        watch[0].add(clip)
    assert (time.process_time() - started) / 500 < 0.005


def test_the_service_counts_what_it_answers(
    watched: Predictor, start: StartService, wav_bytes: Callable[..., bytes]
) -> None:
    service = Service(watched, start().engine.settings.model_copy(update={"drift_window": 50}))
    try:
        for each in voices(50, 0.2, 1):
            assert service.post(wav_bytes(each)).status_code == 200
        assert service.metric("emotions_drift_clips", bundle=watched.bundle.id) == 50
        assert service.metric("emotions_drift_ratio", bundle=watched.bundle.id, statistic="level") > 1
    finally:
        service.engine.close()


def test_under_load_a_part_of_the_recordings_is_looked_at(
    watch: tuple[DriftWatch, CollectorRegistry], monkeypatch: pytest.MonkeyPatch
) -> None:
    added, now = watch[0], time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    assert sum(added.wants(busy=True) for _ in range(3_000)) == 1_000  # at once
    now += 10
    assert sum(added.wants(busy=True) for _ in range(3_000)) == 200
    taken = 0
    for _ in range(5_000):  # 500 in a second
        now += 0.002
        taken += added.wants(busy=True)
    assert 195 <= taken <= 205
    for _ in range(100):  # slowly: each
        now += 0.06
        assert added.wants(busy=True)
    while added.wants(busy=True):
        pass
    assert all(added.wants(busy=False) for _ in range(100))  # one after another is no load


def test_waveforms_of_tensors_count_as_uploads_do(watched: Predictor, start: StartService) -> None:
    service = Service(watched, start().engine.settings.model_copy(update={"drift_window": 50}))
    try:
        for clip in voices(50, 0.2, 1):
            row = {"datatype": "FP32", "shape": [1, len(clip)], "data": clip.round(4).tolist()}
            inputs = [{"name": "waveform", **row}]
            answer = service.request("POST", "/v2/models/tiny/infer", json={"inputs": inputs})
            assert answer.status_code == 200
        assert service.metric("emotions_drift_clips", bundle=watched.bundle.id) == 50
        for statistic, drifted in (("level", True), ("duration", False)):
            found = service.metric("emotions_drift_ratio", bundle=watched.bundle.id, statistic=statistic)
            assert (found > 1) is drifted
    finally:
        service.engine.close()
