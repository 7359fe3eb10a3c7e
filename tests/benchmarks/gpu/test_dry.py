"""Every step is walked on the fake of the CUDA provider, and the page says that no figure of it is one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks.gpu.catalogue import STEPS
from benchmarks.gpu.report import markdown
from benchmarks.gpu.runner import run_steps
from emotions.runtime.devices import cuda_usable
from tests.conftest import needs

ROOT = Path(__file__).parents[3]


def test_every_step_names_a_function() -> None:
    names = [step.name for step in STEPS]
    assert len({*names}) == len(names)
    for step in STEPS:
        module, function = step.call.split(":")
        source = (ROOT / module.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8")
        assert f"\ndef {function}(bench: Bench) -> Figures:" in source


@pytest.mark.skipif(cuda_usable(), reason="there is a card")
def test_without_a_card_each_step_names_what_is_missing(tmp_path: Path) -> None:
    wanted = [step for step in STEPS if step.name in ("machine", "provider", "settings")]
    machine, provider, settings = run_steps(wanted, tmp_path, seconds=250.0, say=lambda _: None)
    assert (machine["status"], machine["cause"].partition(":")[0]) == ("failed", "RuntimeError")
    assert "nvidia-smi" in machine["cause"]
    assert machine["figures"]["cores"] >= 1
    assert provider["status"] == "failed"
    assert re.match(r"RuntimeError: ONNX Runtime cannot load its CUDA provider: lib\w+\.so", provider["cause"])
    assert settings["status"] == "skipped"
    assert settings["cause"] == "there is no bundle base: the step bundles did not make it"
    titles = {step.name: step.title for step in STEPS}
    page = markdown([machine, provider, settings], titles, datetime(2026, 11, 28, tzinfo=UTC))
    assert "which need torch alone" in page


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_dry_run_walks_every_step(tmp_path: Path) -> None:
    needs(hasattr(os, "fork"), "the service of a dry run needs processes that fork")
    command = [sys.executable, "-m", "benchmarks.gpu", "run", "--dry", "--output", str(tmp_path), "--seconds", "1400"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = {line["step"]: line for line in map(json.loads, (tmp_path / "steps.jsonl").read_text().splitlines())}
    assert {name: (line["status"], line["cause"]) for name, line in lines.items()} == {
        step.name: ("passed", "") for step in STEPS
    }, done.stdout
    assert done.returncode == 0
    assert all(line["dry"] and line["figures"] for line in lines.values())
    used = re.search(r"(\d+) s of processor time", done.stdout)
    assert used is not None
    assert 20 < int(used[1]) <= 120  # two minutes at most, whoever else uses the machine
    figures = {name: line["figures"] for name, line in lines.items()}
    assert figures["folder"]["errors"] == 0
    assert figures["drain"]["second start"]["lost"] == 0
    assert figures["peers"]["largest difference"] < 0.02
    assert "memory" in figures["memory"]["load with 300 MB"]
    page = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "**This was a dry run.**" in page
    assert "| met |" not in page
