"""Results folders: ranked, locked, and refused where they are foreign, damaged or half-written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from emotions.errors import CheckpointError, OutputExists
from tests.training.tuning.conftest import make_search
from training.tuning.experiment import remove_beaten
from training.tuning.records import Results, TrialRecord, flattened


def make_trial(number: int, scores: list[float | None], **changes: Any) -> TrialRecord:
    rate = {"learn_params.lr.base_lr": 0.01, "learn_params.batch_size": 4}
    fields: dict[str, Any] = {"number": number, "values": rate, "state": "done", "history": {"val/emotion_uar": scores}}
    return TrialRecord.model_validate({**fields, **changes})


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """Three trials that ended well, the second the best; one that failed; one that runs."""
    found = Results(tmp_path / "search")
    found.write_search(make_search())
    trials = [
        make_trial(0, [0.2, 0.5, 0.4]),
        make_trial(1, [None, 0.7], state="stopped"),
        make_trial(2, [0.1]),
        make_trial(3, [0.9], state="failed", reason="training diverged"),
        make_trial(4, [], state="running"),
    ]
    for trial in trials:
        trial.checkpoint = "best.ckpt" if trial.state != "running" else None
        found.write_trial(trial)
        (found.trial_folder(trial.number) / "best.ckpt").touch()
    return found


def test_trials_are_ranked_by_their_best_epoch_failures_last(results: Results) -> None:
    search = results.read_search()
    assert [trial.number for trial in results.ranked(search)] == [1, 0, 2, 3, 4]
    assert results.ranked(search)[1].best(search) == (1, 0.5)
    worst = make_search(mode="min")
    assert [trial.number for trial in results.ranked(worst)] == [2, 0, 1, 3, 4]


def test_checkpoints_of_beaten_trials_go(results: Results) -> None:
    remove_beaten(results, results.read_search())
    kept = [path.parent.name for path in sorted(results.folder.glob("trials/*/best.ckpt"))]
    assert kept == ["0001", "0004"]
    assert [trial.number for trial in results.trials() if trial.checkpoint] == [1]


@pytest.mark.parametrize(("threshold", "kept"), [(0.5, [0, 1]), (0.05, [0, 1, 2]), (0.99, [1])])
def test_checkpoints_that_reach_the_threshold_stay(results: Results, threshold: float, kept: list[int]) -> None:
    remove_beaten(results, make_search(threshold=threshold))
    assert [trial.number for trial in results.trials() if trial.checkpoint] == kept


def test_the_best_run_is_one_that_was_concluded(results: Results) -> None:
    with pytest.raises(CheckpointError, match="no trial of this search can be used yet; start the search again"):
        results.best_run()
    for number in (0, 3):
        (results.trial_folder(number) / "run.json").write_text("{}")
    assert results.best_run() == results.trial_folder(0)


def test_a_trial_that_is_half_written_has_not_begun(results: Results) -> None:
    (results.trial_folder(7)).mkdir()
    (results.trial_folder(7) / ".0123456789abcdef.json").write_text("{")
    assert [trial.number for trial in results.trials()] == [0, 1, 2, 3, 4]
    assert results.read_trial(7) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not the results folder of a search"),
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ('{"format": 2}', "is damaged"),
        ('{"format": 1, "pickle": "gASVAAAA"}', "is damaged"),
    ],
)
def test_what_is_no_results_folder_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    (tmp_path / "other").write_text("foreign")
    if content is not None:
        (tmp_path / "search.json").write_text(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        Results(tmp_path).read_search()
    assert "\n" not in str(caught.value)


def test_a_missing_folder_and_a_damaged_trial_are_named(results: Results, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such folder"):
        Results(tmp_path / "gone").read_search()
    (results.trial_folder(2) / "trial.json").write_text('{"number": -1}')
    with pytest.raises(CheckpointError, match=r"0002/trial\.json: is damaged"):
        results.trials()


def test_two_searches_do_not_share_a_folder(results: Results) -> None:
    with results.locked(), pytest.raises(OutputExists, match="another search is running in it"), results.locked():
        pass
    with results.locked():
        pass


def test_names_are_as_short_as_they_can_be() -> None:
    assert flattened({"a.b": 1, "c.d": 2}) == {"b": 1, "d": 2}
    assert flattened({"a.b": 1, "c.b": 2}) == {"a.b": 1, "c.b": 2}
