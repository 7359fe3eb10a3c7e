"""Adapters of PEFT (LoRA, DoRA): merged into their base, which is then a classifier like any other."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from export.huggingface.classifiers import FAMILIES, KEY
from export.huggingface.licence import licence_of
from export.importers import community_heads, transformers_heads
from export.importers.adapter.lora import PICKLED, SETTINGS, WEIGHTS, check_settings, merged
from export.importers.importer import Importer, ImportOptions
from export.importers.weights import float_tensors, read_pickled, read_safetensors, read_weights
from export.sources import Source
from training.models.frontends.hub import CONFIG, PREPROCESSOR, Checkpoint, find_checkpoint

_PRETRAINING = ("quantizer.", "project_hid.", "project_q.", "lm_head.")
"""Heads of pre-training and of speech recognition, which a classifier has not."""

_OWN = ("id2label", "label2id", "pooling_mode", "problem_type")
"""What an adapter's own config.json may say of its head."""


def _misfit(checkpoint: Checkpoint) -> str | None:
    if not (checkpoint.folder / SETTINGS).is_file():
        return f"no {SETTINGS}"
    if not any((checkpoint.folder / file).is_file() for file in (WEIGHTS, PICKLED)):
        return f"no {WEIGHTS}"
    return None


def _load(checkpoint: Checkpoint, options: ImportOptions) -> Source:
    settings = checkpoint.read_json(SETTINGS)
    check_settings(settings, checkpoint)
    base = _base(settings, checkpoint)
    described = base.read_settings(FAMILIES)
    weights = merged(_base_weights(base, described), _adapter_weights(checkpoint), settings, checkpoint)
    with tempfile.TemporaryDirectory() as folder:
        whole = replace(checkpoint, folder=Path(folder))
        _write(whole.folder, _config(described, weights, checkpoint, options), weights, checkpoint, base)
        importer = transformers_heads if community_heads.IMPORTER.misfit(whole) else community_heads
        source: Source = importer.IMPORTER.load(whole, options)
    licence = licence_of(checkpoint) or licence_of(base)
    known = {"license": licence} if licence else {}
    return replace(
        source, encoder={**(source.encoder or {}), **known, "adapter": "dora" if settings.get("use_dora") else "lora"}
    )


def _base(settings: Mapping[str, Any], checkpoint: Checkpoint) -> Checkpoint:
    """The folder, or the name on the hub, that an adapter says it was trained on."""
    name, revision = settings.get("base_model_name_or_path"), settings.get("revision")
    if not isinstance(name, str) or not name:
        raise checkpoint.error(f"{{}}: {SETTINGS} names no base_model_name_or_path")
    if revision not in (None, "main"):
        raise checkpoint.error(f"{{}} is for the revision {revision} of {name}; name a folder with that one there")
    return find_checkpoint(name, f"{KEY}: the base of {checkpoint.name}", also=["README.md"])


def _adapter_weights(checkpoint: Checkpoint) -> dict[str, Tensor]:
    if (checkpoint.folder / WEIGHTS).is_file():
        return float_tensors(checkpoint, WEIGHTS, read_safetensors(checkpoint, WEIGHTS))
    return float_tensors(checkpoint, PICKLED, read_pickled(checkpoint, PICKLED))


def _base_weights(base: Checkpoint, settings: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights of a base by the names that a classifier on it has, without other heads."""
    prefix = f"{FAMILIES[settings['model_type']].model.base_model_prefix}."
    weights = read_weights(base)
    if not any(name.startswith(prefix) for name in weights):
        weights = {prefix + name: value for name, value in weights.items()}
    return {name: value for name, value in weights.items() if not name.startswith(_PRETRAINING)}


def _config(
    described: Mapping[str, Any], weights: Mapping[str, Tensor], checkpoint: Checkpoint, options: ImportOptions
) -> dict[str, Any]:
    """The config.json of the merged model: the base's, with the labels of the adapter's folder or the user's."""
    own = checkpoint.read_json(CONFIG) if (checkpoint.folder / CONFIG).is_file() else {}
    config = {**described, **{key: own[key] for key in _OWN if key in own}}
    if options.labels:
        config["id2label"] = dict(enumerate(options.labels))
        config["label2id"] = {label: number for number, label in enumerate(options.labels)}
    if "projector.weight" in weights:
        config["classifier_proj_size"] = weights["projector.weight"].shape[0]
    config.pop("auto_map", None)
    return {**config, "architectures": [FAMILIES[described["model_type"]].model.__name__]}


def _write(
    folder: Path, config: Mapping[str, Any], weights: Mapping[str, Tensor], checkpoint: Checkpoint, base: Checkpoint
) -> None:
    (folder / CONFIG).write_text(json.dumps(config), encoding="utf-8")
    for origin in (checkpoint, base):
        if (origin.folder / PREPROCESSOR).is_file():
            (folder / PREPROCESSOR).write_text(json.dumps(origin.read_json(PREPROCESSOR)), encoding="utf-8")
            break
    tensors = {name: value.contiguous() for name, value in weights.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


IMPORTER = Importer(
    "adapter",
    f"a LoRA or DoRA adapter of PEFT ({SETTINGS}) merged into its base",
    _misfit,
    _load,
    files=(SETTINGS, WEIGHTS),
    pickled=(PICKLED,),
)
