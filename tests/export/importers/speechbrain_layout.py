"""A tiny random checkpoint of SpeechBrain's emotion recipe, and its answers by SpeechBrain itself."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tests.export.importers.layouts import LABELS, linear, write_encoder
from tests.training.models.encoders import HIDDEN

RECIPE = """
HPARAMS_NEEDED: ["encoder_dim", "out_n_neurons", "label_encoder", "softmax"]
MODULES_NEEDED: ["wav2vec2", "avg_pool", "output_mlp"]
wav2vec2_hub: {hub}
pretrained_path: {folder}
encoder_dim: {dims}
out_n_neurons: {classes}
wav2vec2: !new:speechbrain.integrations.huggingface.wav2vec2.Wav2Vec2
    source: !ref <wav2vec2_hub>
    output_norm: {norm}
    freeze: True
    save_path: {scratch}
avg_pool: !new:speechbrain.nnet.pooling.StatisticsPooling
    return_std: False
output_mlp: !new:speechbrain.nnet.linear.Linear
    input_size: !ref <encoder_dim>
    n_neurons: !ref <out_n_neurons>
    bias: {bias}
model: !new:torch.nn.ModuleList
    - [!ref <output_mlp>]
modules:
    wav2vec2: !ref <wav2vec2>
    output_mlp: !ref <output_mlp>
    avg_pool: !ref <avg_pool>
softmax: !new:speechbrain.nnet.activations.Softmax
label_encoder: !new:speechbrain.dataio.encoder.CategoricalEncoder
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
    loadables:
        wav2vec2: !ref <wav2vec2>
        model: !ref <model>
        label_encoder: !ref <label_encoder>
    paths:
        wav2vec2: !ref <pretrained_path>/wav2vec2.ckpt
        model: !ref <pretrained_path>/model.ckpt
        label_encoder: !ref <pretrained_path>/label_encoder.txt
"""
_SCRIPT = """
import json, sys
import numpy as np, torch
from hyperpyyaml import load_hyperpyyaml
folder, clips, out = sys.argv[1:]
with open(folder + "/hyperparams.yaml") as stream:
    recipe = load_hyperpyyaml(stream)
load = lambda file: torch.load(folder + "/" + file, weights_only=True)
recipe["wav2vec2"].load_state_dict(load("wav2vec2.ckpt"), strict=True)
recipe["model"].load_state_dict(load("model.ckpt"), strict=True)
recipe["label_encoder"].load(folder + "/label_encoder.txt")
encoder, pool = recipe["wav2vec2"].eval(), recipe["avg_pool"]
pool._get_gauss_noise = lambda shape, device: torch.zeros(shape)
clips, answers = np.load(clips), []
with torch.no_grad():
    for name in sorted(clips.files):
        pooled = pool(encoder(torch.from_numpy(clips[name])[None]), torch.ones(1))
        answers.append(recipe["softmax"](recipe["output_mlp"](pooled.view(1, -1)))[0].tolist())
labels = recipe["label_encoder"].decode_ndim(list(range(len(answers[0]))))
json.dump({"labels": labels, "scores": answers}, open(out, "w"))
"""


def write_speechbrain(
    folder: Path, kind: str = "wav2vec2-group", *, norm: bool = True, bias: bool = False, labels: list[str] = LABELS
) -> Path:
    """Write ``hyperparams.yaml``, the two ``.ckpt`` and ``label_encoder.txt``; the encoder's settings beside them."""
    folder.mkdir(parents=True)
    hub = folder.with_name(folder.name + "-encoder")
    hub.mkdir()
    encoder = write_encoder(hub, kind, {}, "", architectures=["Wav2Vec2Model"])
    torch.save({f"model.{name}": value for name, value in encoder.state_dict().items()}, folder / "wav2vec2.ckpt")
    weight, offset = linear(HIDDEN, len(labels), 2, 0.5)
    torch.save({"0.w.weight": weight, **({"0.w.bias": offset} if bias else {})}, folder / "model.ckpt")
    recipe = RECIPE.format(
        hub=hub, folder=folder, dims=HIDDEN, classes=len(labels), norm=norm, bias=bias, scratch=folder / "scratch"
    )
    (folder / "hyperparams.yaml").write_text(recipe)
    lines = [f"'{label}' => {number}" for number, label in enumerate(labels)]
    (folder / "label_encoder.txt").write_text("\n".join([*lines, "================", "'starting_index' => 0", ""]))
    return folder


def answers_of_speechbrain(python: Path, folder: Path, clips: list[Tensor], scratch: Path) -> tuple[list[str], Tensor]:
    """Labels and (clips, labels) scores as SpeechBrain itself gives them, one clip at a time."""
    np.savez(scratch / "clips.npz", **{f"{number:03d}": clip.numpy() for number, clip in enumerate(clips)})  # type: ignore[arg-type]
    command = [str(python), "-c", _SCRIPT, str(folder), str(scratch / "clips.npz"), str(scratch / "answers.json")]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    answers = json.loads((scratch / "answers.json").read_text())
    return answers["labels"], torch.tensor(answers["scores"])
