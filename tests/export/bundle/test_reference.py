"""The reference statistics that an export writes, and a service that compares with them."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

import emotions
from emotions.bundle.bundle import read_bundle
from emotions.bundle.reference.reference import read_reference
from export.bundle.export import export_run
from export.bundle.variants import ExportOptions
from serving.settings import Settings
from serving.telemetry.metrics import Metrics
from serving.worker.startup import open_predictor, started
from tests.export.conftest import TARGETS


@pytest.fixture(scope="module")
def watched(trained_run: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("bundles") / "watched"
    return export_run(trained_run, output, data=corpus, wanted=ExportOptions(embedding=True))


def test_it_is_of_the_answers_to_the_recordings_that_were_named(watched: Path, corpus: Path) -> None:
    opened = read_bundle(watched)
    reference = read_reference(opened)
    assert reference is not None
    assert (reference.clips, reference.what) == (20, "recordings that the user named")
    predictor = emotions.load(watched, device="cpu", threads=1)
    found = [predictor.predict(path) for path in sorted(corpus.glob("*.wav"))]
    for target, labels in TARGETS.items():
        given = Counter(each.labels[target] for each in found)
        assert reference.labels[target] == [given[label] for label in labels]
        mean = np.mean([max(each.probabilities[target].values()) for each in found])
        assert reference.confidence[target].mean == pytest.approx(mean, abs=1e-4)
    assert {*reference.spaces} == {"embedding", "answers"}
    assert len(reference.spaces["embedding"].mean) == opened.manifest.embedding.shape[1]  # type: ignore[union-attr]


def test_too_few_validation_clips_make_a_bundle_without_one(bundle: Path) -> None:
    assert read_reference(read_bundle(bundle)) is None


def test_a_service_compares_the_embedding_too(watched: Path) -> None:
    settings = Settings(bundle=watched, device="cpu", threads=1, drift_window=50)
    registry = CollectorRegistry()
    predictor = open_predictor(settings)
    engine = started(predictor, settings, Metrics(registry))
    random = np.random.default_rng(0)

    async def classify() -> None:
        for _ in range(50):
            await engine.classify(random.normal(0, 0.2, 9_000).astype(np.float32))

    try:
        asyncio.run(classify())
    finally:
        engine.close()
    named = {"bundle": predictor.bundle.id}
    assert registry.get_sample_value("emotions_drift_clips", named) == 50
    for space in ("embedding", "answers"):
        distance = registry.get_sample_value("emotions_drift_distance", {**named, "space": space})
        assert distance is not None
        assert np.isfinite(distance)
