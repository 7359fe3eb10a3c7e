"""Prometheus metrics of drift. Of several workers the one that has drifted furthest is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from prometheus_client import CollectorRegistry, Gauge

from emotions.bundle.bundle import Bundle
from emotions.bundle.manifest import EMBEDDING
from emotions.bundle.reference.drift import MAHALANOBIS, PSI, Comparison, Finding
from emotions.bundle.reference.reference import read_reference
from serving.telemetry.drift.watch import DriftWatch


def embeds(bundle: Bundle, size: int) -> bool:
    """Whether the embedding of each recording is looked at.

    Args:
        bundle: that is served.
        size: recordings of the window; 0 for none.
    """
    if not size or bundle.manifest.embedding is None:
        return False
    reference = read_reference(bundle)
    return reference is not None and EMBEDDING in reference.spaces


class DriftMetrics:
    """The gauges of drift of one process.

    Args:
        registry: where they are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        furthest = partial(Gauge, registry=registry, multiprocess_mode="livemax")
        what = "Whether recordings are compared with reference statistics of the bundle"
        self.watched = furthest("emotions_drift_watched", what, ("bundle",))
        what = "Last recordings that are compared"
        self.clips = Gauge("emotions_drift_clips", what, ("bundle",), registry=registry, multiprocess_mode="livesum")
        what = "Distance from the reference over its limit, which knows chance; above 1 is drift"
        self.ratio = furthest("emotions_drift_ratio", what, ("bundle", "statistic"))
        what = "Population stability index against the reference"
        self.psi = furthest("emotions_drift_psi", what, ("bundle", "statistic"))
        what = "Mahalanobis distance of the mean from the reference"
        self.distance = furthest("emotions_drift_distance", what, ("bundle", "space"))
        what = "Mean calibrated confidence of the last recordings"
        self.accuracy = Gauge(
            "emotions_expected_accuracy", what, ("bundle", "target"), registry=registry, multiprocess_mode="livemin"
        )

    def watch(self, bundle: Bundle, size: int) -> DriftWatch | None:
        """What compares the recordings that a bundle is given; None where it has no reference, or none is wanted.

        Args:
            bundle: that is served.
            size: recordings of the window; 0 for none.
        """
        reference = read_reference(bundle) if size else None
        self.watched.labels(bundle.id).set(reference is not None)
        if reference is None:
            return None
        return DriftWatch(Comparison(reference, bundle.manifest.labels), size, partial(self._show, bundle.id))

    def _show(self, bundle: str, clips: int, findings: Sequence[Finding], accuracy: Mapping[str, float]) -> None:
        self.clips.labels(bundle).set(clips)
        for found in findings:
            self.ratio.labels(bundle, found.statistic).set(found.ratio)
            if found.measure == PSI:
                self.psi.labels(bundle, found.statistic).set(found.distance)
            elif found.measure == MAHALANOBIS:
                self.distance.labels(bundle, found.statistic).set(found.distance)
        for target, mean in accuracy.items():
            self.accuracy.labels(bundle, target).set(mean)
