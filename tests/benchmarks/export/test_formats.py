"""The benchmark of forms: a table with what the gate said, kept in a report, family by family."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.export.__main__ import app

FAMILY = "SpectrogramCnnClassifier"
COMMAND = ["formats", "--rounds", "1", "--family"]


@pytest.mark.slow
def test_a_bundle_that_is_there_is_raced_in_every_form(full: Path, tmp_path: Path) -> None:
    (tmp_path / f"{FAMILY}.bundle").symlink_to(full)
    others = [{"family": "TransformerClassifier", "form": "fp32"}, {"family": FAMILY, "form": "old"}]
    (tmp_path / "report.json").write_text(json.dumps({"rows": others}))
    done = CliRunner().invoke(app, [*COMMAND, FAMILY, "--output", str(tmp_path)])
    assert done.exit_code == 0, done.output
    lines = [line for line in done.output.splitlines() if line.startswith(f"| {FAMILY}")]
    assert [line.split(" | ")[1] for line in lines] == ["fp32", "torchscript", "pt2", "fp16", "int8"]
    assert all(float(cell) > 0 for line in lines for cell in line.strip(" |").split(" | ")[-2:])
    verdict = (
        r"(kept|refused|too few clips to tell): \d+ of 200 labels changed, .* \(at most 5%\), UAR of эмоция \d\.\d+ to "
    )
    assert [bool(re.search(verdict, line)) for line in lines] == [False, False, False, True, True]
    report = json.loads((tmp_path / "report.json").read_text())
    assert [(row["family"], row["form"]) for row in report["rows"]] == [
        *((FAMILY, form) for form in ("fp32", "torchscript", "pt2", "fp16", "int8")),
        ("TransformerClassifier", "fp32"),
    ]
    assert report["rows"][4]["gate"]["clips"] == 4
    assert set(report["rows"][0]["windows_per_second"]) == {"1", "8"}


def test_an_unknown_family_is_one_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [*COMMAND, "Resnet", "--output", str(tmp_path / "b")])
    assert done.exit_code == 2
    assert "error: --family: 'Resnet' is none; allowed: SpectrogramCnn" in done.output
    assert not (tmp_path / "b").exists()
