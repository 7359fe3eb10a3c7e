"""The model card: the bundle's README.md, written for whoever is to run the model or to trust it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from emotions.bundle.manifest import Manifest
from emotions.bundle.summary import protocol_of, warnings
from emotions.errors import plain
from export.bundle.report import facts
from export.bundle.variants import FP32, Artifacts
from export.proof.signals import Signals
from export.sources import HUGGINGFACE, UNFINISHED, unfinished_warning
from training.features.teacher.teacher import EXTRA as TEACHER
from training.features.teacher.wording import teacher_line, teacher_warnings
from training.metrics.calibration import HELPED
from training.run_folder.layout import CONFUSION_PICTURE, CURVES_PICTURE, VALUES_PICTURE

PICTURES = {
    CONFUSION_PICTURE: "Confusion matrix",
    VALUES_PICTURE: "Values against the truth, their differences, and the plane of valence and arousal",
    CURVES_PICTURE: "Loss, and UAR or CCC, by epoch",
}
"""Pictures of a run that a card shows where the bundle holds them, and what they are."""
_TEMPLATE = Path(__file__).with_name("model_card.md.jinja")


def model_card(manifest: Manifest, artifacts: Artifacts, signals: Signals) -> str:
    """The card of a bundle as Markdown, without a name of a recording or a speaker.

    Args:
        manifest: the bundle's manifest; ``files`` names the pictures that it holds.
        artifacts: the artifacts of the model, with their proofs.
        signals: what they were proven on.
    """
    markdown = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, autoescape=False)  # noqa: S701 - no HTML
    markdown.filters.update(text=text, percent=lambda share, digits=1: f"{share:.{digits}%}")
    measured = [
        (part, target, scores)
        for part, targets in manifest.metrics.items()
        if isinstance(targets, Mapping)
        for target, scores in targets.items()
    ]
    calibration = {target: about for target, about in manifest.calibration.items() if "temperature" in about}
    card = markdown.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        manifest=manifest,
        foreign=manifest.extra.get("source") == HUGGINGFACE,
        artifacts=artifacts,
        fp32=artifacts.kept[FP32].proof,
        signals=facts(signals),
        protocol=protocol_of(manifest),
        teacher=_teacher(manifest),
        measured=[row for row in measured if "uar" in row[2]],
        values=[row for row in measured if "dimensions" in row[2]],
        calibration=calibration,
        linear={target: about for target, about in manifest.calibration.items() if "dimensions" in about},
        # The validation part chose the checkpoint, so it judges the model only where there is no test part.
        judged_part="test" if manifest.metrics.get("test") else "validation",
        worse=[target for target, about in calibration.items() if not _helped(about)],
        warnings=[*_unfinished(manifest), *warnings(manifest), *_teacher_warnings(manifest)],
        pictures=PICTURES,
    )
    return re.sub(r"\n{3,}", "\n\n", card).strip() + "\n"


def _unfinished(manifest: Manifest) -> list[str]:
    progress = manifest.extra.get(UNFINISHED)
    return [unfinished_warning(progress)] if isinstance(progress, dict) else []


def _teacher(manifest: Manifest) -> str | None:
    teacher = manifest.extra.get(TEACHER)
    return teacher_line(teacher) if isinstance(teacher, dict) else None


def _teacher_warnings(manifest: Manifest) -> list[str]:
    teacher = manifest.extra.get(TEACHER)
    return teacher_warnings(teacher) if isinstance(teacher, dict) else []


def _helped(calibration: Mapping[str, Any]) -> bool:
    """Whether calibration was seen to help; of a run that was written before there was a verdict, by its ECE."""
    verdict = calibration.get("verdict")
    return bool(calibration["lowered_ece"]) if verdict is None else verdict == HELPED


def text(value: Any) -> str:
    """A value from a dataset as Markdown text on one line: what would be markup is escaped."""
    return "".join(f"\\{char}" if char in "\\`*_[]<>|#" else char for char in plain(str(value)))
