"""The ``export`` command and step: what they take, what they print, how they fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest
from pydantic import ValidationError

from emotions.bundle.bundle import read_bundle
from emotions.cli import run
from emotions.errors import ConfigError, OutputExists
from emotions.pipeline.runner import Context
from export.bundle import export
from export.commands import EXPORT
from export.config import ExportStep

_TO_ONNX = export.to_onnx


@pytest.fixture(autouse=True)
def exported_before(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The seconds of an export saved: the model's graph is there already."""
    monkeypatch.setattr(export, "to_onnx", lambda *_: onnx.load(bundle / "model.onnx"))


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(tmp_path, seed=0, workers=0, config={}, quiet=True)


def test_the_command_exports_a_run_and_prints_the_proof(
    trained_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["export", "--run", str(trained_run), "--output", str(tmp_path / "b"), "--name", "mine"]) == 0
    printed = capsys.readouterr().out
    assert "torch against ONNX Runtime: " in printed
    assert "(at most 1e-04)" in printed
    assert "validation and test clips of the run" in printed
    *_, bundle, predict, serve = printed.splitlines()
    assert bundle == f"bundle: {tmp_path / 'b'}"
    assert predict == f"next: emotions predict RECORDING --bundle {tmp_path / 'b'}"
    assert serve == f"next: emotions serve --bundle {tmp_path / 'b'}"
    assert read_bundle(tmp_path / "b").manifest.name == "mine"


def test_the_command_exports_a_checkpoint(
    trained_run: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(export, "to_onnx", _TO_ONNX)  # a checkpoint alone knows no temperature
    assert run(["export", "--checkpoint", str(trained_run / "best.ckpt"), "--data", str(corpus)]) == 0
    assert "recordings that the user named" in capsys.readouterr().out
    assert (tmp_path / "bundles" / "spectrogramcnnclassifier-эмоция" / "manifest.json").is_file()


@pytest.mark.parametrize(
    "sources", [[], ["--run", "a", "--checkpoint", "b"], ["--run", "a", "--hf", "b"], ["--from", "a", "--hf", "b"]]
)
def test_exactly_one_source_is_wanted(sources: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", *sources, "--output", "x"]) == 2
    options = "--run DIR, --checkpoint FILE, --tune-results DIR, --from NAME_OR_FOLDER and --onnx FILE"
    assert capsys.readouterr().err == f"error: say what to export: one of {options}\n"


def test_an_output_that_is_there_is_one_line(
    trained_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["export", "--run", str(trained_run), "--output", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path}: is there already; name another output or delete it\n"


def test_the_step_exports_the_last_run(trained_run: Path, context: Context, capsys: pytest.CaptureFixture[str]) -> None:
    context.last_run = trained_run
    EXPORT.run(ExportStep(), context)
    assert context.last_bundle == context.root / "bundles" / "tiny"
    assert f"bundle: {context.last_bundle}" in capsys.readouterr().out


def test_the_step_takes_a_path_and_a_list_of_folders(trained_run: Path, context: Context) -> None:
    step = ExportStep.model_validate({"source": str(trained_run), "output": ["out", "b"], "name": "n"})
    EXPORT.run(step, context)
    assert context.last_bundle == context.root / "out" / "b"
    assert read_bundle(context.last_bundle).manifest.name == "n"


def test_a_source_that_is_not_there_is_said(context: Context) -> None:
    with pytest.raises(ConfigError, match="no train step ran before"):
        EXPORT.run(ExportStep(source="last_run"), context)


def test_a_best_trial_needs_a_search(context: Context) -> None:
    with pytest.raises(ConfigError, match="export source 'best_trial': no tune step ran before"):
        EXPORT.run(ExportStep(source="best_trial"), context)


@pytest.mark.parametrize("option", [[], ["--refit"]])
def test_results_that_are_none_are_named(option: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", "--tune-results", str(tmp_path / "gone"), *option]) == 2
    assert capsys.readouterr().err == (
        f"error: {tmp_path / 'gone'}: is not the results folder of a search (no such folder)\n"
    )


def test_what_would_stop_the_step_for_certain_is_found_before_the_pipeline_runs(context: Context) -> None:
    (context.root / "out").mkdir()
    with pytest.raises(OutputExists, match="out: is there already"):
        EXPORT.preflight(ExportStep.model_validate({"output": "out"}), context)


@pytest.mark.parametrize(
    "wrong",
    [
        {"formats": ["coreml"]},
        {"formats": []},
        {"formats": ["onnx", "onnx"]},
        {"variants": ["int4"]},
        {"source": ""},
        {"output": []},
        {"name": ""},
        {"nmae": "x"},
        {"source": "runs/a", "target": "mood"},
    ],
)
def test_a_wrong_step_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ExportStep.model_validate(wrong)


def test_a_step_says_what_it_means_by_default() -> None:
    assert ExportStep().model_dump() == {
        "type": "export",
        "source": "last_run",
        "output": None,
        "name": None,
        "target": None,
        "labels": None,
        "refit": False,
        "formats": ["onnx"],
        "variants": [],
        "allow_loss": False,
        "embedding": False,
        "max_risk": None,
    }
