"""Training by several processes, and training that is killed: what it ends with is what one whole process would."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from emotions.errors import ConfigError
from emotions.files.json_text import read_json, write_json
from emotions.pipeline.runner import Context
from tests.commands import Commands
from tests.conftest import BuildOnce, WriteWav
from tests.training.conftest import build_step, make_corpus
from training.loop.fit import fit
from training.run_folder.read import load_run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # Ray starts many processes

# A network without batch norm, its dropout off: it sees the batch in its loss alone.
NO_BATCH_NORM = {"backbone": "test_convnext", "dropout": 0.0}
LEARN = {
    "padding_sec": 0.5,
    "spectrogram_size": 32,
    "max_epoch": 3,
    "batch_size": 5,
    "lr": {"base_lr": 1e-3},
    "augmentation": {"features": {"probability": 0.0}},
}
CHANGES: dict[str, Any] = {"model_architecture": NO_BATCH_NORM, "learn_params": LEARN}


@pytest.fixture(scope="module")
def data(build_once: BuildOnce, write_wav: WriteWav) -> Path:
    return build_once("corpus", lambda folder: make_corpus(folder, write_wav))


@pytest.fixture(scope="module")
def alone(data: Path, build_once: BuildOnce) -> Path:
    """The run of a single process."""
    return build_once("alone", lambda folder: fit(build_step(data, folder / "run", **CHANGES), context(folder)))


def context(root: Path) -> Context:
    return Context(root, seed=0, workers=0, config={"seed": 0}, quiet=True)


def weights(path: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return state


def assert_same_run(found: Path, expected: Path) -> None:
    """The same weights, the same files, and the same scores over the same clips."""
    for name, value in weights(expected / "last.ckpt").items():
        torch.testing.assert_close(weights(found / "last.ckpt")[name], value, atol=1e-5, rtol=0)
    assert {path.name for path in found.iterdir()} == {path.name for path in expected.iterdir()}
    ours, theirs = (read_json(run / "metrics.json") for run in (found, expected))
    assert ours["history"]["val/emotion_uar"] == theirs["history"]["val/emotion_uar"]
    assert ours["history"]["val/loss"] == pytest.approx(theirs["history"]["val/loss"], abs=1e-5)
    assert ours["validation"] == theirs["validation"]


def test_two_processes_end_where_one_does(data: Path, alone: Path, tmp_path: Path) -> None:
    run = fit(build_step(data, tmp_path / "run", devices=2, **CHANGES), context(tmp_path))
    assert_same_run(run, alone)
    # The best checkpoint: its validation while two processes trained, and by this one afterwards.
    metrics = read_json(run / "metrics.json")
    for target in ("emotion", "state"):
        for name in ("uar", "wa", "macro_f1"):
            history = metrics["history"][f"val/{target}_{name}"]
            assert history[metrics["best_epoch"] - 1] == pytest.approx(metrics["validation"][target][name], abs=1e-6)


def test_what_goes_wrong_in_a_process_is_told_in_words(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    changes = {**CHANGES, "learn_params": {**LEARN, "lr": {"base_lr": 1e30}, "max_epoch": 20}}
    with pytest.raises(ConfigError, match=r"training diverged: .* lower learn_params.lr.base_lr"):
        fit(build_step(data, tmp_path / "run", devices=2, **changes), context(tmp_path))
    assert not [*scratch.glob("*.pickle")]


def test_ray_trains_the_same_run(data: Path, alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    run = fit(build_step(data, tmp_path / "run", engine="ray", ray={"workers": 2}, **CHANGES), context(tmp_path))
    assert_same_run(run, alone)
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


def test_a_cluster_that_does_not_answer_is_named(data: Path, tmp_path: Path) -> None:
    step = build_step(data, tmp_path / "run", engine="ray", ray={"address": "127.0.0.1:9"}, **CHANGES)
    with pytest.raises(ConfigError, match=r"ray\.address: no Ray cluster answers at '127\.0\.0\.1:9'") as caught:
        fit(step, context(tmp_path))
    assert "\n" not in str(caught.value)


def pipeline(data: Path, run: Path, epochs: int, start: Path | None = None) -> dict[str, Any]:
    learn = {**LEARN, "max_epoch": epochs, "augmentation": {"mixup_alpha": 0.2, "waveform": {"gain_db": [-3, 3]}}}
    step = json.loads(build_step(data, run, model_architecture=NO_BATCH_NORM, learn_params=learn).model_dump_json())
    step["learn_params"]["lr"].pop("conv_lr")
    if start is not None:
        step["saving_data_params"]["start_from_saved_checkpoint_path"] = [str(start)]
    return {"pipeline": [step], "seed": 3}


def training(folder: Path, config: dict[str, Any]) -> list[str]:
    write_json(folder / "config.json", config)
    return ["train", "--config-file", str(folder / "config.json")]


def test_a_killed_run_goes_on_as_if_it_had_not_been(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken, resumed = (tmp_path / name for name in ("whole", "broken", "resumed"))
    for folder in (whole, broken, resumed):
        folder.mkdir()
    epochs = 30  # so that some are left when the first is seen
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    Commands(whole).run(*training(whole, pipeline(data, whole / "run", epochs)))
    last = broken / "run" / "last.ckpt"
    command = Commands(broken).start(*training(broken, pipeline(data, broken / "run", epochs)))
    command.until(last.exists)
    code, told = command.ended(signal.SIGKILL)
    assert code == -signal.SIGKILL, told
    assert not (broken / "run" / "run.json").exists()
    config = pipeline(data, resumed / "run", epochs, start=last)
    Commands(resumed).run(*training(resumed, config))
    expected, found = weights(whole / "run" / "last.ckpt"), weights(resumed / "run" / "last.ckpt")
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    histories = [read_json(run / "run" / "metrics.json")["history"] for run in (whole, resumed)]
    assert histories[0] == histories[1]
    assert load_run(resumed / "run").trained.steps > 0
