"""Runtimes side by side: those at hand agree with ONNX Runtime, and those that are not say why."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.export.__main__ import app
from benchmarks.export.backends import REFERENCE, lines, measure, openers
from emotions.bundle.bundle import read_bundle


def test_a_bundle_without_torch_forms_says_so(tiny_bundle: Path) -> None:
    measured = measure(tiny_bundle, threads=1, rounds=1, compiled=False)
    assert [row.batch for row in measured.rows if row.name == REFERENCE] == [1, 8]
    for row in measured.rows:
        assert 0 < row.windows_per_sec["min"] <= row.windows_per_sec["median"] <= row.windows_per_sec["max"]
        assert row.max_abs_diff < 1e-4
        assert row.agreement == 1
    assert measured.not_run["torch eager, pt2"] == "the bundle has no pt2; export it with one"
    assert measured.not_run["torch.compile, pt2"].startswith("left out")
    assert "torchscript" in measured.not_run["torchscript"]
    assert (find_spec("openvino") is None) == ("openvino, fp32" in measured.not_run)
    assert {row.name for row in measured.rows} | set(measured.not_run) == set(openers(read_bundle(tiny_bundle), 1))
    table = [*lines(measured)]
    assert len(table) == 2 + len({row.name for row in measured.rows}) + len(measured.not_run)
    assert any("| not run: openvino is not installed; pip install openvino |" in line for line in table) == (
        find_spec("openvino") is None
    )


def test_the_command_prints_json(tiny_bundle: Path) -> None:
    done = CliRunner().invoke(app, ["backends", str(tiny_bundle), "--json", "--rounds", "1", "--no-compiled"])
    assert done.exit_code == 0
    printed = json.loads(done.stdout)
    assert set(printed) == set(asdict(measure(tiny_bundle, 1, 1, compiled=False)))
    assert printed["rows"][0]["name"] == REFERENCE


def test_what_fails_does_not_stop_the_others(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> object:
        raise RuntimeError("out of memory\nand a long trace")

    known = openers
    monkeypatch.setattr(
        "benchmarks.export.backends.openers",
        lambda bundle, threads: {**known(bundle, threads), "torchscript": lambda: broken},
    )
    measured = measure(tiny_bundle, 1, 1, compiled=False)
    assert measured.not_run["torchscript, batch 1"] == "out of memory"
    assert {row.name for row in measured.rows} >= {REFERENCE}


def test_what_does_not_open_does_not_stop_the_others(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable() -> object:
        raise RuntimeError("no such operator\nand a long trace")

    def wordless() -> object:
        raise ValueError

    known = openers
    monkeypatch.setattr(
        "benchmarks.export.backends.openers",
        lambda bundle, threads: {**known(bundle, threads), "openvino, fp32": unreadable, "torchscript": wordless},
    )
    measured = measure(tiny_bundle, 1, 1, compiled=False)
    assert measured.not_run["openvino, fp32"] == "no such operator"
    assert measured.not_run["torchscript"] == "ValueError"
    assert [row.batch for row in measured.rows if row.name == REFERENCE] == [1, 8]


def test_without_what_all_are_compared_with_nothing_is_measured(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable() -> object:
        raise RuntimeError("no such operator")

    monkeypatch.setattr("benchmarks.export.backends.openers", lambda *_: {REFERENCE: unreadable})
    with pytest.raises(RuntimeError, match="no such operator"):
        measure(tiny_bundle, 1, 1, compiled=False)
