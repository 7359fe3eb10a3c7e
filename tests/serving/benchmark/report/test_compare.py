from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from emotions.cli import run
from emotions.errors import ConfigError
from serving.benchmark.driver.statistics import spread
from serving.benchmark.report.compare import compare_reports


def report(path: Path, speeds: list[float], p99: list[float], **other: Any) -> Path:
    scenario = {
        "offered_per_sec": None,
        "clips_per_sec": spread([100.0, 100.0, 100.0]),
        "latency_ms": {"p50": spread([5.0, 5.0, 5.0]), "p99": spread(p99)},
        "void": 0,
    }
    layers = {"service": {"clips_per_sec": spread(speeds)}}
    content = {"format": 2, "layers": layers, "scenarios": {"single_stream": scenario}, **other}
    path.mkdir()
    (path / "report.json").write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("speeds", "p99", "regressed"),
    [
        ([100.0, 101.0, 102.0], [10.0, 10.1, 10.2], []),
        ([97.0, 98.0, 99.0], [10.3, 10.4, 10.2], []),  # within the five in a hundred
        ([90.0, 91.0, 92.0], [10.0, 10.1, 10.2], ["service, clips/s"]),
        ([60.0, 91.0, 125.0], [10.0, 10.1, 10.2], []),  # by chance
        ([120.0, 121.0, 122.0], [11.0, 11.2, 11.4], ["single_stream, p99 ms"]),
    ],
)
def test_a_regression_is_beyond_five_in_a_hundred_and_beyond_chance(
    tmp_path: Path,
    speeds: list[float],
    p99: list[float],
    regressed: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = report(tmp_path / "a", [100.0, 101.0, 102.0], [10.0, 10.1, 10.2])
    after = report(tmp_path / "b", speeds, p99)
    changes = compare_reports(before, after / "report.json", 0.05)
    assert [change.name for change in changes if change.regressed] == regressed
    assert all(change.low <= change.ratio <= change.high for change in changes)
    assert run(["benchmark", "compare", str(before), str(after)]) == (1 if regressed else 0)
    printed = capsys.readouterr().out
    assert f"{len(regressed)} of 4 figures are worse by more than 5%" in printed
    assert printed.count("REGRESSED") == len(regressed)


def test_a_lower_latency_is_better_and_so_is_a_higher_speed(tmp_path: Path) -> None:
    before = report(tmp_path / "a", [100.0], [10.0])
    after = report(tmp_path / "b", [110.0], [8.0])
    ratios = {change.name: change.ratio for change in compare_reports(before, after, 0.05)}
    assert ratios["service, clips/s"] == pytest.approx(1.1)
    assert ratios["single_stream, p99 ms"] == pytest.approx(1.25)


def test_what_is_no_report_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = report(tmp_path / "a", [100.0], [10.0])
    (tmp_path / "old.json").write_text('{"format": 1, "layers": {}}')
    assert run(["benchmark", "compare", str(good), str(tmp_path / "old.json")]) == 2
    assert "is no report of version 2 of emotions benchmark" in capsys.readouterr().err
    assert run(["benchmark", "compare", str(good), str(tmp_path / "none")]) == 2
    assert "none: cannot be read" in capsys.readouterr().err


def test_reports_without_a_common_figure_cannot_be_compared(tmp_path: Path) -> None:
    before = report(tmp_path / "a", [100.0], [10.0], scenarios={})
    after = report(tmp_path / "b", [100.0], [10.0], layers={})
    with pytest.raises(ConfigError, match="no figure in common"):
        compare_reports(before, after, 0.05)
