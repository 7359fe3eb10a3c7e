"""A bare ONNX classifier as the source of a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from onnx import ModelProto
from torch import Tensor, nn

from emotions.audio.decode import MIN_SAMPLES, SAMPLE_RATE
from emotions.audio.synthetic_speech import synthetic_speech
from emotions.audio.windows import FloatArray
from emotions.bundle.manifest import Window
from emotions.errors import ConfigError, ExportError, first_line
from emotions.files.content import sha256
from export.graph.to_onnx import check_graph
from export.huggingface.source import TARGET, checked_target
from export.importers.onnx_file.read import KEY, read_model, refused
from export.importers.onnx_file.resampling import Resampling
from export.importers.onnx_file.signature import Signature, signature_of
from export.importers.onnx_file.wrap import wrapped
from export.importers.own_source import CROP, WINDOW
from export.sources import ProofPlan, Source

KINDS = ("logits", "probabilities")
"""What the scores of a graph are."""
_SHORTEST = (MIN_SAMPLES, 800, 1_600, 3_200, 8_000, 16_000)
"""Samples that a graph is tried on: the first that it takes are the fewest that it gets."""
_SUM_TOLERANCE = 1e-3
_TINY = 1e-12


@dataclass(frozen=True)
class OnnxOptions:
    """What the user says of a file.

    Attributes:
        labels: in the order of its scores.
        target: what they are of.
        sampling_rate: of the waveform that it takes, in Hz.
        output_kind: what its scores are; by default what they look like.
    """

    labels: tuple[str, ...]
    target: str = TARGET
    sampling_rate: int = SAMPLE_RATE
    output_kind: str | None = None


def onnx_source(path: Path, options: OnnxOptions) -> Source:
    """A classifier in an ONNX file, ready to be exported.

    Args:
        path: the file; its weights may lie in others of the same folder.
        options: what it does not say itself.

    Raises:
        ConfigError: it cannot be read, is no classifier of a waveform, or cannot be run; the message says why.
        ExportError: it needs an operator that ONNX Runtime does not run on a GPU.
    """
    target = checked_target(options.target)
    resampling = Resampling(options.sampling_rate)
    if options.output_kind not in (None, *KINDS):
        raise ConfigError(f"--output-kind: {options.output_kind!r} is none; allowed are {' and '.join(KINDS)}")
    model = read_model(path)
    signature = signature_of(model, path, len(options.labels))
    alone = Alone(model, signature, resampling, path)
    shortest = alone.find_shortest()
    softmax = _is_logits(alone, options, path)
    alone.softmax, alone.targets, alone.shortest = softmax, (target,), shortest
    graph = wrapped(
        model, signature, target, len(options.labels), softmax=softmax, resampling=resampling, shortest=shortest
    )
    check_graph(graph, [target])
    sizes = {"shortest": shortest, "sampling_rate": options.sampling_rate}
    return Source(
        classifier=Logarithm(alone),
        targets={target: [*options.labels]},
        window=Window(samples=WINDOW, hop_samples=WINDOW, dynamic=True),
        description={"model": "OnnxFile", "config": {"output_kind": KINDS[not softmax], **sizes}},
        name=path.stem,
        plan=ProofPlan(CROP, whole=True),
        original=alone,
        encoder={"family": "onnx", "file_sha256": sha256(path)},
        extra={"source": "onnx", "importer": "onnx"},
        graph=graph,
    )


class Alone(nn.Module):
    """The file as it is, run on one clip at a time: what a bundle is proven against."""

    def __init__(self, model: ModelProto, signature: Signature, resampling: Resampling, path: Path) -> None:
        super().__init__()
        self.signature, self.resampling, self.path = signature, resampling, path
        self.softmax, self.shortest = True, MIN_SAMPLES
        self.targets: tuple[str, ...] = ()
        options = ort.SessionOptions()
        options.log_severity_level = 4
        try:
            content = model.SerializeToString()
            self.session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise refused(path, f"cannot be run ({first_line(error)})") from error

    def scores(self, clip: FloatArray) -> FloatArray:
        """(samples,) float32 at 16 kHz in; (classes,) out."""
        shaped = self.resampling(clip).reshape([1] * (self.signature.rank - 1) + [-1])
        (found,) = self.session.run([self.signature.output], {self.signature.input: shaped})
        return np.asarray(found, np.float32).reshape(-1)

    def find_shortest(self) -> int:
        """The fewest samples of those tried that the file takes. Raises ConfigError."""
        clip = synthetic_speech(_SHORTEST[-1], np.random.default_rng(0))
        reason = ""
        for samples in _SHORTEST:
            try:
                if np.isfinite(self.scores(clip[:samples])).all():
                    return samples
                reason = "NaN or infinity"
            except Exception as error:  # noqa: BLE001 - of ONNX Runtime
                reason = first_line(error)
        raise refused(self.path, f"does not answer a clip of {_SHORTEST[-1]:,} samples ({reason})")

    def forward(self, waveform: Tensor, length: Tensor) -> tuple[Tensor, ...]:
        """(1, samples) float32 and (1,) int64 in; (1, classes) probabilities out."""
        clip = waveform[0, : int(length[0])].numpy()
        clip = np.pad(clip, (0, max(self.shortest - len(clip), 0)))
        try:
            scores = torch.from_numpy(self.scores(clip))[None]
        except Exception as error:
            raise ExportError(f"{KEY}: {self.path.name} cannot be run ({first_line(error)})") from error
        return (scores.softmax(dim=1) if self.softmax else scores,)


class Logarithm(nn.Module):
    """The same as logits, one clip after the other."""

    def __init__(self, alone: Alone) -> None:
        super().__init__()
        self.alone = alone

    def forward(self, waveform: Tensor, length: Tensor) -> dict[str, Tensor]:
        """(batch, samples) float32 and (batch,) int64 in; target -> (batch, classes) out."""
        rows = [self.alone(waveform[row : row + 1], length[row : row + 1])[0] for row in range(len(length))]
        return {self.alone.targets[0]: torch.cat(rows).clamp_min(_TINY).log()}


def _is_logits(alone: Alone, options: OnnxOptions, path: Path) -> bool:
    """Whether scores are logits: as the user says, where that can be; else as they look."""
    random = np.random.default_rng(0)
    scores = [alone.scores(synthetic_speech(samples, random)) for samples in (16_000, 24_000, 40_000)]
    if any(len(found) != len(options.labels) for found in scores):
        raise refused(path, f"gives {len(scores[0])} scores for a clip, and --labels names {len(options.labels)}")
    summed = _sum_to_one(scores)
    if options.output_kind is not None and summed != (options.output_kind == "probabilities"):
        does = "add up to 1" if summed else "do not add up to 1"
        raise refused(path, f"gives scores that {does}, so they are no {options.output_kind}")
    return not summed


def _sum_to_one(scores: Sequence[FloatArray]) -> bool:
    return all(found.min() >= 0 and abs(float(found.sum()) - 1) < _SUM_TOLERANCE for found in scores)
