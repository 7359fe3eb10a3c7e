"""What the metrics of values say, as a sentence and as tables of a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from emotions.files.html.report import Part, Table
from training.metrics.conclusion import shortened

_HEAD = ["part", "dimension", "CCC", "95 % interval", "Pearson", "RMSE", "MAE", "recordings"]


def dimension_conclusions(targets: Mapping[str, Mapping[str, Any]], whose: str) -> Iterator[str]:
    """A sentence for each target of dimensions.

    Args:
        targets: target -> its scores; those of targets of labels are passed over.
        whose: which recordings were measured.
    """
    for target, scores in targets.items():
        rows = scores.get("dimensions", {})
        if rows:
            told = ", ".join(f"{shortened(name)} {row['ccc']:.2f}{_interval(row)}" for name, row in rows.items())
            yield (
                f"{shortened(target)}: on recordings {whose} the concordance (CCC) of answers and truth is "
                f"{told}; 1 is perfect, 0 is what a constant answer has."
            )


def _interval(row: Mapping[str, Any]) -> str:
    bounds = row.get("ccc_ci")
    return "" if bounds is None else f" ({bounds[0]:.2f} to {bounds[1]:.2f})"


def dimension_tables(index: Mapping[str, Any]) -> Iterator[Part]:
    """The figures of each part and dimension, and the calibration; nothing where there are none.

    Args:
        index: content of ``run.json``.
    """
    rows: list[list[Any]] = [
        [part, f"{target}.{name}", f"{row['ccc']:.3f}", _bounds(row), *_others(row), row["clips"]]
        for part, targets in index["metrics"].items()
        for target, scores in targets.items()
        for name, row in scores.get("dimensions", {}).items()
    ]
    if rows:
        yield Table("Dimensions, intervals over speakers", _HEAD, rows)
    fitted: list[list[Any]] = [
        [f"{target}.{name}", f"{row['scale']:.3f}", f"{row['bias']:.3f}", *_before_after(row), row["verdict"]]
        for target, about in index.get("calibration", {}).items()
        for name, row in about.get("dimensions", {}).items()
    ]
    if fitted:
        head = ["dimension", "scale", "bias", "CCC before", "CCC after", "RMSE before", "RMSE after", "verdict"]
        yield Table("Linear calibration, where the range is -1 to 1; after: on other speakers", head, fitted)


def _others(row: Mapping[str, Any]) -> list[str]:
    return [f"{row[name]:.3f}" for name in ("pearson", "rmse", "mae")]


def _before_after(row: Mapping[str, Any]) -> list[str]:
    return [f"{row[name]:.3f}" for name in ("ccc_before", "ccc_after", "rmse_before", "rmse_after")]


def _bounds(row: Mapping[str, Any]) -> str:
    bounds = row.get("ccc_ci")
    return "–" if bounds is None else f"{bounds[0]:.3f} to {bounds[1]:.3f}"
