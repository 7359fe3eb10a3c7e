"""A search on Ray: what stops it before the first epoch, what it leaves behind, and where it goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from emotions.errors import CheckpointError, ConfigError, DataError, OutputExists
from emotions.pipeline.runner import Context
from tests.training.tuning.conftest import MakeTune, without_ray
from training.run_folder.read import load_run
from training.tuning.records import Results
from training.tuning.refit import refit
from training.tuning.search import search
from training.tuning.spaces import draw


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may get as far as starting trials."""

    def started(*_: object) -> None:
        raise AssertionError("trials were started")

    monkeypatch.setattr("training.tuning.search.drive", started)


@pytest.mark.usefixtures("no_ray")
def test_a_metric_that_is_never_logged_is_refused_with_those_that_are(make_tune: MakeTune, context: Context) -> None:
    step = make_tune(tune={"num_samples": 1, "target_metric_name": "val/mood_uar"})
    with pytest.raises(ConfigError, match=r"found val/mood_uar, .* those that are: val/loss, val/emotion_uar, "):
        search(step, context)


@pytest.mark.usefixtures("no_ray")
def test_a_storage_that_cannot_be_used_is_named(make_tune: MakeTune, context: Context) -> None:
    step = make_tune(tune={"num_samples": 1, "storage_path": "nosuch://bucket/x"})
    with pytest.raises(ConfigError, match=r"tune\.storage_path: found 'nosuch://bucket/x', which cannot be used"):
        search(step, context)


@pytest.mark.usefixtures("no_ray")
def test_a_cluster_that_does_not_answer_is_named(make_tune: MakeTune, context: Context) -> None:
    step = make_tune(tune={"num_samples": 1, "ray_address": "127.0.0.1:9"})
    with pytest.raises(ConfigError, match=r"tune\.ray_address: no Ray cluster answers at '127\.0\.0\.1:9'"):
        search(step, context)


@pytest.mark.usefixtures("no_ray")
def test_a_tracker_that_is_not_installed_is_named(
    make_tune: MakeTune, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.run_folder.trackers.find_spec", lambda _: None)
    saving = {**make_tune().model_dump(exclude_unset=True)["saving_data_params"], "loggers": ["wandb"]}
    with pytest.raises(ConfigError, match=r"^saving_data_params\.loggers: wandb is not installed"):
        search(make_tune(saving_data_params=saving), context)


@pytest.mark.usefixtures("no_ray")
def test_data_that_are_not_there_are_named(make_tune: MakeTune, context: Context, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        search(make_tune(dataset={"path": str(tmp_path / "nowhere")}), context)


@pytest.mark.usefixtures("no_ray")
def test_a_folder_with_something_else_is_left_alone(make_tune: MakeTune, context: Context, tmp_path: Path) -> None:
    folder = tmp_path / "tune" / "first"
    folder.mkdir(parents=True)
    (folder / "thesis.txt").write_text("mine")
    with pytest.raises(OutputExists, match="is not empty, and holds no search"):
        search(make_tune(), context)
    assert (folder / "thesis.txt").read_text() == "mine"


def test_more_gpus_than_there_are_are_refused(make_tune: MakeTune, context: Context) -> None:
    step = make_tune(tune={"num_samples": 1, "gpus_per_trial": 2})
    with pytest.raises(ConfigError, match=r"found 2, 1, which need 2 GPUs; the cluster has 0"):
        search(step, context)


@pytest.mark.slow
def test_a_search_from_its_first_trial_to_a_model(make_tune: MakeTune, context: Context, tmp_path: Path) -> None:
    step = make_tune()
    folder = search(step, context)
    results = Results(folder)
    record, trials = results.read_search(), results.trials()
    assert (folder, record.state) == (tmp_path / "tune" / "first", "finished")
    assert [trial.values for trial in trials] == [draw(step, 0, number) for number in range(3)]
    assert {trial.state for trial in trials} == {"done"}
    best = results.best_run()
    run = load_run(best)
    assert [path.parent.name for path in folder.glob("trials/*/last.ckpt")] == [best.name]
    assert {*run.metrics} == {"validation", "test"}
    assert run.search is not None
    assert (run.search["trials"], run.search["metric"], run.search["seed"]) == (3, "val/emotion_uar", 0)
    assert run.search["values"] == trials[int(best.name)].values
    with pytest.raises(OutputExists, match="holds this search, finished"):
        search(step, context)
    with pytest.raises(OutputExists, match=r"another search: learn_params\.padding_sec was 0\.5, now 0\.6; name"):
        search(make_tune(learn_params__padding_sec=0.6), context)
    with pytest.raises(OutputExists, match=r"another search: seed was 0, now 1; name another"):
        search(step, replace(context, seed=1))

    again = load_run(refit(folder, context))
    index = json.loads((folder / "refit" / "run.json").read_text())
    assert again.metrics["validation"] == run.metrics["validation"]
    assert again.search is not None
    assert again.search["refit"] is True
    epochs, clips = 2, 5 * 4 - 4  # all but one test speaker's, and one of them has three windows
    windows = clips + 2 * (index["dataset"]["split"]["test"]["clips"] == 4)
    assert again.trained.steps == epochs * -(-windows // trials[int(best.name)].values["learn_params.batch_size"])


def test_a_finished_search_goes_on_with_more_trials(
    make_tune: MakeTune, context: Context, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without_ray(monkeypatch)
    folder = search(make_tune(tune={"num_samples": 1}), context)
    before = Results(folder).trials()
    with pytest.raises(OutputExists, match=r"finished with 1 trials; raise tune\.num_samples above 1 to go on with it"):
        search(make_tune(tune={"num_samples": 1}), context)
    more = make_tune(tune={"num_samples": 3})
    assert search(more, context) == folder
    record, trials = Results(folder).read_search(), Results(folder).trials()
    assert (record.num_samples, record.state) == (3, "finished")
    assert trials[0] == before[0].model_copy(update={"checkpoint": trials[0].checkpoint})
    assert [trial.values for trial in trials] == [draw(more, 0, number) for number in range(3)]
    with pytest.raises(OutputExists, match=r"finished with 3 trials"):
        search(make_tune(tune={"num_samples": 2}), context)


def test_a_search_without_a_good_trial_says_why(
    make_tune: MakeTune, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_ray(monkeypatch)
    step = make_tune(learn_params__lr={"base_lr": {"uniform": [1e29, 1e30]}}, tune={"num_samples": 1})
    with pytest.raises(ConfigError, match=r"no trial of the search ended well; the first said: training diverged"):
        search(step, context)
    folder = Path(str(context.root)) / "tune" / "first"
    assert [trial.state for trial in Results(folder).trials()] == ["failed"]
    with pytest.raises(CheckpointError, match="no trial of this search can be used yet"):
        refit(folder, context)


def test_trials_learn_from_the_teacher_of_the_search(
    make_tune: MakeTune, context: Context, teacher_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_ray(monkeypatch)
    teacher = {"bundle": str(teacher_bundle), "temperature": 3.0}
    folder = search(make_tune(teacher=teacher, tune__num_samples=1, tune__max_tune_epochs=1), context)
    best = Results(folder).best_run()
    told = json.loads((best / "run.json").read_text())["teacher"]
    assert told["bundle"].startswith("tiny-teacher@")
    assert told["temperature"] == 3.0
    with pytest.raises(OutputExists, match=r"holds another search: teacher.temperature was 3.0, now 2.0"):
        search(make_tune(teacher=str(teacher_bundle), tune__num_samples=1, tune__max_tune_epochs=1), context)
