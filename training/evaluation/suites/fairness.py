"""The fairness test of a column: whether its groups are recognised equally well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from training.evaluation.report.summary import Measured
from training.metrics.classification import Array, confusions
from training.metrics.group_gap import PASS, UNCLEAR, GroupGap, group_gap

MAX_UAR_GAP = 0.075
MIN_GROUP_CLIPS = 10
"""Groups of fewer clips are listed, and left out of the gap."""


def fairness_test(name: str, measured: Measured, values: Sequence[str | None]) -> dict[str, Any]:
    """The test of a column as JSON: the largest gap of UAR over shared classes, and the verdict over all pairs.

    Args:
        name: the column.
        measured: predictions of one model.
        values: value of each clip, or None where it has none.
    """
    column = np.array([value or "" for value in values])
    sizes = {value: int((column == value).sum()) for value in sorted({*column.tolist()} - {""})}
    counted = [value for value, clips in sizes.items() if clips >= MIN_GROUP_CLIPS]
    about: dict[str, Any] = {"name": name, "kind": "group gap", "groups": len(counted)}
    if len(counted) < 2:
        note = f"not measured: fewer than two groups of {MIN_GROUP_CLIPS} clips"
        return {**about, "verdict": UNCLEAR, "note": note, "passed": False}
    counts = np.stack([_counts(measured, column == value) for value in counted])
    found = group_gap(np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-1), MAX_UAR_GAP)
    few = [value for value in sizes if value not in counted]
    told = {**about, **_told(found, counted), "verdict": found.verdict, "passed": found.verdict == PASS}
    return {**told, "note": "; ".join([*_notes(found, counted), *_left_out(few)])}


def _counts(measured: Measured, chosen: Any) -> Array:
    """Confusion matrices of all speakers over the chosen clips, (speakers, classes, classes)."""
    classes, part = len(measured.labels), measured.select(np.flatnonzero(chosen))
    counts = np.zeros((int(measured.speakers.max()) + 1, classes, classes))
    found = confusions(part.truth, part.predicted, classes, part.speakers)[:, 0]
    counts[: len(found)] = found
    return counts


def _told(found: GroupGap, names: Sequence[str]) -> dict[str, Any]:
    if found.pair is None:
        return {}
    pair = [names[found.pair.first], names[found.pair.second]]
    return {"uar_gap": abs(found.pair.gap), "pair": pair, "clips_to_tell": found.clips_to_tell}


def _notes(found: GroupGap, names: Sequence[str]) -> list[str]:
    if found.pair is None:
        return ["no two groups share a class and have two speakers each"]
    said = [f"largest between {names[found.pair.first]} and {names[found.pair.second]}"]
    if found.clips_to_tell is not None:
        said.append(f"about {found.clips_to_tell} clips of each group, of more speakers, would tell")
    return said


def _left_out(few: Sequence[str]) -> list[str]:
    return [f"left out, fewer than {MIN_GROUP_CLIPS} clips: {', '.join(few)}"] if few else []
