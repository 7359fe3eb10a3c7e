"""The report of drift: ``report.json``, ``report.html``, ``current.parquet`` and ``reference.parquet``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import emotions
from emotions.bundle.bundle import Bundle
from emotions.bundle.reference.drift import DROP, Comparison, Finding
from emotions.bundle.reference.observation import Observation
from emotions.bundle.reference.reference import read_reference
from emotions.bundle.reference.significance import FAMILY_ALPHA, LEAST_DISTANCE, LEAST_DROP, LEAST_PSI
from emotions.errors import DataError
from emotions.files.atomic import write_bytes
from emotions.files.json_text import write_json
from serving.batch.drift.frame import frame_of, reference_frame, write_frame
from serving.batch.drift.page import page

Report = dict[str, Any]


def write_report(bundle: Bundle, clips: Sequence[Observation], tables: Sequence[Path], output: Path) -> Report:
    """Compare clips with a bundle's reference and write what was found into a folder.

    Args:
        bundle: with a reference; DataError where it has none.
        clips: what is compared.
        tables: where they come from, for the report.
        output: the folder; files of an earlier report are replaced.
    """
    reference = read_reference(bundle)
    if reference is None:
        remedy = f"emotions drift reference {bundle.path} --data RECORDINGS"
        raise DataError(f"{bundle.path}: has no reference statistics; {remedy} adds them")
    comparison = Comparison(reference, bundle.manifest.labels)
    digest = comparison.joined(clips)
    findings = comparison.findings(digest)
    judged = {found.statistic for found in findings}
    report = {
        "bundle": bundle.id,
        "toolkit_version": emotions.__version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "tables": [table.name for table in tables],
        "clips": len(clips),
        "reference": {"clips": reference.clips, "what": reference.what},
        "rule": {"family_alpha": FAMILY_ALPHA, "comparisons": reference.comparisons, "least": _least()},
        "drifted": [found.statistic for found in findings if found.drifted],
        "statistics": [_row(found) for found in sorted(findings, key=lambda found: -found.ratio)],
        "not_judged": [name for name in comparison.statistics if name not in judged],
        "expected_accuracy": {
            target: {"reference": reference.confidence[target].mean, "current": mean}
            for target, mean in comparison.expected_accuracy(digest).items()
        },
        "shares": _shares(comparison, digest.bins, bundle.manifest.labels),
    }
    write_json(output / "report.json", report)
    write_bytes(output / "report.html", page(report).encode())
    write_frame(output / "current.parquet", frame_of(clips, reference))
    write_frame(output / "reference.parquet", reference_frame(reference, bundle.manifest.labels))
    return report


def _least() -> dict[str, float]:
    return {"psi": LEAST_PSI, "mahalanobis": LEAST_DISTANCE, DROP: LEAST_DROP}


def _row(found: Finding) -> dict[str, Any]:
    names = ("statistic", "measure", "distance", "limit", "ratio", "clips", "drifted")
    return {name: getattr(found, name) for name in names}


def _shares(comparison: Comparison, bins: Any, labels: dict[str, list[str]]) -> dict[str, Any]:
    """The shares of bins or labels on both sides, by statistic."""
    found = {}
    for (name, expected), column in zip(comparison.counts.items(), bins.T, strict=True):
        current = np.bincount(column[column >= 0], minlength=len(expected))
        target = name.removeprefix("labels.")
        edges = comparison.reference.histograms[name].edges if name in comparison.reference.histograms else []
        between = [*map(_short, edges), "more"]
        found[name] = {
            "bins": between if edges else labels[target],
            "reference": (expected / max(1, expected.sum())).round(6).tolist(),
            "current": (current / max(1, current.sum())).round(6).tolist(),
        }
    return found


def _short(edge: float) -> str:
    return f"{edge:.3g}" if abs(edge) < 1000 else f"{edge:.0f}"
