"""A trial: recorded after every epoch, resumed from its last checkpoint, and never the end of the search."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.tuning.conftest import MakeTune
from training.cluster.storage import StorageLost
from training.run_folder.read import read_checkpoint
from training.tuning.records import Results
from training.tuning.trial import Shared, prepared, run_trial, trial_job

VALUES = {"learn_params.lr.base_lr": 3e-3, "learn_params.batch_size": 4}


class Told:
    """What a trial reported; ends it after ``most`` epochs."""

    def __init__(self, most: int = 100) -> None:
        self.metrics: list[dict[str, Any]] = []
        self._most = most

    def __call__(self, metrics: dict[str, Any]) -> None:
        self.metrics.append(metrics)
        if len(self.metrics) >= self._most:
            raise SystemExit(0)


def weights(shared: Shared, number: int) -> dict[str, Any]:
    folder = Results(shared.folder).trial_folder(number)
    state: dict[str, Any] = read_checkpoint(folder / "last.ckpt")["state_dict"]
    return state


def test_a_trial_is_recorded_and_reported(shared: Shared) -> None:
    told = Told()
    record = run_trial(shared, 0, VALUES, told)
    assert Results(shared.folder).read_trial(0) == record
    assert (record.state, record.epochs, record.reason) == ("done", 2, None)
    assert [each["epoch"] for each in told.metrics] == [1, 2]
    assert [each["val/emotion_uar"] for each in told.metrics] == record.history["val/emotion_uar"]
    assert record.parameters > 10_000
    assert record.seconds > 0
    assert record.checkpoint is not None
    assert (Results(shared.folder).trial_folder(0) / record.checkpoint).is_file()
    assert {"train/loss", "val/loss", "val/state_wa"} <= {*record.history}


def test_the_test_speakers_are_never_seen(shared: Shared) -> None:
    assert trial_job(shared, 0, VALUES).corpus.test is None
    assert trial_job(shared, 0, VALUES, test=True).corpus.test is not None


def test_trials_share_what_is_read_but_not_what_they_train(shared: Shared) -> None:
    first, second = trial_job(shared, 0, VALUES), trial_job(shared, 1, {**VALUES, "learn_params.batch_size": 8})
    assert first.corpus.train is second.corpus.train
    assert first.folder != second.folder
    assert (first.step.learn_params.batch_size, second.step.learn_params.batch_size) == (4, 8)
    assert first.step.learn_params.max_epoch == shared.search.max_epochs


def test_what_the_search_has_audited_is_not_audited_again_by_each_process(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    audited = trial_job(shared, 0, VALUES).corpus.leaks
    assert audited is not None
    assert "audio" in audited.checked
    told = replace(shared, leaks=replace(audited, certainty=0.25), context=replace(shared.context, seed=1))
    monkeypatch.setattr("training.corpus.audit", lambda *_: pytest.fail("the process audits again"))
    assert trial_job(told, 0, VALUES).corpus.leaks == told.leaks


def test_another_frontend_reads_features_of_its_own(make_tune: MakeTune, shared: Shared) -> None:
    step = make_tune(learn_params__spectrogram_size={"choice": [32, 48]})
    searched = replace(shared, step=step)
    small, large = (trial_job(searched, 0, {**VALUES, "learn_params.spectrogram_size": size}) for size in (32, 48))
    assert (small.corpus.spec.spectrogram_size, large.corpus.spec.spectrogram_size) == (32, 48)
    assert [job.corpus.train[0][0].shape[-2] for job in (small, large)] == [32, 48]
    assert prepared(large.step, shared.context) is prepared(large.step, shared.context)


def test_a_trial_that_was_stopped_goes_on_as_if_it_had_not_been(shared: Shared) -> None:
    whole = run_trial(shared, 0, VALUES, Told())
    with pytest.raises(SystemExit):
        run_trial(shared, 1, VALUES, Told(most=1))
    half = Results(shared.folder).read_trial(1)
    assert half is not None
    assert (half.state, half.epochs) == ("running", 1)
    told = Told()
    rest = run_trial(shared, 1, VALUES, told)
    assert [each["epoch"] for each in told.metrics] == [2]
    assert rest.history == whole.history
    assert all(torch.equal(value, weights(shared, 1)[name]) for name, value in weights(shared, 0).items())


def test_a_trial_killed_after_its_last_epoch_trains_no_more(shared: Shared) -> None:
    done = run_trial(shared, 0, VALUES, Told())
    results = Results(shared.folder)
    results.write_trial(done.model_copy(update={"state": "running", "history": {}}))
    told = Told()
    again = run_trial(shared, 0, VALUES, told)
    assert (again.state, again.history, told.metrics) == ("done", done.history, [])


def test_a_broken_checkpoint_begins_the_trial_again(shared: Shared) -> None:
    with pytest.raises(SystemExit):
        run_trial(shared, 0, VALUES, Told(most=1))
    (Results(shared.folder).trial_folder(0) / "last.ckpt").write_bytes(b"half")
    told = Told()
    assert run_trial(shared, 0, VALUES, told).state == "done"
    assert [each["epoch"] for each in told.metrics] == [1, 2]


def test_a_trial_that_diverges_is_on_record_with_its_reason(shared: Shared) -> None:
    record = run_trial(shared, 0, {**VALUES, "learn_params.lr.base_lr": 1e30}, Told())
    assert record.state == "failed"
    assert "training diverged: the loss is" in str(record.reason)
    told = Told()
    assert run_trial(shared, 0, VALUES, told) == record
    assert told.metrics == []


@pytest.mark.parametrize(("error", "reason"), [(MemoryError(), "out of memory"), (KeyError("x"), "KeyError: 'x'")])
def test_whatever_else_goes_wrong_is_on_record(
    shared: Shared, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    def broken(_: Any) -> None:
        raise error

    monkeypatch.setattr("training.tuning.trial.seeded_model", broken)
    record = run_trial(shared, 0, VALUES, Told())
    assert (record.state, record.reason) == ("failed", reason)


def test_logs_go_beside_the_trial_or_below_the_folder_named(
    make_tune: MakeTune, shared: Shared, tmp_path: Path
) -> None:
    saving = {
        **make_tune().saving_data_params.model_dump(),
        "tensorboard_lr_monitors_logs_path": [str(tmp_path), "logs"],
    }
    named = replace(shared, step=make_tune(saving_data_params=saving))
    assert trial_job(shared, 3, VALUES).step.saving_data_params.tensorboard_lr_monitors_logs_path is None
    logs = trial_job(named, 3, VALUES).step.saving_data_params.tensorboard_lr_monitors_logs_path
    assert logs == [str(tmp_path), "logs", shared.folder.name, "0003"]


def test_a_trial_goes_on_from_the_storage_in_another_place(shared: Shared, tmp_path: Path) -> None:
    tune = shared.step.tune.model_copy(update={"storage_path": (tmp_path / "store").as_uri()})
    stored = replace(shared, step=shared.step.model_copy(update={"tune": tune}))
    first, second = (replace(stored, folder=tmp_path / node / "first") for node in ("one", "two"))
    with pytest.raises(SystemExit):
        run_trial(first, 0, VALUES, Told(most=1))
    assert not Results(first.folder).trial_folder(0).exists()
    told = Told()
    rest = run_trial(second, 0, VALUES, told)
    assert [each["epoch"] for each in told.metrics] == [2]
    whole = run_trial(shared, 1, VALUES, Told())
    assert (rest.history, rest.state) == (whole.history, "done")
    here = stored.results()
    here.fetch()
    assert here.read_trial(0) == rest
    assert all(torch.equal(value, weights(shared, 0)[name]) for name, value in weights(shared, 1).items())
    best = {
        state["best_model_path"]
        for state in read_checkpoint(here.trial_folder(0) / "last.ckpt")["callbacks"].values()
        if "best_model_path" in state
    }
    assert str(Results(second.folder).trial_folder(0) / str(rest.checkpoint)) in best


def test_a_storage_that_goes_ends_the_process_and_not_the_trial(
    shared: Shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tune = shared.step.tune.model_copy(update={"storage_path": (tmp_path / "store").as_uri()})
    stored = replace(shared, step=shared.step.model_copy(update={"tune": tune}))

    def gone(*_: Any, **__: Any) -> None:
        raise StorageLost("gone")

    monkeypatch.setattr("training.cluster.storage.Storage.upload", gone)
    with pytest.raises(StorageLost):
        run_trial(stored, 0, VALUES, Told())
    assert stored.results().read_trial(0) is None
