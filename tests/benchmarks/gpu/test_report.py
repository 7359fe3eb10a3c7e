"""The report: what was wanted against what came, and that a dry run is none."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from benchmarks.gpu.__main__ import app
from benchmarks.gpu.catalogue import STEPS
from benchmarks.gpu.report import WANTED, markdown

WHEN = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
CARD = {"name": "NVIDIA H100 80GB HBM3", "driver_version": "580.159.04", "memory.total": "81559 MiB"}


def line(step: str, figures: dict[str, Any], *, dry: bool = False, **changed: Any) -> dict[str, Any]:
    return {
        "step": step, "status": "passed", "cause": "", "seconds": 1.0, "dry": dry, "figures": figures, **changed
    }  # fmt: skip


def lines(dry: bool = False) -> list[dict[str, Any]]:
    return [
        line("machine", {"cards": [CARD], "versions": {"torch": "2.11.0"}}, dry=dry),
        line("share", {"share of the matrix rate": 0.561, "best, windows/s": 4321.4}, dry=dry),
        line("peers", {"times as people run it": 12.0, "times its best": 1.5}, dry=dry),
        line("families", {"a, fp16": {"copies": 2, "on_cpu": {"Shape": 3}, "nodes": 9}}, dry=dry),
        line("settings", {"plain": {"ms": 1.25}, "nhwc": {"ms": 0.5}, "broken": "RuntimeError: no | such"}, dry=dry),
        line("fit", {}, dry=dry, status="stopped", cause="it took longer than 60 s"),
    ]


def test_figures_are_held_against_what_was_wanted() -> None:
    page = markdown(lines(), {step.name: step.title for step in STEPS}, WHEN)
    assert page.startswith(
        "# The GPU path: NVIDIA H100 80GB HBM3, 81559 MiB, driver 580.159.04\n\n2026-11-28 12:00 UTC"
    )
    assert "dry run" not in page
    assert "| at least 0.5 | 0.561 | met |" in page
    assert "| at least 10 | 12 | met |" in page
    assert "| at least 2 | 1.5 | **missed** |" in page
    assert "| at least 0.85 | not measured |  |" in page
    assert "| 0 | a, fp16: 3; at most 2 copies in a graph | |" in page
    assert "| `fit` Training in mixed precision | **stopped** | 1.0 | it took longer than 60 s |" in page
    assert "| plain | 1.25 |\n| nhwc | 0.5 |" in page
    assert "- broken: RuntimeError: no | such" in page


def test_no_figure_of_a_dry_run_counts() -> None:
    page = markdown(lines(dry=True), {}, WHEN)
    assert page.startswith("# The GPU path: dry run\n")
    assert "**This was a dry run.**" in page
    assert page.count("not measured") == len(WANTED) + 1
    assert "met |" not in page
    assert "H100" not in page.splitlines()[0]


def test_where_only_torch_ran_it_is_said() -> None:
    broken = line("provider", {}, status="failed", cause="ValueError: no CUDAExecutionProvider")
    page = markdown([broken, *lines()], {}, WHEN)
    assert "which need torch alone" in page
    assert "which need torch alone" not in markdown(lines(), {}, WHEN)


def test_a_report_is_written_anew_from_its_lines(tmp_path: Path) -> None:
    (tmp_path / "steps.jsonl").write_text("\n".join(map(json.dumps, lines())), encoding="utf-8")
    done = CliRunner().invoke(app, ["report", "--output", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "NVIDIA H100" in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_a_step_that_is_none_is_refused(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["run", "--dry", "--output", str(tmp_path), "--step", "nothing"])
    assert done.exit_code == 2
    assert "'nothing' is none; allowed: machine, provider" in done.output
