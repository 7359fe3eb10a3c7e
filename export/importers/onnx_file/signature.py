"""What an ONNX classifier takes and gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from onnx import ModelProto, TensorProto, ValueInfoProto

from export.importers.onnx_file.read import refused

_RANKS = {1: "[samples]", 2: "[batch, samples]", 3: "[batch, 1, samples]"}


@dataclass(frozen=True)
class Signature:
    """The input and the output of a classifier.

    Attributes:
        input: name of the waveform.
        rank: of it: [samples], [batch, samples] or [batch, 1, samples].
        output: name of the scores, [classes] or [batch, classes].
    """

    input: str
    rank: int
    output: str


def signature_of(model: ModelProto, path: Path, classes: int) -> Signature:
    """What a graph takes and gives.

    Args:
        model: the graph.
        path: its file, for errors.
        classes: how many labels there are.

    Raises:
        ConfigError: that is not a waveform of any length, and a score for each label.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    for what, values in (("inputs", inputs), ("outputs", model.graph.output)):
        if len(values) != 1:
            names = ", ".join(value.name for value in values) or "none"
            raise refused(path, f"has {len(values)} {what} ({names}); a bundle has one, of a waveform or of scores")
    (waveform,), (scores,) = inputs, model.graph.output
    for value in (waveform, scores):
        if value.type.tensor_type.elem_type != TensorProto.FLOAT:
            raise refused(path, f"has {value.name} of another type than float32")
    _check_waveform(waveform, path)
    _check_scores(scores, path, classes)
    return Signature(waveform.name, len(_dims(waveform)), scores.name)


def _dims(value: ValueInfoProto) -> list[int]:
    """Sizes of the axes, 0 where one is free."""
    return [int(dim.dim_value) for dim in value.type.tensor_type.shape.dim]


def _check_waveform(value: ValueInfoProto, path: Path) -> None:
    dims = _dims(value)
    if len(dims) not in _RANKS:
        allowed = ", ".join(_RANKS.values())
        raise refused(path, f"takes {value.name} of {len(dims)} axes; a waveform is one of {allowed}")
    if dims[-1]:
        raise refused(path, f"takes exactly {dims[-1]:,} samples; export it anew with a free axis of samples")
    if any(dim > 1 for dim in dims[:-1]) or (len(dims) == len(_RANKS) and dims[1] != 1):
        raise refused(path, f"takes {value.name} of {dims}; a waveform has one channel, and any number in a batch")


def _check_scores(value: ValueInfoProto, path: Path, classes: int) -> None:
    dims = _dims(value)
    if len(dims) not in (1, 2) or (len(dims) == 2 and dims[0] > 1):
        raise refused(path, f"gives {value.name} of {dims}; scores are [classes] or [batch, classes]")
    if dims[-1] not in (0, classes):
        raise refused(path, f"gives {dims[-1]} scores, and --labels names {classes}")
