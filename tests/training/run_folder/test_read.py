"""Checkpoints from anywhere: nothing in them runs, and every one that cannot be used is refused in one line."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from emotions.errors import CheckpointError
from training.run_folder.read import load_checkpoint, load_run

Edit = Callable[[dict[str, Any]], object]


@pytest.fixture
def edited(tiny_run: Path, tmp_path: Path) -> Callable[[Edit], Path]:
    """``edited(edit)``: the tiny run's last checkpoint with its dictionary changed in place."""

    def make(edit: Edit) -> Path:
        checkpoint = torch.load(tiny_run / "last.ckpt", weights_only=True)
        edit(checkpoint)
        torch.save(checkpoint, tmp_path / "edited.ckpt")
        return tmp_path / "edited.ckpt"

    return make


def first_weight(checkpoint: dict[str, Any]) -> str:
    return str(next(iter(checkpoint["state_dict"])))


def spoil(checkpoint: dict[str, Any]) -> None:
    checkpoint["state_dict"][first_weight(checkpoint)].view(-1)[0] = torch.nan


def describe(checkpoint: dict[str, Any], **changes: Any) -> None:
    spec = json.loads(checkpoint["emotions"]["spec"])
    checkpoint["emotions"]["spec"] = json.dumps({**spec, **changes})


REFUSALS: dict[str, tuple[Edit, str]] = {
    "elsewhere": (lambda c: c.pop("emotions"), "was not written by this toolkit"),
    "format": (lambda c: c["emotions"].update(format=99), "has checkpoint format 99, this release reads 1"),
    "no spec": (lambda c: c["emotions"].pop("spec"), "model description is damaged"),
    "bad spec": (lambda c: c["emotions"].update(spec='{"model": "X"}'), "model description is damaged"),
    "not trained": (lambda c: c.update(global_step=0), "records no optimiser step"),
    "no step": (lambda c: c.pop("global_step"), "records no optimiser step"),
    "no weights": (lambda c: c.pop("state_dict"), "holds no weights"),
    "missing key": (lambda c: c["state_dict"].pop(first_weight(c)), "weights do not fit its model"),
    "extra key": (lambda c: c["state_dict"].update(extra=torch.zeros(1)), "weights do not fit its model .extra"),
    "shape": (lambda c: c["state_dict"].update({first_weight(c): torch.zeros(1)}), "weights do not fit its model"),
    "nan": (spoil, "weights that are NaN or infinite"),
    "labels": (lambda c: describe(c, targets={"emotion": ["a", "b", "c"]}), "weights do not fit its model"),
    "backbone": (
        lambda c: describe(c, architecture={"backbone": "x", "scale": "mel", "dropout": 0}),
        "cannot be built",
    ),
    "absurd window": (lambda c: describe(c, window_samples=10**12), "model description is damaged"),
    "absurd image": (lambda c: describe(c, spectrogram_size=10**6), "model description is damaged"),
    "absurd layers": (
        lambda c: describe(
            c,
            model="TransformerClassifier",
            architecture={
                "layer_1_size": 65_536,
                "layer_2_size": 65_536,
                "transformer_depth": 64,
                "patch_transformer_size": 4,
            },
        ),
        "cannot be built .*parameters, more than the",
    ),
    "absurd encoder": (
        lambda c: describe(
            c,
            model="Wav2Vec2FnClassifier",
            architecture={"encoder": "x"},
            encoder={"normalize": True, "config": {"model_type": "wav2vec2", "num_hidden_layers": 10**9}},
        ),
        "cannot be built .*num_hidden_layers is beyond 1,000",
    ),
    "huge encoder": (
        lambda c: describe(
            c,
            model="Wav2Vec2FnClassifier",
            architecture={"encoder": "x"},
            encoder={"normalize": True, "config": {"model_type": "wavlm", "intermediate_size": 10**7}},
        ),
        "cannot be built .*parameters, more than the",
    ),
    "architecture": (lambda c: describe(c, architecture={"scale": "bark"}), "cannot be built"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_checkpoint_that_cannot_be_used_is_refused(case: str, edited: Callable[[Edit], Path]) -> None:
    edit, message = REFUSALS[case]
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(edited(edit))
    assert "\n" not in str(caught.value)


def test_an_unedited_one_is_loaded(edited: Callable[[Edit], Path], tiny_run: Path) -> None:
    trained = load_checkpoint(edited(lambda _: None))
    assert trained.steps == torch.load(tiny_run / "last.ckpt", weights_only=True)["global_step"]
    assert [*trained.spec.targets] == ["emotion", "state"]


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04 nonsense", b"\x80\x02}q\x00."])
def test_what_is_no_checkpoint_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.ckpt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"x\.ckpt: (is not a checkpoint|was not written)"):
        load_checkpoint(tmp_path / "x.ckpt")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_cut_off_checkpoint_is_refused(share: float, tiny_run: Path, tmp_path: Path) -> None:
    whole = (tiny_run / "last.ckpt").read_bytes()
    (tmp_path / "x.ckpt").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CheckpointError, match="or is cut off"):
        load_checkpoint(tmp_path / "x.ckpt")


def test_a_missing_checkpoint_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "none.ckpt")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(tmp_path)


class Malicious:
    """Runs a command when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_in_a_checkpoint_does_not_run(edited: Callable[[Edit], Path], tmp_path: Path) -> None:
    path = edited(lambda c: c.update(extra=Malicious(tmp_path / "owned")))
    with pytest.raises(CheckpointError, match="nothing in it was run"):
        load_checkpoint(path)
    assert not (tmp_path / "owned").exists()
    torch.load(path, weights_only=False)
    assert (tmp_path / "owned").exists(), "the test's pickle would have run, had it been let"


@pytest.fixture
def copied(tiny_run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_run, tmp_path / "copy")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda index: index.update(format=7), "has format 7, this release reads 1"),
        (lambda index: index.pop("protocol"), "is damaged"),
        (lambda index: index["checkpoints"].update(best="../secret.ckpt"), "outside the run folder"),
        (lambda index: index["checkpoints"].update(best="gone.ckpt"), "no such checkpoint"),
        (lambda index: index["dataset_config"].update(colour="red"), "is damaged"),
    ],
)
def test_a_damaged_index_is_refused(edit: Edit, message: str, copied: Path) -> None:
    index = json.loads((copied / "run.json").read_text())
    edit(index)
    (copied / "run.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=message):
        load_run(copied)


def test_what_is_no_run_folder_is_refused(tmp_path: Path, copied: Path) -> None:
    with pytest.raises(CheckpointError, match=r"is not a run folder \(it has no run.json\)"):
        load_run(tmp_path)
    (copied / "run.json").write_text("{")
    with pytest.raises(CheckpointError, match="is not JSON"):
        load_run(copied)


def test_a_damaged_split_is_refused(copied: Path) -> None:
    split = json.loads((copied / "split.json").read_text())
    split["train"][0] = "elsewhere.wav"
    (copied / "split.json").write_text(json.dumps(split))
    with pytest.raises(CheckpointError, match="does not fit the dataset or is damaged"):
        _ = load_run(copied).split
