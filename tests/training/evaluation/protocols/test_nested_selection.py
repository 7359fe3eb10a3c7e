"""Nested choice: by inner figures, never by test clips; refused in words; resumed where it stopped."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emotions.errors import ConfigError, DataError
from emotions.files.json_text import read_json, write_json
from emotions.pipeline.runner import Context, load_pipeline
from tests.conftest import BuildOnce, WriteWav
from tests.pages import text_of
from tests.training.conftest import SPEAKERS, build_step, make_corpus
from tests.training.data.helpers import table_of
from training.config.dataset import SplitConfig
from training.config.evaluate import EvaluateStep
from training.evaluation.cross_validate import cross_validate
from training.evaluation.protocols import fold_job
from training.evaluation.protocols.folds import make_folds
from training.evaluation.protocols.nested_selection import Selection, inner_splits

HOPELESS = {"learn_params": {"max_epoch": 1, "lr": {"base_lr": 1e-9}}}
HOPEFUL = {"learn_params": {"max_epoch": 6}}
SMALL = {"members": 1, "layer_1_size": 8, "input_dropout": 0.0, "dropout": 0.0}
INNER = 2


@pytest.fixture(scope="module")
def data(corpus_folder: Path) -> Path:
    return corpus_folder


def step_of(data: Path, output: Path, **changes: Any) -> EvaluateStep:
    train = build_step(data, output, model="FunctionalsClassifier", model_architecture=SMALL)
    known = train.model_dump(exclude_unset=True, exclude={"type", "saving_data_params"})
    choice = {"candidates": [HOPELESS, HOPEFUL], "folds": INNER}
    kept = {"protocol": "loso", "jobs": 1, "output": [str(output)], "choose": choice}
    return EvaluateStep.model_validate({**known, **kept, **changes})


def measured(step: EvaluateStep, root: Path) -> dict[str, Any]:
    output = cross_validate(step, Context(root, seed=0, workers=0, config={}, quiet=True))
    report: dict[str, Any] = json.loads((output / "report.json").read_text())
    return report


@pytest.fixture(scope="module")
def report_of(data: Path, build_once: BuildOnce) -> Callable[[str], dict[str, Any]]:
    """``report_of(protocol)``: what an unbroken evaluation reports."""

    def find(protocol: str) -> dict[str, Any]:
        def build(folder: Path) -> Path:
            step = step_of(data, folder / "out", protocol=protocol)
            write_json(folder / "whole.json", measured(step, folder))
            return folder / "whole.json"

        whole: dict[str, Any] = read_json(build_once(f"nested_selection-{protocol}", build))
        return whole

    return find


@pytest.mark.parametrize(
    ("protocol", "folds"), [("holdout", 1), pytest.param("loso", len(SPEAKERS), marks=pytest.mark.slow)]
)
def test_inner_figures_decide(report_of: Callable[[str], dict[str, Any]], protocol: str, folds: int) -> None:
    report = report_of(protocol)
    chosen = [fold["chosen"] for fold in report["folds"]]
    assert len(chosen) == folds
    assert [each["candidate"] for each in chosen] == [1 + int(np.argmax(each["inner_uar"])) for each in chosen]
    assert {each["candidate"] for each in chosen} == {2}
    for each in chosen:
        assert each["inner_uar"] == pytest.approx([np.mean(row) for row in each["inner_uar_by_fold"]])
    assert report["choose"]["candidates"] == [HOPELESS, HOPEFUL]
    assert report["choose"]["target"] == "emotion"
    assert report["protocol"].endswith("; model chosen among 2 inside each fold")


@pytest.mark.slow
def test_labels_of_a_test_speaker_do_not_change_the_choice_of_his_fold(
    report_of: Callable[[str], dict[str, Any]], tmp_path: Path, write_wav: WriteWav
) -> None:
    report = report_of("loso")
    changed = make_corpus(tmp_path / "data", write_wav)
    rows = json.loads((changed / "annotations.json").read_text())
    swapped = {"calm": "wild", "wild": "calm"}
    for row in rows.values():
        if row["speaker"] == "cora":
            row["emotion"] = swapped[row["emotion"]]
    (changed / "annotations.json").write_text(json.dumps(rows))
    other = measured(step_of(changed, tmp_path / "out"), tmp_path)
    place = SPEAKERS.index("cora")
    same = [a["chosen"] == b["chosen"] for a, b in zip(report["folds"], other["folds"], strict=True)]
    assert same[place]
    assert not all(same)  # the others train on her
    assert report["targets"]["emotion"]["uar"] != other["targets"]["emotion"]["uar"]


def test_an_interrupted_choice_goes_on(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = fold_job.run_fold
    trained: list[fold_job.Task] = []

    def counted(limit: int) -> Callable[[Any, Any], None]:
        def job(shared: Any, task: Any) -> None:
            if len(trained) == limit:
                raise KeyboardInterrupt
            trained.append(task)
            run(shared, task)

        return job

    step = step_of(data, tmp_path / "out", protocol="holdout", seeds=[0, 1])
    # Two candidates on each inner fold, then the fold with two seeds.
    inner, whole = 2 * INNER, 2 * INNER + 2
    for limit in (1, inner + 1):
        monkeypatch.setattr("training.evaluation.protocols.process_pool.run_fold", counted(limit))
        with pytest.raises(KeyboardInterrupt):
            measured(step, tmp_path)
        assert len(trained) == limit
    monkeypatch.setattr("training.evaluation.protocols.process_pool.run_fold", counted(whole + 1))
    report = measured(step, tmp_path)
    assert len(trained) == len({task.key for task in trained}) == whole
    assert {task.seed for task in trained[:inner]} == {0}
    assert [len(fold["best_epochs"]) for fold in report["folds"]] == [2]
    printed, page = capsys.readouterr().out, text_of((tmp_path / "out" / "report.html").read_text())
    for told in (printed, page):
        assert "inner UAR of 2" in told
        assert "candidate 2, chosen by 1: learn_params.max_epoch 6" in told.replace("Candidate", "candidate")
        assert not [name for name in SPEAKERS if name in told]


def test_inner_folds_hold_no_test_clip_and_share_no_speaker() -> None:
    table = table_of([(f"s{s}", label) for s in range(7) for label in ("angry", "sad") for _ in range(2)])
    outer = make_folds(table, "loso", 5, SplitConfig(), [0]).splits
    inner = inner_splits(table, outer, SplitConfig(), 3, 0)
    assert [*map(len, inner)] == [3] * 7
    for own, split in zip(inner, outer, strict=True):
        known = sorted((*split.train, *split.val))
        assert sorted(clip for each in own for clip in each.test) == known
        for each in own:
            assert sorted((*each.train, *each.val, *each.test)) == known
            parts = [{table.clips[clip].speaker for clip in part} for part in (each.train, each.val, each.test)]
            assert sum(map(len, parts)) == 6


def test_of_equals_the_first_is_chosen_and_unlabelled_folds_do_not_count() -> None:
    figures = np.array([[[0.5, 0.5], [0.5, 0.5], [0.4, 0.4]], [[0.5, np.nan], [0.6, np.nan], [0.6, np.nan]]])
    assert Selection(figures, [], 0.0).candidates == [0, 1]


def test_fewer_training_speakers_than_inner_folds_are_refused(data: Path, tmp_path: Path) -> None:
    choice = {"candidates": [HOPELESS, HOPEFUL], "folds": 5}
    said = r"choose: among the training clips of fold 1: 5 folds by speaker need as many groups, there are 4: lower"
    with pytest.raises(DataError, match=said):
        measured(step_of(data, tmp_path / "out", choose=choice), tmp_path)
    assert not (tmp_path / "out").exists()


def faults(tmp_path: Path, **choice: Any) -> dict[str, str]:
    step = {"type": "evaluate", "model": "FunctionalsClassifier", "choose": choice}
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"pipeline": [step]}))
    with pytest.raises(ConfigError) as caught:
        load_pipeline(path)
    return {fault.where.removeprefix("pipeline[0].choose."): fault.remedy for fault in caught.value.faults}


@pytest.mark.parametrize("candidates", [[], [{}]])
def test_no_choice_is_refused(tmp_path: Path, candidates: list[Any]) -> None:
    said = f"needs at least 2 candidates to choose from, there are {len(candidates)}"
    assert faults(tmp_path, candidates=candidates) == {"candidates": said}


@pytest.mark.parametrize(
    ("candidate", "where", "said"),
    [
        ({"model_architecture": {"layer_1_siz": 3}}, ".model_architecture.layer_1_siz", "did you mean 'layer_1_size'?"),
        ({"learn_params": {"lr": {"base": 1}}}, ".learn_params.lr.base", "did you mean 'base_lr'?"),
        ({"model_architecture": {"members": 0}}, ".model_architecture.members", "must be greater than"),
        ({"dataset": {}}, ".dataset", "allowed: model_architecture, learn_params"),
        ({"learn_params": {"lr": 1}}, ".learn_params.lr", "must be an object"),
        (
            {"learn_params": {"augmentation": {"features": {"masks": 1}}}},
            ".learn_params.augmentation.features.probability",
            "must be 0 or left out",
        ),
        ({"model_architecture": {"members": 8}}, "", "must differ from candidates[0]"),
    ],
)
def test_a_candidate_that_is_none_is_refused(tmp_path: Path, candidate: Any, where: str, said: str) -> None:
    found = faults(tmp_path, candidates=[{}, candidate])
    assert [*found] == [f"candidates[1]{where}"]
    assert said in found[f"candidates[1]{where}"]


def test_inner_folds_are_two_at_least(tmp_path: Path) -> None:
    assert "greater than or equal to 2" in faults(tmp_path, candidates=[{}, HOPEFUL], folds=1)["folds"]
