"""A tiny random emotion2vec in the layout of FunASR, and its answers by FunASR itself, in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from export.importers.emotion2vec.network import Emotion2vec
from export.importers.emotion2vec.settings import read_geometry
from tests.export.huggingface.checkpoints import make_clips
from training.models.frontends.hub import Checkpoint

TOKENS = ["生气/angry", "开心/happy", "unuse_0", "中立/neutral", "<unk>"]
AUDIO: dict[str, Any] = {
    "type": "AUDIO",
    "prenet_depth": 2,
    "prenet_layerdrop": 0.05,
    "prenet_dropout": 0.1,
    "start_drop_path_rate": 0.0,
    "end_drop_path_rate": 0.0,
    "num_extra_tokens": 3,
    "init_extra_token_zero": True,
    "mask_noise_std": 0.01,
    "mask_prob": 0.5,
    "local_grad_mult": 1.0,
    "use_alibi_encoder": True,
    "alibi_scale": 1.0,
    "learned_alibi": False,
    "learned_alibi_scale": True,
    "learned_alibi_scale_per_head": True,
    "learned_alibi_scale_per_layer": False,
    "num_alibi_heads": 6,
    "model_depth": 2,
    "decoder": None,
    "extractor_mode": "layer_norm",
    "feature_encoder_spec": "[(16, 10, 5)] + [(16, 3, 2)] * 4 + [(16,2,2)] + [(16,2,2)]",
    "conv_pos_width": 20,
    "conv_pos_groups": 4,
    "conv_pos_depth": 2,
    "conv_pos_pre_ln": False,
}
MODEL: dict[str, Any] = {
    "depth": 2,
    "start_drop_path_rate": 0.0,
    "end_drop_path_rate": 0.0,
    "num_heads": 6,
    "norm_eps": 1e-5,
    "norm_affine": True,
    "encoder_dropout": 0.1,
    "post_mlp_drop": 0.1,
    "attention_dropout": 0.1,
    "activation_dropout": 0.0,
    "dropout_input": 0.0,
    "layerdrop": 0.05,
    "embed_dim": 48,
    "mlp_ratio": 4.0,
    "layer_norm_first": False,
    "average_top_k_layers": 2,
    "end_of_block_targets": False,
    "clone_batch": 8,
    "normalize": True,
    "loss_beta": 0.0,
    "loss_scale": None,
}
_SCRIPT = """
import json, sys, types
import numpy as np, torch, yaml
for reader in ("kaldiio", "librosa"):  # of files, which are not read here
    sys.modules[reader] = types.ModuleType(reader)
from funasr.models.emotion2vec.model import Emotion2vec
folder, clips, out = sys.argv[1:]
settings = yaml.safe_load(open(folder + "/config.yaml"))
tokens = open(folder + "/tokens.txt", encoding="utf-8").read().split()
class Tokens: token_list = tokens
model = Emotion2vec(model_conf=settings["model_conf"], vocab_size=len(tokens)).eval()
model.load_state_dict(torch.load(folder + "/model.pt", weights_only=True)["model"], strict=True)
clips, answers = np.load(clips), []
with torch.no_grad():
    for name in sorted(clips.files):
        (result,), _ = model.inference(
            [torch.from_numpy(clips[name])], tokenizer=Tokens, device="cpu", key=["a"], extract_embedding=False
        )
        answers.append(result["scores"])
json.dump({"labels": result["labels"], "scores": answers}, open(out, "w"))
"""


def write_emotion2vec(folder: Path, *, audio: dict[str, Any] | None = None, **model: Any) -> Path:
    """Write ``config.yaml``, ``tokens.txt`` and ``model.pt``; the keys given replace others of config.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    conf = {**MODEL, **model, "modalities": {"_name": None, "audio": {**AUDIO, **(audio or {})}}}
    (folder / "config.yaml").write_text(yaml.safe_dump({"model": "Emotion2vec", "model_conf": conf}))
    (folder / "tokens.txt").write_text("\n".join(TOKENS) + "\n", encoding="utf-8")
    geometry = read_geometry({"model_conf": conf}, Checkpoint("--from", "x", folder))
    torch.manual_seed(0)
    network = Emotion2vec(geometry, len(TOKENS), "emotion")
    for name, value in network.state_dict().items():
        if "norm" in name:
            value.uniform_(0.5, 1.5)
        elif name in {"extra_tokens", "alibi_scale"} or value.dim() < 2:
            value.normal_(0, 0.5)
        else:
            value.normal_(0, 1.5 / float(np.prod(value.shape[1:])) ** 0.5)
    _spread(network.eval())
    weights = {their_name(name, geometry): value for name, value in network.state_dict().items()}
    torch.save({"model": weights}, folder / "model.pt")
    return folder


def _spread(network: Emotion2vec) -> None:
    """Scale and shift the last layer so that clips get different answers: random weights give all nearly the same."""
    kept: list[Tensor] = []
    hook = network.classifier.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
    waveform, length = make_clips([8_000] * 6, seed=1)
    with torch.inference_mode():
        logits = network(waveform / 4, length)["emotion"]
    hook.remove()
    network.classifier.weight.data *= 0.1 / float(logits.std(dim=0).mean())
    network.classifier.bias.data = -network.classifier.weight.data @ kept[0].mean(dim=0).clone()


def their_name(name: str, geometry: Any) -> str:
    """What FunASR calls a weight of ours."""
    kind, _, rest = name.partition(".")
    number, _, part = rest.partition(".")
    audio = "modality_encoders.AUDIO."
    if kind == "convolutions":
        norm = "2." if geometry.group_norm else "2.1."
        return f"{audio}local_encoder.conv_layers.{number}.{part.replace('conv.', '0.').replace('norm.', norm)}"
    if kind == "positions":
        return f"{audio}relative_positional_encoder.{int(number) + 1}.0.{part}"
    if kind == "blocks":
        layer = part.partition(".")[0]
        part = {"qkv": "attn.", "proj": "attn.", "fc1": "mlp.", "fc2": "mlp."}.get(layer, "") + part
        later = int(number) - geometry.prenet_depth
        return f"blocks.{later}.{part}" if later >= 0 else f"{audio}context_encoder.blocks.{number}.{part}"
    inside = {"projection_norm": "project_features.1.", "projection": "project_features.2."}
    inside["norm"] = "context_encoder.norm."
    if kind in inside:
        return audio + inside[kind] + rest
    return f"proj.{rest}" if kind == "classifier" else audio + name


def answers_of_funasr(python: Path, folder: Path, clips: list[Tensor], scratch: Path) -> tuple[list[str], Tensor]:
    """Labels and (clips, labels) scores as FunASR itself gives them, one clip at a time."""
    np.savez(scratch / "clips.npz", **{f"{number:03d}": clip.numpy() for number, clip in enumerate(clips)})  # type: ignore[arg-type]
    command = [str(python), "-c", _SCRIPT, str(folder), str(scratch / "clips.npz"), str(scratch / "answers.json")]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    answers = json.loads((scratch / "answers.json").read_text())
    return answers["labels"], torch.tensor(answers["scores"])
