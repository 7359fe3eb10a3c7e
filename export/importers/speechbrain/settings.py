"""``hyperparams.yaml`` and ``label_encoder.txt`` of SpeechBrain, read as data: no constructor in them is called."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emotions.errors import first_line
from emotions.files.content import open_regular
from export.importers.yaml_data import TAG, read_yaml
from training.models.frontends.hub import Checkpoint

HYPERPARAMS, LABELS = "hyperparams.yaml", "label_encoder.txt"
_ENCODERS = re.compile(r"!?new:speechbrain\.[\w.]+\.(HuggingFaceWav2Vec2|Wav2Vec2|HuBERT|WavLM)")
_POOLING = re.compile(r"!?new:speechbrain\.nnet\.pooling\.StatisticsPooling")
_LINEAR = re.compile(r"!?new:speechbrain\.nnet\.linear\.Linear")
_REFERENCE = re.compile(r"<(\w+)>")
_LABEL = re.compile(r"(['\"])(?P<label>.+)\1 => (?P<number>\d{1,6})")
_MAX_BYTES = 1 << 20
# Options of the parts that change what they compute, and what they have to be.
_ENCODER_PLAIN = {"output_all_hiddens": False}
_LINEAR_PLAIN: dict[str, Any] = {"max_norm": None, "combine_dims": False}


@dataclass(frozen=True)
class Hyperparams:
    """What a recipe says of its network.

    Attributes:
        encoder: name of the pre-trained encoder.
        output_norm: its frames are normalised.
        classes: outputs.
        bias: the last layer has one.
    """

    encoder: object
    output_norm: bool
    classes: int
    bias: bool


def parts_of(checkpoint: Checkpoint) -> dict[str, Mapping[str, Any]]:
    """The encoder, pooling and last layer of a recipe as mappings; empty ones where it has others. Raises ConfigError.

    Args:
        checkpoint: the folder.
    """
    settings = read_yaml(checkpoint, HYPERPARAMS)
    wanted = {"wav2vec2": _ENCODERS, "avg_pool": _POOLING, "output_mlp": _LINEAR}
    return {name: _resolved(settings, name, tag) for name, tag in wanted.items()}


def _resolved(settings: Mapping[str, Any], name: str, tag: re.Pattern[str]) -> Mapping[str, Any]:
    part = settings.get(name)
    if not isinstance(part, Mapping) or not tag.fullmatch(str(part.get(TAG))):
        return {}
    return {key: _referred(value, settings) for key, value in part.items()}


def _referred(value: Any, settings: Mapping[str, Any]) -> Any:
    """What ``!ref <name>`` refers to; anything else as it is."""
    found = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    return settings.get(found[1]) if found else value


def read_hyperparams(checkpoint: Checkpoint) -> Hyperparams:
    """The network of a recipe. Raises ConfigError where it has another.

    Args:
        checkpoint: the folder.
    """
    parts = parts_of(checkpoint)
    encoder, pooling, output = parts["wav2vec2"], parts["avg_pool"], parts["output_mlp"]
    if pooling.get("return_std", True) is not False or pooling.get("return_mean", True) is not True:
        raise checkpoint.error(f"{{}}: {HYPERPARAMS} pools by more than the mean, which is not supported")
    for part, plain in ((encoder, _ENCODER_PLAIN), (output, _LINEAR_PLAIN)):
        for key, value in plain.items():
            if part.get(key, value) != value:
                raise checkpoint.error(f"{{}}: {HYPERPARAMS} has {key}: {part[key]}, which is not supported")
    classes = output.get("n_neurons")
    if not isinstance(classes, int) or isinstance(classes, bool) or classes < 2:
        raise checkpoint.error(f"{{}}: {HYPERPARAMS} does not say how many outputs (n_neurons) there are")
    return Hyperparams(
        encoder=encoder.get("source"),
        output_norm=encoder.get("output_norm", False) is True,
        classes=classes,
        bias=output.get("bias", True) is True,
    )


def read_labels(checkpoint: Checkpoint) -> list[str]:
    """The labels of ``label_encoder.txt``, in the order of their numbers. Raises ConfigError.

    Args:
        checkpoint: the folder.
    """
    try:
        with open_regular(checkpoint.folder / LABELS) as stream:
            lines = stream.read(_MAX_BYTES).decode().splitlines()
    except (OSError, ValueError) as error:
        raise checkpoint.error(f"{{}} has no readable {LABELS} with its labels ({first_line(error)})") from error
    found = [_LABEL.fullmatch(line.strip()) for line in _before_the_rule(lines)]
    named = {int(match["number"]): match["label"].strip() for match in found if match}
    labels = [named[number] for number in sorted(named)]
    if sorted(named) != [*range(len(found))] or len({*labels}) < len(labels) or len(labels) < 2 or not all(labels):
        raise checkpoint.error(f"{{}}: {LABELS} does not name two or more labels, each once, by 0, 1, 2, ...")
    return labels


def _before_the_rule(lines: list[str]) -> list[str]:
    """The lines before ``=====``, after which SpeechBrain keeps settings of the encoder of labels."""
    end = next((number for number, line in enumerate(lines) if line.startswith("===")), len(lines))
    return [line for line in lines[:end] if line.strip()]
