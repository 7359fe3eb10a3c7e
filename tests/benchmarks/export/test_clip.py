"""What one clip costs: every variant for CPUs has a row."""

from __future__ import annotations

import re
from pathlib import Path

from typer.testing import CliRunner

from benchmarks.export.__main__ import app
from emotions.bundle.bundle import read_bundle


def test_each_variant_has_its_time_and_size(tiny_bundle: Path) -> None:
    done = CliRunner().invoke(app, ["clip", str(tiny_bundle), "--seconds", "0.5", "--rounds", "2"])
    assert done.exit_code == 0, done.output
    found = dict(re.findall(r"^\| (\S+, \w+) \| ([\d.]+) \| [\d.]+ \|$", done.output, re.M))
    variants = read_bundle(tiny_bundle).manifest.variants
    assert [*found] == [f"{tiny_bundle.name}, {name}" for name, each in variants.items() if each.file.endswith(".onnx")]
    assert all(float(milliseconds) > 0 for milliseconds in found.values())
