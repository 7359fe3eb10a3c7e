"""Commands that are killed or stopped at moments drawn by a seed, or find the disk full, and are then run again."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest
import torch

from emotions.files import read_json, write_json
from tests.commands import Commands, forkserver
from tests.training.conftest import build_step, make_corpus
from training.run_folder.read import read_checkpoint

__all__ = ["forkserver"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
EPOCHS = 5


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, write_wav: Callable[..., Path]) -> Path:
    return make_corpus(tmp_path_factory.mktemp("corpus"), write_wav)


@pytest.fixture
def commands(forkserver: ForkServerContext, tmp_path: Path) -> Commands:
    return Commands(forkserver, tmp_path)


def write_config(data: Path, path: Path, kind: str = "train", run: str = "run", **changes: Any) -> Path:
    """A pipeline of one training into ``run`` beside the file, or of an evaluation by two folds."""
    step = build_step(data, Path(run), learn_params__max_epoch=EPOCHS).model_dump(mode="json", exclude_unset=True)
    step |= {"type": kind, **changes}
    if kind == "evaluate":
        step |= {"protocol": "group_kfold", "folds": 2, "output": run, "jobs": 1}
        step["learn_params"]["max_epoch"] = 2
    write_json(path, {"pipeline": [step], "load_dataset_workers_num": 0, "seed": 0})
    return path


def weights(run: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = read_checkpoint(run / "last.ckpt")["state_dict"]
    return state


def assert_same_run(one: Path, other: Path) -> None:
    """Two run folders hold the same weights, figures and files, and nothing else."""
    expected, found = weights(one), weights(other)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert read_json(one / "metrics.json") == read_json(other / "metrics.json")
    assert files(one) == files(other)


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def epochs(run: Path) -> int:
    try:
        return int(read_checkpoint(run / "last.ckpt")["epoch"]) + 1
    except Exception:  # noqa: BLE001 - it is not there yet
        return 0


def begins(run: Path, epoch: int) -> Callable[[], bool]:
    """Whether a training has completed so many epochs; before the first, whether it has written its record."""
    return (lambda: epochs(run) >= epoch) if epoch else (run / "training.json").exists


@pytest.fixture(scope="module")
def whole(data: Path, forkserver: ForkServerContext, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    Commands(forkserver, folder).run("train", "--config-file", str(write_config(data, folder / "config.json")))
    return folder / "run"


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=lambda sent: sent.name)
def test_a_training_goes_on_by_the_same_command(
    sent: signal.Signals, data: Path, whole: Path, commands: Commands
) -> None:
    config, run = write_config(data, commands.folder / "config.json"), commands.folder / "run"
    moments = random.Random(sent.value)
    for epoch in range(5):
        command = commands.start("train", "--config-file", str(config))
        command.until(begins(run, epoch), moments.uniform(0, 0.15))
        code, told = command.ended(sent)
        if code == 0:
            break
        assert code == (-sent.value if sent == signal.SIGKILL else 128 + sent.value), told
        assert "Traceback" not in told
        if sent != signal.SIGKILL:
            done = epochs(run)
            kept = f"{done} of {EPOCHS} epochs are kept in {run}" if done else f"nothing is kept in {run}"
            assert f"{kept}; go on with: emotions train --config-file {config}\n" in told
    else:
        told = commands.run("train", "--config-file", str(config))
        assert f"of {EPOCHS} epochs are kept in {run}" in told
    assert_same_run(whole, run)
