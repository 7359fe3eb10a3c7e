"""``emotions evaluate``: from a pipeline file or a bundle, mistakes in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from emotions.cli import run
from tests.training.conftest import build_step


@pytest.fixture(scope="module")
def data(corpus_folder: Path) -> Path:
    return corpus_folder


@pytest.fixture
def config(data: Path, tmp_path: Path) -> Path:
    """A file with a train step alone."""
    step = build_step(data, tmp_path / "run", learn_params__max_epoch=1).model_dump(mode="json", exclude_unset=True)
    path = tmp_path / "train.json"
    path.write_text(json.dumps({"pipeline": [{"type": "train", **step}]}))
    return path


def test_a_train_step_is_measured(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "report"
    arguments = ["--config-file", str(config), "--protocol", "holdout", "--output", str(output)]
    assert run(["evaluate", *arguments]) == 0
    assert "speaker-disjoint hold-out" in json.loads((output / "report.json").read_text())["protocol"]
    assert str(output / "report.html") in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "say what to evaluate: --config-file FILE"),
        (["--bundle", "b"], "--bundle needs --data"),
        (["--bundle", "b", "--data", "d", "--suite", "speed"], "it is accuracy, robustness or fairness"),
        (["--bundle", "b", "--data", "d"], "is not a bundle"),
    ],
)
def test_mistakes_are_told(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_mistakes_in_a_protocol_are_told(config: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["evaluate", "--config-file", str(config), "--protocol", "bootstrap"]) == 2
    assert "it is holdout, group_kfold, loso or cross_corpus" in capsys.readouterr().err
    assert run(["evaluate", "--config-file", str(config), "--protocol", "group_kfold", "--folds", "7"]) == 2
    assert "7 folds by speaker need as many groups, there are 5: lower folds to 5" in capsys.readouterr().err
    tuning = tmp_path / "other.json"
    tuning.write_text(json.dumps({"pipeline": [{"type": "predict", "inputs": "x", "output": "y.csv"}]}))
    assert run(["evaluate", "--config-file", str(tuning)]) == 2
    assert "has no evaluate or train step" in capsys.readouterr().err


def test_the_exit_code_tells_a_test_that_is_not_passed(tiny_bundle: Path, data: Path, tmp_path: Path) -> None:
    rows = json.loads((data / "annotations.json").read_text())
    for name, row in rows.items():
        row.update(emotion="angry" if "wild" in name else "sad", sex="f" if name < "c" else "m")
        row.pop("state", None)
    table = tmp_path / "table.jsonl"
    lines = [json.dumps({"file": str(data / name), **row}) for name, row in rows.items()]
    table.write_text("\n".join(lines))
    arguments = ["evaluate", "--bundle", str(tiny_bundle), "--data", str(table)]
    assert run([*arguments, "--output", str(tmp_path / "a")]) == 0
    code = run([*arguments, "--suite", "fairness", "--output", str(tmp_path / "b")])
    assert code == (0 if json.loads((tmp_path / "b" / "report.json").read_text())["passed"] else 1)


def test_a_bundle_is_measured_without_torch() -> None:
    script = (
        "import sys, training.evaluation.suites.suites; sys.exit(bool({'torch', 'lightning', 'ray'} & {*sys.modules}))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=120).returncode == 0
