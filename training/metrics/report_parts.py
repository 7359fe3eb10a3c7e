"""Pictures of the metrics of a classification, as parts of a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from emotions.files.html.report import Matrix, Part, Picture, Recording, Recordings
from emotions.files.html.svg_plots import MAX_RANGES, Axes, Line, Range, lines, ranges
from training.metrics.conclusion import says_something

History = Mapping[str, Sequence[float | None]]
_MIN_CLIPS = 5
_BELIEVED = (
    "On the dashed line answers are as often right as the model says; after: calibrated by a temperature. Points of "
    f"fewer than {_MIN_CLIPS} recordings are left out."
)
_LISTEN = "listen to these first: a wrong label, a bad recording, or a true weakness"
_OVER_TIME = (
    "below each player stands the probability of each label in each window of the recording, one above the other; a "
    "click plays from there"
)
_SPREAD = "The bar is the interval of 95 %, left out where there are too few to tell. The dashed line is chance."


def matrix(found: Mapping[str, Any]) -> Matrix:
    """The confusion matrix of a target, of its metrics ``found``."""
    return Matrix("What is taken for what", found["labels"], found["confusion"])


def class_picture(found: Mapping[str, Any]) -> Iterator[Picture]:
    """Recall of each class beside chance, the lowest first; nothing where no class occurs."""
    known = [
        Range(label, row["recall"], _told(row.get("recall_ci")))
        for label, row in found["per_class"].items()
        if row["recall"] is not None
    ]
    rows = sorted(known, key=lambda each: each.value)
    if rows:
        chance = ("chance", 1 / len(rows))
        drawn = ranges("Recall of each class", "right, of 100 recordings of the class", rows, chance)
        spread = _SPREAD if any(row.interval for row in rows) else "The dashed line is chance."
        yield Picture(drawn, f"{spread}{_left_out(rows)}")


def group_picture(title: str, groups: Sequence[Mapping[str, Any]]) -> Iterator[Picture]:
    """UAR of each group, or speaker, the lowest first; nothing where there is but one."""
    rows = sorted((Range(row["name"], row["uar"], _told(row.get("uar_ci"))) for row in groups), key=lambda r: r.value)
    if len(rows) > 1:
        drawn = ranges(title, "UAR, of 100", rows)
        yield Picture(drawn, f"UAR of each, the lowest first.{_left_out(rows)}")


def recordings(
    rows: Sequence[Mapping[str, Any]], sounds: Mapping[str, str], target: str = "", labels: Sequence[str] = ()
) -> Recordings:
    """The errors that the model was surest of, with their sounds where these are known.

    Args:
        rows: of ``surest_errors``.
        sounds: name of a recording -> where it lies.
        target: for the title.
        labels: of what the rows have over time.
    """
    found = [
        Recording(
            [row.get("name") or row["clip"], row["truth"], row["predicted"], f"{row['confidence']:.0%}"],
            sounds.get(row.get("name", ""), ""),
            row.get("over_time", ()),
        )
        for row in rows
    ]
    head = ["recording", "labelled", "answer", "confidence"]
    caption = f"{target}: wrong, and most sure" if target else "Wrong, and most sure"
    part = Recordings(caption, head, found, [_LISTEN], labels)
    return replace(part, notes=[_LISTEN, _OVER_TIME]) if part.drawn else part


def calibration_pictures(calibration: Mapping[str, Any]) -> Iterator[Picture]:
    """How far confidence can be believed, and what is gained by answering only where it is high."""
    bins = {name: calibration.get(f"reliability_{name}", []) for name in ("before", "after")}
    drawn = [Line(name, _reliable(rows), dots=True) for name, rows in bins.items()]
    if any(line.points for line in drawn):
        axes = Axes("confidence", "share that is right", top=1.0)
        ideal = Line("ideal", [(0.0, 0.0), (1.0, 1.0)], dashed=True)
        yield Picture(lines("Can its confidence be believed?", axes, [*drawn, ideal]), _BELIEVED)
    if risk := calibration.get("risk_coverage"):
        points = [(row["coverage"], row["risk"]) for row in risk]
        drawn_risk = lines(
            "If it may stay silent when unsure",
            Axes("share of recordings that is answered", "wrong, of those"),
            [Line("errors", points)],
        )
        yield Picture(drawn_risk, "The surest answers come first, on the left; on the right all are given.")


def _reliable(rows: Sequence[Mapping[str, float]]) -> list[tuple[float, float]]:
    """Confidence and accuracy of the bins that have enough recordings; of all where none has."""
    known = [row for row in rows if row["clips"] >= _MIN_CLIPS] or rows
    return [(row["confidence"], row["accuracy"]) for row in known]


def curves(history: History, best_epoch: int) -> list[Part]:
    """Loss and UAR by epoch.

    Args:
        history: values of ``train/loss``, ``val/loss`` and ``val/<target>_uar`` after each epoch.
        best_epoch: epoch of the best checkpoint, from 0.
    """
    losses = {f"{name}": history[f"{name}/loss"] for name in ("train", "val") if f"{name}/loss" in history}
    uars = {name[4:-4]: values for name, values in history.items() if name.startswith("val/") and name.endswith("_uar")}
    told = f"The dashed line is the epoch that was kept, {best_epoch + 1}."
    drawn = (
        (_by_epoch("Loss by epoch", "loss", losses, best_epoch), told),
        (_by_epoch("UAR of the validation part by epoch", "UAR", uars, best_epoch, top=1.0), told),
    )
    return [Picture(svg, caption) for svg, caption in drawn if svg]


def _by_epoch(title: str, up: str, series: History, best_epoch: int, top: float | None = None) -> str:
    drawn = [
        Line(
            name, [(epoch, value) for epoch, value in enumerate(values, 1) if value is not None], dots=len(values) < 13
        )
        for name, values in series.items()
    ]
    highest = max((value for line in drawn for _, value in line.points), default=None)
    if highest is None:
        return ""
    kept = Line("kept", [(best_epoch + 1.0, 0.0), (best_epoch + 1.0, highest if top is None else top)], dashed=True)
    return lines(title, Axes("epoch", up, start=1.0, whole=True, top=top), [*drawn, kept])


def _told(bounds: Sequence[float] | None) -> tuple[float, float] | None:
    return (bounds[0], bounds[1]) if bounds is not None and says_something(bounds) else None


def _left_out(rows: Sequence[Range]) -> str:
    return f" Shown are the {MAX_RANGES} lowest of {len(rows)}." if len(rows) > MAX_RANGES else ""
