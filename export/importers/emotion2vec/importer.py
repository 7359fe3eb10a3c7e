"""emotion2vec and emotion2vec+ in the layout of FunASR: ``model.pt``, ``config.yaml``, ``tokens.txt``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from emotions.audio.decode import MIN_SAMPLES
from emotions.errors import first_line
from emotions.files.content import open_regular
from export.huggingface.licence import licence_of
from export.importers.emotion2vec.network import Emotion2vec
from export.importers.emotion2vec.settings import CONFIG, Geometry, read_geometry
from export.importers.importer import Importer, ImportOptions
from export.importers.own_source import own_source
from export.importers.weights import build_exactly, float_tensors, read_pickled
from export.importers.yaml_data import read_yaml
from export.sources import Source
from training.models.frontends.hub import Checkpoint

WEIGHTS, TOKENS = "model.pt", "tokens.txt"
_MAX_TOKENS_BYTES = 1 << 20
_UNUSED_TOKEN = "unuse"  # noqa: S105 - a label that the original leaves out
# Weights of pre-training, which no answer depends on.
_PRETRAINING = re.compile(r"(modality_encoders\.AUDIO\.decoder|_ema|ema|recon_proj|shared_decoder|cls_proj)\b")
_AUDIO = r"modality_encoders\.AUDIO\."
_RENAMED = (
    (_AUDIO + r"local_encoder\.conv_layers\.(\d+)\.0\.", r"convolutions.\1.conv."),
    (_AUDIO + r"local_encoder\.conv_layers\.(\d+)\.2\.(?:1\.)?", r"convolutions.\1.norm."),
    (_AUDIO + r"project_features\.1\.", "projection_norm."),
    (_AUDIO + r"project_features\.2\.", "projection."),
    (_AUDIO + r"context_encoder\.norm\.", "norm."),
    (_AUDIO + r"(extra_tokens|alibi_scale)$", r"\1"),
    (r"proj\.(weight|bias)$", r"classifier.\1"),
)


def _misfit(checkpoint: Checkpoint) -> str | None:
    lacking = [file for file in (CONFIG, WEIGHTS) if not (checkpoint.folder / file).is_file()]
    if lacking:
        return f"no {' and no '.join(lacking)}"
    found = read_yaml(checkpoint, CONFIG).get("model")
    return None if found == "Emotion2vec" else f"{CONFIG} is of the model {found}"


def _load(checkpoint: Checkpoint, options: ImportOptions) -> Source:
    target, settings = options.checked_target(), read_yaml(checkpoint, CONFIG)
    geometry, tokens = read_geometry(settings, checkpoint), _tokens(checkpoint)
    weights = _state(checkpoint)
    if "proj.weight" not in weights:
        raise checkpoint.error("{} holds an encoder alone, without the layer that names emotions (proj.weight)")
    kept = [number for number, token in enumerate(tokens) if not token.startswith(_UNUSED_TOKEN)]
    network = build_exactly(
        lambda: Emotion2vec(geometry, len(tokens), target), renamed(weights, geometry), checkpoint, WEIGHTS
    )
    if int(network.count_frames(torch.tensor(MIN_SAMPLES))) < 1:
        raise checkpoint.error(f"{{}}: a clip of {MIN_SAMPLES} samples is too short for one frame of this encoder")
    if len(kept) < len(tokens):
        network.classifier = _rows(network.classifier, kept)
    return own_source(
        network,
        {target: [tokens[number] for number in kept]},
        checkpoint,
        family="emotion2vec",
        description={"model": "Emotion2vec", "config": dict(settings["model_conf"])},
        licence=licence_of(checkpoint),
    )


def _tokens(checkpoint: Checkpoint) -> list[str]:
    """The labels of ``tokens.txt``, one a line, as they stand there."""
    try:
        with open_regular(checkpoint.folder / TOKENS) as stream:
            tokens = [line.strip() for line in stream.read(_MAX_TOKENS_BYTES).decode().splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise checkpoint.error(f"{{}} has no readable {TOKENS} with its labels ({first_line(error)})") from error
    used = [token for token in tokens if not token.startswith(_UNUSED_TOKEN)]
    if len(used) < 2 or len({*used}) < len(used):
        raise checkpoint.error(f"{{}}: {TOKENS} names fewer than two labels, or one twice")
    return tokens


def _state(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The weights of ``model.pt``, without what holds them, prefixes and what only pre-training uses."""
    content: Mapping[str, Any] = read_pickled(checkpoint, WEIGHTS)
    for wrapper in ("state_dict", "model_state_dict", "model"):
        if isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    plain = {str(name).removeprefix("d2v_model."): value for name, value in content.items()}
    used = {name: value for name, value in plain.items() if not _PRETRAINING.match(name)}
    return float_tensors(checkpoint, WEIGHTS, used)


def renamed(weights: Mapping[str, Tensor], geometry: Geometry) -> dict[str, Tensor]:
    """The weights by the names of ``Emotion2vec``.

    Args:
        weights: by the names of FunASR.
        geometry: of the network; the blocks of the pre-net come before the others.
    """
    return {_renamed(name, geometry.prenet_depth): value for name, value in weights.items()}


def _renamed(name: str, prenet_depth: int) -> str:
    position = re.fullmatch(_AUDIO + r"relative_positional_encoder\.(\d+)\.0\.(weight|bias)", name)
    if position:
        return f"positions.{int(position[1]) - 1}.{position[2]}"
    block = re.fullmatch(rf"({_AUDIO}context_encoder\.)?blocks\.(\d+)\.(?:attn\.|mlp\.)?(.*)", name)
    if block:
        return f"blocks.{int(block[2]) + (0 if block[1] else prenet_depth)}.{block[3]}"
    for pattern, new in _RENAMED:
        name = re.sub(f"^{pattern}", new, name)
    return name


def _rows(layer: torch.nn.Linear, kept: list[int]) -> torch.nn.Linear:
    smaller = torch.nn.Linear(layer.in_features, len(kept))
    smaller.load_state_dict({name: value[kept] for name, value in layer.state_dict().items()})
    return smaller.eval()


IMPORTER = Importer(
    "emotion2vec",
    "FunASR's model.pt, config.yaml and tokens.txt",
    _misfit,
    _load,
    files=(CONFIG, TOKENS),
    pickled=(WEIGHTS,),
)
