"""Fit: it learns, it writes a complete run folder, it resumes, and it stops with words."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.tensorboard.writer import FileWriter

from emotions.cli import run
from emotions.errors import CheckpointError, ConfigError, DataError, OutputExists
from emotions.files.json_text import write_json
from emotions.pipeline.interruption import Interrupted, Stopped, stoppable
from emotions.pipeline.runner import Context
from tests.fake_codecarbon import WATTS, Tracker
from tests.pages import text_of
from tests.training.conftest import SPEAKERS, MakeStep, build_step
from training.config.train import train_faults
from training.data.waveforms.dataset import NO_LABEL
from training.loop.fit import fit
from training.loop.job import Job, train
from training.loop.module import ClassifierModule
from training.metrics.held_out import read_held_out
from training.models.base import Classifier
from training.run_folder.read import load_run


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_it_learns_what_can_be_learnt(tiny_run: Path) -> None:
    metrics = read(tiny_run / "metrics.json")
    assert metrics["history"]["train/loss"][-1] < 0.6 * metrics["history"]["train/loss"][0]
    assert metrics["test"]["emotion"]["uar"] == 1
    assert metrics["validation"]["emotion"]["uar"] == max(metrics["history"]["val/emotion_uar"])
    assert len(metrics["history"]["val/loss"]) == 8


def test_the_run_folder_is_complete(tiny_run: Path) -> None:
    files = {path.name for path in tiny_run.iterdir()}
    index = read(tiny_run / "run.json")
    wanted = {
        "training.json",
        "config.json",
        "model.json",
        "run.json",
        "split.json",
        "metrics.json",
        "last.ckpt",
        "logs",
    }
    assert files == wanted | {"confusion_matrix.png", "curves.png", "report.html", index["checkpoints"]["best"]}
    assert index["checkpoints"]["best"] == f"c_epoch={index['best_epoch']:02d}.ckpt"
    assert index["protocol"] == "speaker-disjoint hold-out (3 train / 1 validation / 1 test speakers)"
    assert index["dataset"]["clips"] == 20
    assert index["dataset"]["split"]["train"]["labels"]["emotion"] == {"calm": 6, "wild": 6}
    assert [*(tiny_run / "logs").glob("events.out.tfevents.*")]


def test_each_target_has_a_temperature_and_what_it_is_worth(tiny_run: Path) -> None:
    calibration = load_run(tiny_run).calibration
    assert set(calibration) == {"emotion", "state"}
    for found, clips in ((calibration["emotion"], 4), (calibration["state"], 2)):
        assert 0.1 < found["temperature"] < 10
        assert found["measured_on"] == "test"
        assert found["lowered_ece"] == (found["ece_after"] < found["ece_before"])
        held_out = read_held_out(found["held_out"], "run")
        assert held_out is not None
        assert (len(held_out), held_out.count, held_out.unit, held_out.part) == (clips, 1, "speaker", "test clips")


def test_the_page_lists_the_clips_of_the_test_part_that_are_labelled_wrong(
    tiny_run: Path, corpus_folder: Path, tmp_path: Path, context: Context
) -> None:
    data = shutil.copytree(corpus_folder, tmp_path / "data")
    rows = read(data / "annotations.json")
    held_out = [json.loads(identity)[0] for identity in read(tiny_run / "split.json")["test"]]
    wrong = sorted(name for name in held_out if name.endswith("_0.wav"))
    swapped = {
        name: rows[name] | {"emotion": rows[other]["emotion"]} for name, other in zip(wrong, wrong[::-1], strict=True)
    }
    write_json(data / "annotations.json", rows | swapped)
    run = fit(build_step(data, tmp_path / "run", learn_params__max_epoch=8), context)
    assert read(run / "split.json")["test"] == read(tiny_run / "split.json")["test"]
    page = text_of((run / "report.html").read_text(encoding="utf-8"))
    listed = page.partition("emotion: wrong, and most sure")[2].partition("state: wrong")[0]
    places = [f"clip {sorted(rows).index(name) + 1}" for name in wrong]
    assert sorted(re.findall(r"clip \d+", listed)) == sorted(places)


def test_a_leak_stops_a_training_unless_it_is_allowed(corpus_folder: Path, tmp_path: Path, context: Context) -> None:
    data = shutil.copytree(corpus_folder, tmp_path / "data")
    for speaker in SPEAKERS[1:]:
        (data / speaker / "calm_0.wav").write_bytes((data / "anna" / "calm_0.wav").read_bytes())
    with pytest.raises(DataError, match=r"audio: anna/calm_0.wav .* the same samples"):
        fit(build_step(data, tmp_path / "run"), context)
    assert not (tmp_path / "run").exists()
    run = fit(build_step(data, tmp_path / "run", dataset__split={"allow_leaks": ["audio"]}), context)
    leaks = read(run / "run.json")["dataset"]["split"]["leaks"]
    assert leaks["allowed"] == ["audio"]
    assert leaks["found"]["audio"] > 0
    assert leaks["found"]["speaker"] == 0


def test_the_facts_about_the_data_name_nobody(tiny_run: Path) -> None:
    index = read(tiny_run / "run.json")
    told = json.dumps([index["dataset"], index["metrics"], index["protocol"]])
    assert not [name for name in SPEAKERS if name in told]
    assert ".wav" not in told


def test_the_last_epoch_is_kept_where_it_is_asked_for(tiny_run: Path, make_step: MakeStep, context: Context) -> None:
    best = read(tiny_run / "run.json")["best_epoch"]
    history = read(tiny_run / "metrics.json")["history"]["val/emotion_uar"]
    assert history[best - 1] == max(history)
    assert best < 8  # it reaches its best before the end: the two choices differ
    run = fit(make_step(learn_params__max_epoch=8, learn_params__keep="last"), context)
    index = read(run / "run.json")
    assert (index["best_epoch"], index["checkpoints"]["best"]) == (8, "c_epoch=08.ckpt")
    assert load_run(run).trained.steps == 8 * load_run(tiny_run).trained.steps // best


def test_a_run_is_read_back(tiny_run: Path) -> None:
    run = load_run(tiny_run)
    metrics = read(tiny_run / "metrics.json")
    assert run.metrics == {part: metrics[part] for part in ("validation", "test")}
    assert run.trained.spec.targets == {"emotion": ["calm", "wild"], "state": ["negative", "neutral"]}
    assert run.trained.steps == read(tiny_run / "run.json")["steps"] > 0
    assert not run.trained.model.training
    assert sorted([*run.split.train, *run.split.val, *run.split.test]) == [*range(20)]
    speakers = [{run.table.clips[clip].speaker for clip in part} for part in (run.split.train, run.split.test)]
    assert not speakers[0] & speakers[1]


def test_a_run_whose_data_changed_says_so(tiny_run: Path, tmp_path: Path) -> None:
    index = read(tiny_run / "run.json")
    shutil.copytree(index["dataset_config"]["path"], tmp_path / "data")
    (tmp_path / "data" / "anna" / "calm_0.wav").write_bytes((tmp_path / "data" / "anna" / "wild_0.wav").read_bytes())
    index["dataset_config"]["path"] = str(tmp_path / "data")
    shutil.copytree(tiny_run, tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text(json.dumps(index))
    with pytest.raises(DataError, match=r"is not the dataset that .* was trained on any more"):
        _ = load_run(tmp_path / "run").table


def test_a_run_whose_data_has_clips_that_cannot_be_used_is_read_back(
    tiny_run: Path, make_step: MakeStep, context: Context, tmp_path: Path
) -> None:
    shutil.copytree(read(tiny_run / "run.json")["dataset_config"]["path"], tmp_path / "messy")
    (tmp_path / "messy" / "anna" / "calm_0.wav").write_bytes(b"RIFF")
    step = make_step(learn_params__max_epoch=1, dataset__path=str(tmp_path / "messy"))
    run = load_run(fit(step, context))
    assert len(run.table) == len(run.split.train) + len(run.split.val) + len(run.split.test) == 19


def test_the_summary_is_printed(make_step: MakeStep, context: Context, capsys: pytest.CaptureFixture[str]) -> None:
    folder = fit(make_step(learn_params__max_epoch=1), context)
    printed = capsys.readouterr().out
    assert "UAR" in printed
    assert "test" in printed
    assert "protocol: speaker-disjoint hold-out" in printed
    assert f"run folder: {folder}" in printed


def weights(path: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return state


def test_a_resumed_run_equals_an_unbroken_one(
    make_step: MakeStep, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"learn_params__max_epoch": 4, "learn_params__batch_size": 5}
    whole = fit(make_step("whole", **changes), context)

    start = ClassifierModule.on_train_batch_start

    def interrupted(module: ClassifierModule, *batch: Any) -> None:
        if module.current_epoch == 2:
            raise KeyboardInterrupt
        start(module, *batch)

    with monkeypatch.context() as patch:
        patch.setattr(ClassifierModule, "on_train_batch_start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fit(make_step("broken", **changes), context)
    last = whole.parent / "broken" / "last.ckpt"
    path = {"saving_data_params__start_from_saved_checkpoint_path": [str(last)]}
    resumed = fit(make_step("resumed", **changes, **path), context)

    expected, found = weights(whole / "last.ckpt"), weights(resumed / "last.ckpt")
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert read(whole / "metrics.json")["history"] == read(resumed / "metrics.json")["history"]


def test_a_signal_while_logs_are_closed_is_a_stop(
    make_step: MakeStep, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning closes its loggers again then, and what is closed cannot be."""
    close = FileWriter.close

    def signalled(writer: FileWriter) -> None:
        close(writer)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)

    monkeypatch.setattr(FileWriter, "close", signalled)
    with pytest.raises(Stopped, match="epoch") as stopped, stoppable():
        fit(make_step("signalled", learn_params__max_epoch=1), context)
    assert stopped.value.code == 128 + signal.SIGTERM


def test_a_signal_after_the_end_tells_of_a_finished_run(
    make_step: MakeStep, context: Context, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def signalled(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("training.loop.fit.print_summary", signalled)
    with pytest.raises(Interrupted) as interrupted:
        fit(make_step("late", learn_params__max_epoch=1), context)
    run = tmp_path / "late"
    assert interrupted.value.kept == f"the run in {run} is finished"
    assert interrupted.value.command == f"emotions export --run {run}"


def test_energy_is_in_the_run_and_its_report_over_all_its_parts(
    make_step: MakeStep,
    context: Context,
    codecarbon: type[Tracker],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    step = make_step(learn_params__max_epoch=3, saving_data_params__energy="DEU")
    start = ClassifierModule.on_train_batch_start

    def interrupted(module: ClassifierModule, *batch: Any) -> None:
        if module.current_epoch == 2:
            raise KeyboardInterrupt
        start(module, *batch)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(ClassifierModule, "on_train_batch_start", interrupted)
        fit(step, context)
    folder = fit(step, context)
    energy = read(folder / "run.json")["energy"]
    assert (energy["measured"], energy["of"]) == (2, 2)
    assert energy["joules"] == pytest.approx(WATTS * energy["seconds"], rel=0.05)
    assert energy["grams_co2e"] == pytest.approx(energy["joules"] / 3.6e6 * 400)
    assert "energy of the features and epochs" in text_of((folder / "report.html").read_text()).lower()
    assert "g CO2e, estimated" in capsys.readouterr().out


def test_a_tracker_that_fails_ends_no_training(
    make_step: MakeStep, context: Context, codecarbon: type[Tracker], caplog: pytest.LogCaptureFixture
) -> None:
    codecarbon.faults.add("stop")
    folder = fit(make_step(learn_params__max_epoch=1, saving_data_params__energy=380), context)
    assert "energy" not in read(folder / "run.json")
    assert "energy: is not measured" in caplog.text


def test_energy_is_refused_before_anything_is_computed(
    make_step: MakeStep, context: Context, codecarbon: type[Tracker], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="DEX"):
        fit(make_step(saving_data_params__energy="DEX"), context)
    assert not (tmp_path / "run").exists()
    faults = train_faults({"engine": "ray", "saving_data_params": {"energy": "DEU"}})
    assert [fault.where for fault in faults] == ["saving_data_params.energy"]


def test_the_same_seed_gives_the_same_weights_and_another_does_not(make_step: MakeStep, context: Context) -> None:
    first, second = (weights(fit(make_step(name), context) / "last.ckpt") for name in ("a", "b"))
    context.seed = 1
    third = weights(fit(make_step("c"), context) / "last.ckpt")
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], third[name]) for name in first)


def test_a_batch_larger_than_the_data_and_loading_processes(make_step: MakeStep, context: Context) -> None:
    context.workers = 1
    folder = fit(make_step(learn_params__batch_size=500, learn_params__class_weights="none"), context)
    assert load_run(folder).trained.steps in (1, 2)


def test_logs_go_where_the_config_says(make_step: MakeStep, context: Context, tmp_path: Path) -> None:
    places = {"path": [str(tmp_path), "board"], "name": ["em", "otions"], "version": ["v1"], "sub_dir": ["all"]}
    changes = {f"saving_data_params__tensorboard_lr_monitors_logs_{key}": value for key, value in places.items()}
    fit(make_step(learn_params__max_epoch=1, **changes), context)
    assert [*(tmp_path / "board" / "emotions" / "v1" / "all").glob("events.out.tfevents.*")]


def test_divergence_stops_with_the_learning_rate_named(make_step: MakeStep, context: Context) -> None:
    with pytest.raises(
        ConfigError, match=r"training diverged: .* at epoch \d+, .*learning rate .*lower learn_params.lr"
    ):
        fit(make_step(learn_params__max_epoch=20, learn_params__lr={"base_lr": 1e30}), context)


def test_a_finished_run_is_not_written_over(make_step: MakeStep, context: Context) -> None:
    folder = fit(make_step(learn_params__max_epoch=1), context)
    before = (folder / "run.json").read_bytes()
    with pytest.raises(OutputExists, match="holds a finished run"):
        fit(make_step(learn_params__max_epoch=1), context)
    assert (folder / "run.json").read_bytes() == before


def test_a_start_from_another_model_is_refused(tiny_run: Path, make_step: MakeStep, context: Context) -> None:
    path = {"saving_data_params__start_from_saved_checkpoint_path": [str(tiny_run / "last.ckpt")]}
    with pytest.raises(CheckpointError, match=r"is of another model: spectrogram_size is 32, .* give 48"):
        fit(make_step(**path, learn_params__spectrogram_size=48), context)
    with pytest.raises(CheckpointError, match=r"is of another model: targets is .*"):
        fit(make_step(**path, dataset__targets=["emotion"]), context)


def test_a_start_with_nothing_left_to_train_is_refused(tiny_run: Path, make_step: MakeStep, context: Context) -> None:
    path = {"saving_data_params__start_from_saved_checkpoint_path": [str(tiny_run / "last.ckpt")]}
    with pytest.raises(ConfigError, match=r"trained for 8 epochs already; raise learn_params.max_epoch"):
        fit(make_step(**path, learn_params__max_epoch=8), context)


def test_a_broken_clip_is_left_out_and_counted(
    corpus_folder: Path, tmp_path: Path, context: Context, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(corpus_folder, tmp_path / "data")
    (tmp_path / "data" / "bert" / "wild_1.wav").write_bytes(b"not audio")
    run = fit(build_step(tmp_path / "data", tmp_path / "run"), context)
    assert "1 of 20 clips are left out (1 not_audio)" in caplog.text
    assert json.loads((run / "run.json").read_text())["dataset"]["clips"] == 19


def test_a_part_without_a_label_is_refused(corpus_folder: Path, tmp_path: Path, context: Context) -> None:
    shutil.copytree(corpus_folder, tmp_path / "data")
    rows = read(tmp_path / "data" / "annotations.json")
    validating = {name.split("/")[0] for name in rows if "state" in rows[name]} - {"anna", "bert"}
    for name, row in rows.items():
        row["split"] = "val" if name.startswith(tuple(validating)) else "train"
        if row["split"] == "val":
            row.pop("state", None)
    (tmp_path / "data" / "annotations.json").write_text(json.dumps(rows))
    with pytest.raises(DataError, match="the validation part has no clip that is labelled for 'state'"):
        fit(build_step(tmp_path / "data", tmp_path / "run"), context)


def test_missing_labels_stay_missing(tiny_run: Path) -> None:
    test = read(tiny_run / "metrics.json")["test"]
    assert (test["emotion"]["clips"], test["state"]["clips"]) == (4, 2)
    assert NO_LABEL < 0
    assert np.sum(test["state"]["confusion"]) == 2


def test_a_second_training_in_one_folder_and_its_export_are_refused(
    make_step: MakeStep, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = make_step()
    folder = context.root.joinpath(*step.saving_data_params.saved_checkpoints_path)
    refused: list[str] = []

    def beside(job: Job, model: Classifier) -> None:
        for second in (lambda: fit(step, context), lambda: load_run(folder)):
            with pytest.raises(OutputExists) as raised:
                second()
            refused.append(str(raised.value))
        train(job, model)

    monkeypatch.setattr("training.loop.fit.train", beside)
    fit(step, context)
    assert len(refused) == 2
    assert all("another process is training in it; wait for its end" in text for text in refused)
    assert not (folder / "run.lock").exists()
    load_run(folder)


def test_a_run_that_has_not_ended_is_named_so(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"its training has not ended; train on from its last\.ckpt first"):
        load_run(tmp_path)


def test_validate_looks_at_paths_and_datasets_where_it_is_asked_to(
    tiny_run: Path, make_step: MakeStep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = [
        make_step().model_dump(mode="json", exclude_unset=True),
        make_step("gone").model_dump(mode="json", exclude_unset=True) | {"dataset": {"path": str(tmp_path / "gone")}},
        {"type": "export", "source": str(tmp_path / "nowhere")},
    ]
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"pipeline": steps}))
    assert run(["validate", "--config-file", str(config)]) == 0
    assert run(["validate", "--config-file", str(config), "--check-data"]) == 2
    told = capsys.readouterr().err
    assert "error: 2 steps would be stopped" in told
    assert f"pipeline[1]: {tmp_path / 'gone'}" in told
    assert f"pipeline[2]: {tmp_path / 'nowhere'}: no such run folder or checkpoint" in told
    assert "pipeline[0]" not in told
