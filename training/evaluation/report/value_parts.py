"""The metrics of a target of dimensions as tables of a page and lines of the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from emotions.files.html.report import Part, Picture, Table
from emotions.files.html.svg_plots import Range, ranges

_FIGURES = {"ccc": "CCC", "pearson": "Pearson", "rmse": "RMSE", "mae": "MAE"}


def value_pictures(target: str, found: Mapping[str, Any]) -> Iterator[Part]:
    """CCC of each dimension with its interval.

    Args:
        target: its name.
        found: its metrics.
    """
    rows = [Range(name, max(row["ccc"], 0.0), _inside(row.get("ccc_ci"))) for name, row in found["dimensions"].items()]
    drawn = ranges(f"Concordance of {target}", "CCC, of 100", rows)
    yield Picture(drawn, "CCC of each dimension; the bar is the interval of 95 %. 100 is perfect, a constant has 0.")


def _inside(bounds: Sequence[float] | None) -> tuple[float, float] | None:
    return None if bounds is None else (max(bounds[0], 0.0), max(bounds[1], 0.0))


def value_tables(found: Mapping[str, Any]) -> Iterator[Part]:
    """Figures of each dimension, before and after the calibration, by speaker and by group. Args as above."""
    before = found.get("before_calibration", {})
    head = ["dimension", *_FIGURES.values(), *(["CCC before calibration"] if before else []), "recordings"]
    rows = [
        [
            name,
            *(with_bounds(row, figure) for figure in _FIGURES),
            *([f"{before[name]['ccc']:.3f}"] if before else []),
            row["clips"],
        ]
        for name, row in found["dimensions"].items()
    ]
    low, high = found["range"]
    fitted = ", calibrated by scale and bias on validation speakers of each fold" if before else ""
    yield Table("All recordings", head, rows, [f"on the range {low:g} to {high:g}{fitted}"])
    if "per_speaker" in found:
        for name, groups in {found["interval_over"]: found["per_speaker"], **found["per_group"]}.items():
            yield _by_group(f"By {name}", groups)


def _by_group(title: str, groups: Sequence[Mapping[str, Any]]) -> Table:
    names = [*dict.fromkeys(name for group in groups for name in group["dimensions"])]
    head = ["name", *(f"{name}: CCC, MAE" for name in names), "recordings"]
    rows = [
        [group["name"], *(_cell(group["dimensions"].get(name)) for name in names), group["clips"]] for group in groups
    ]
    return Table(title, head, rows)


def _cell(row: Mapping[str, Any] | None) -> str:
    return "–" if row is None else f"{row['ccc']:.3f}, {row['mae']:.3f}"


def with_bounds(row: Mapping[str, Any], figure: str) -> str:
    """A figure of a dimension with its interval, where there is one.

    Args:
        row: metrics of the dimension.
        figure: name of the metric.
    """
    bounds = row.get(f"{figure}_ci")
    return f"{row[figure]:.3f}" + ("" if bounds is None else f" ({bounds[0]:.3f} to {bounds[1]:.3f})")


def value_lines(target: str, found: Mapping[str, Any]) -> Iterator[str]:
    """A line for each dimension. Args as ``value_pictures``."""
    for name, row in found["dimensions"].items():
        figures = ", ".join(f"{title} {with_bounds(row, figure)}" for figure, title in _FIGURES.items())
        yield f"{target}.{name}: {figures}, {row['clips']} clips"
