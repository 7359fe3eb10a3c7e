"""Whatever a step does, there is a line of it at once with its cause, what it found is kept, and the next one runs."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.gpu.runner import LINES, run_steps
from benchmarks.gpu.step import Step
from tests.benchmarks.gpu.faulty import step


def ran(output: Path, *steps: Step, seconds: float = 200.0, dry: bool = False) -> list[dict[str, Any]]:
    """The lines as the file has them."""
    lines = run_steps(steps, output, seconds=seconds, dry=dry, say=lambda _: None)
    written = [json.loads(line) for line in (output / LINES).read_text(encoding="utf-8").splitlines()]
    assert written == lines
    return written


@pytest.mark.parametrize(
    ("name", "status", "cause"),
    [
        ("raises", "failed", "ValueError: the cause"),
        ("fails_on_the_card", "failed", "RuntimeError: CUDA failure 100: no CUDA-capable device is detected"),
        ("skips", "skipped", "bentoml is not installed"),
        ("dies", "failed", "its process was killed by SIGSEGV"),
        ("leaves", "failed", "its process ended with exit code 7: CUDA error: an illegal memory access"),
    ],
)
def test_a_step_that_goes_wrong_names_its_cause_and_the_next_goes_on(
    name: str, status: str, cause: str, tmp_path: Path
) -> None:
    bad, good = ran(tmp_path, step(name), step("well"))
    assert (bad["step"], bad["status"], bad["cause"], bad["figures"]) == (name, status, cause, {"before": 1})
    assert (good["status"], good["cause"], good["dry"]) == ("passed", "", False)
    assert good["figures"] == {"dry": False, "numbers": {"half": 0.5, "nan": "nan", "third": 0.3333}}


def test_a_step_that_hangs_is_stopped_with_all_that_it_started(tmp_path: Path) -> None:
    hung, good = ran(tmp_path, step("hangs", seconds=6.0), step("well"))
    assert hung["status"] == "stopped"
    assert hung["cause"].startswith("it took longer than ")
    assert hung["seconds"] < 15
    assert good["status"] == "passed"
    left = hung["figures"].get("left")  # none where the machine was too slow to start it
    assert left is None or not psutil.pid_exists(left) or psutil.Process(left).status() == psutil.STATUS_ZOMBIE


def test_the_deadline_of_the_run_is_kept_and_every_step_has_its_line(tmp_path: Path) -> None:
    began = time.monotonic()
    hung, *others = ran(tmp_path, step("hangs"), step("well"), step("raises"), seconds=7.0)
    assert time.monotonic() - began < 12
    assert hung["status"] == "stopped"
    assert [(line["status"], line["cause"]) for line in others] == [
        ("skipped", "no time was left of the 7 s of the run")
    ] * 2


def test_a_line_is_there_as_soon_as_its_step_has_ended(tmp_path: Path) -> None:
    seen: list[int] = []
    run_steps(
        [step("skips"), step("well")],
        tmp_path,
        seconds=200.0,
        say=lambda _: seen.append(len((tmp_path / LINES).read_text(encoding="utf-8").splitlines())),
    )
    assert seen == [1, 2]


def test_what_cannot_be_imported_is_named(tmp_path: Path) -> None:
    (line,) = ran(tmp_path, Step("gone", "Gone", "tests.benchmarks.gpu.no_such_module:run"))
    assert line["status"] == "failed"
    assert line["cause"] == "ModuleNotFoundError: No module named 'tests.benchmarks.gpu.no_such_module'"


def test_a_dry_run_has_a_card_that_is_none(tmp_path: Path) -> None:
    (line,) = ran(tmp_path, step("well"), dry=True)
    assert (line["status"], line["dry"], line["figures"]["dry"]) == ("passed", True, True)
