"""The bundles that are measured, made by code: random weights, every model family, and a base-size wav2vec2."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Wav2Vec2Config

from benchmarks.export.huggingface import make_classifier
from emotions.bundle.manifest import Window
from export.bundle.export import export_source
from export.bundle.variants import ExportOptions
from export.huggingface.source import load_huggingface
from export.proof.signals import padded, synthetic_voices
from export.sources import ProofPlan, Source, describe_model
from training.config.train import ModelSpec
from training.models.registry import build_model

TARGETS = {"emotion": ["angry", "happy", "neutral", "sad"]}
_FN = {"conv_h_count": 1, "conv_w_count": 1, "layer_1_size": 64, "layer_2_size": 64}
_SMALL = {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 1024}
TINY: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "conv_dim": [8, 8, 8],
    "conv_kernel": [10, 8, 4],
    "conv_stride": [8, 8, 4],
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "classifier_proj_size": 16,
}
"""Settings of the smallest wav2vec2 encoder that has everything; for dry runs."""
# Random weights give every clip nearly the same answer, which would hide any fault.
_SPREAD = 1.5
_PROOF_WINDOWS = 4


def make_family(name: str, folder: Path, *, tiny: bool, samples: int) -> Path:
    """Export a model of a family with random weights, in fp32 and fp16.

    Args:
        name: of the model, as a pipeline file has it.
        folder: where the bundle goes, under its name.
        tiny: the smallest of its kind.
        samples: of a window.

    Returns:
        The bundle's folder.
    """
    torch.manual_seed(0)
    settings = folder / f"{name}.json"
    settings.write_text(json.dumps({"model_type": "wav2vec2", **(TINY if tiny else _SMALL)}), encoding="utf-8")
    spec = ModelSpec(
        model=name,  # type: ignore[arg-type]  # pydantic checks it
        architecture=dict(_architecture(name, settings, tiny)),
        window_samples=samples,
        spectrogram_size=32 if tiny else 128,
        targets=TARGETS,
    )
    model = build_model(spec).eval()
    spread(model, samples)
    source = Source(
        classifier=model,
        targets=TARGETS,
        window=Window(samples=samples, hop_samples=samples),
        description=describe_model(spec),
        name=name,
        plan=ProofPlan(samples, windows=_PROOF_WINDOWS),
    )
    return _exported(source, folder / name)


def make_base(folder: Path, name: str, *, tiny: bool) -> Path:
    """Convert a wav2vec2 classifier with random weights, its windows of any length, in fp32 and fp16.

    Args:
        folder: where the bundle goes, and the checkpoint beside it, in ``checkpoint``.
        name: of the bundle.
        tiny: not of base size.

    Returns:
        The bundle's folder.
    """
    config = Wav2Vec2Config(**(TINY if tiny else {}))
    source = load_huggingface(str(make_classifier(folder / "checkpoint", config)))
    # One of 30 s would take the proof most of a minute; 94 million parameters are proven on what they are measured on.
    plan = replace(source.plan, windows=_PROOF_WINDOWS, whole=False)
    return _exported(replace(source, plan=plan), folder / name)


def _exported(source: Source, output: Path) -> Path:
    return export_source(lambda: source, output, wanted=ExportOptions(variants=("fp16",), allow_loss=True))


def _architecture(name: str, settings: Path, tiny: bool) -> Mapping[str, Any]:
    backbone = "test_efficientnet" if tiny else "efficientnet_b0"
    encoder = f"random:{settings}"
    architectures: dict[str, dict[str, Any]] = {
        "SpectrogramCnnClassifier": {"backbone": backbone},
        "FunctionalsClassifier": {"members": 1, "layer_1_size": 8} if tiny else {},
        "TransformerClassifier": {"patch_transformer_size": 4 if tiny else 16, "transformer_depth": 1 if tiny else 3},
        "Wav2Vec2FnClassifier": {**_FN, "encoder": encoder, "embedding": "weighted"},
        "Wav2Vec2CnnClassifier": {"backbone": backbone, "encoder": encoder, "embedding": 1 if tiny else 2},
    }
    return architectures[name]


def spread(model: nn.Module, samples: int) -> None:
    """Scale and shift the output layers so that voices get different answers.

    Args:
        model: a classifier, which is changed.
        samples: of a window.
    """
    layers = [layer for name, layer in model.named_modules() if re.search(r"outputs\.\d+$", name)]
    seen: list[Tensor] = []
    hooks = [layer.register_forward_hook(lambda *called: seen.append(called[2])) for layer in layers]
    waveform, length = padded(synthetic_voices(8, samples, 3), samples)
    with torch.no_grad():
        model(torch.from_numpy(waveform), torch.as_tensor(length))
        for layer, logits, hook in zip(layers, seen, hooks, strict=True):
            hook.remove()
            scale = _SPREAD / logits.std(dim=0).mean().clamp(min=1e-6)
            layer.weight.mul_(scale)
            layer.bias.copy_((layer.bias - logits.mean(dim=0)) * scale)
