"""Two reports side by side: what became faster, what slower, and what is only chance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median_high
from typing import Any

from emotions.errors import ConfigError
from emotions.files.json_text import read_json
from serving.benchmark.driver.statistics import ratio_interval
from serving.benchmark.report.report import FORMAT, REPORT
from serving.benchmark.report.tables import Row, aligned, runs

Report = Mapping[str, Any]
_Figure = tuple[list[float], bool]


@dataclass(frozen=True)
class Change:
    """One figure in both reports, by its medians.

    Attributes:
        ratio: by how much it is better: 1.1 is ten in a hundred faster, whether it counts clips or milliseconds.
        low: of the interval of 95 % of the ratio, as ``high``.
        regressed: worse by more than is tolerated, with the whole interval below 1.
    """

    name: str
    before: float
    after: float
    ratio: float
    low: float
    high: float
    regressed: bool


def compare_reports(before: Path, after: Path, tolerance: float) -> list[Change]:
    """Compare every figure that both reports have.

    Args:
        before: a report or its folder.
        after: a report or its folder.
        tolerance: share by which a figure may be worse: 0.05.

    Raises:
        ConfigError: a report cannot be read, is of another version, or they have no figure in common.
    """
    old, new = (dict(_figures(_read(path))) for path in (before, after))
    both = [name for name in old if name in new]
    if not both:
        raise ConfigError(f"{before} and {after}: have no figure in common")
    return [_change(name, old[name], new[name], tolerance) for name in both]


def _read(path: Path) -> Report:
    file = path / REPORT if path.is_dir() else path
    report = read_json(file)
    if not isinstance(report, dict) or report.get("format") != FORMAT:
        raise ConfigError(f"{file}: is no report of version {FORMAT} of emotions benchmark; measure it again")
    return report


def _figures(report: Report) -> Iterator[tuple[str, _Figure]]:
    """Each figure by its name: its repeats, and whether higher is better."""
    for name, layer in report["layers"].items():
        yield f"{name}, clips/s", (layer["clips_per_sec"]["values"], True)
    for name, run in _stable(report).items():
        if run["offered_per_sec"] is None:  # at an offered rate it is what was offered
            yield f"{name}, clips/s", (run["clips_per_sec"]["values"], True)
        for key in ("p50", "p99"):
            if key in run["latency_ms"]:
                yield f"{name}, {key} ms", (run["latency_ms"][key]["values"], False)
    scenarios = report.get("scenarios", {})
    if search := scenarios.get("search"):
        yield "search, requests/s", (search["repeat_rates_per_sec"], True)
    if cold := scenarios.get("cold_start"):
        yield "cold_start, ready s", (cold["ready_sec"]["values"], False)


def _stable(report: Report) -> dict[str, Report]:
    """Runs whose load is the same in every report: rates are numbered, for they follow the machine's throughput."""
    found = {name: run for name, run in runs(report).items() if not name.startswith("server ") and not run["void"]}
    rates = report.get("scenarios", {}).get("server", {}).get("rates", [])
    return found | {f"server, rate {at}": run for at, run in enumerate(rates, 1) if not run["void"]}


def _change(name: str, old: _Figure, new: _Figure, tolerance: float) -> Change:
    (before, higher_is_better), (after, _) = old, new
    if not all(before) or not all(after):  # no ratio to 0
        return Change(name, max(before), max(after), 1.0, 0.0, float("inf"), False)
    ratio, low, high = ratio_interval(before, after) if higher_is_better else ratio_interval(after, before)
    return Change(name, median_high(before), median_high(after), ratio, low, high, ratio < 1 - tolerance and high < 1)


def comparison(changes: list[Change], tolerance: float) -> str:
    """The comparison as a table, the verdict below it.

    Args:
        changes: the figures of both reports.
        tolerance: share by which a figure may be worse.
    """
    rows: list[Row] = [("figure", "A", "B", "B is better by", "interval of 95 %", "")]
    for each in changes:
        interval = f"{each.low:.3f} to {each.high:.3f}"
        verdict = "REGRESSED" if each.regressed else ""
        rows.append((each.name, f"{each.before:.4g}", f"{each.after:.4g}", f"x {each.ratio:.3f}", interval, verdict))
    worse = sum(each.regressed for each in changes)
    end = f"{worse} of {len(changes)} figures are worse by more than {tolerance:.0%}, beyond chance"
    return f"{aligned(rows)}\n\n{end}"
