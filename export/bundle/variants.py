"""The artifacts of a model in addition to its ONNX graph: written, opened as users do, proven, variants gated."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto

from emotions.bundle.manifest import LENGTH, WAVEFORM, Device, Variant
from emotions.bundle.probe import Probe
from emotions.runtime.batch_shape import Run
from emotions.runtime.cores import available_cores
from emotions.runtime.session import onnx_run, onnx_session
from export.bundle.gate_clips import gate_clips
from export.bundle.relative_speed import relative_speed
from export.graph.deployable import Deployable
from export.graph.fp16 import to_half
from export.graph.fp16_rounding import rounded_as_fp16
from export.graph.frame_blocks import frame_blocks
from export.graph.int8 import rounded, to_int8
from export.graph.onnx_files import model_bytes, write_onnx
from export.graph.packed import packed
from export.graph.to_onnx import to_onnx
from export.graph.torch_programs import open_pt2, open_torchscript, write_pt2, write_torchscript
from export.proof.gate import GateClips, Verdict, judge
from export.proof.proof import MAX_BATCH_DIFFERENCE, Proof, prove
from export.proof.signals import Signals
from export.sources import Source
from training.models.base import Classifier

FP32 = "fp32"
MODEL = "model.onnx"
VARIANT_BATCH_DIFFERENCE = 1e-2
"""Between a window alone and in a batch, of a variant: rounding turns the last digits of fp32 into steps."""
_ANY = 1.0
_PROGRAMS: dict[str, tuple[str, Callable[..., None], Callable[..., Run]]] = {
    "torchscript": ("model.ts", write_torchscript, open_torchscript),
    "pt2": ("model.pt2", write_pt2, open_pt2),
}
_DEVICES: dict[str, Device] = {"fp16": "cuda", "int8": "cpu"}
WEIGHTS_ONLY = "weights in eight bits, computed in fp32"
"""Form of an int8 variant whose model loses too much by computing in eight bits, or is slower: smaller than fp32."""
_SLOWER = 0.95
"""Of fp32's speed: below it int8 does not pay."""


@dataclass(frozen=True)
class ExportOptions:
    """What a bundle is to hold in addition to its ONNX graph.

    Attributes:
        formats: ``torchscript``, ``pt2``; ``onnx`` is there whether it is named or not.
        variants: ``fp16``, ``int8``.
        allow_loss: keep variants that lose more than they may, to run where they are named.
        embedding: the graphs answer the input of their output layers, too.
        max_risk: answer unknown where it takes that to keep the share of errors at this.
        evaluation: folder of a report on the same model and data by folds, to be quoted.
    """

    formats: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    allow_loss: bool = False
    embedding: bool = False
    max_risk: float | None = None
    evaluation: Path | None = None


@dataclass(frozen=True)
class Artifact:
    """One form of the model in a bundle's folder: its file, what it is made for, what was measured, how it computes."""

    file: str
    device: Device
    proof: Proof
    verdict: Verdict | None = None
    form: str = ""

    def figures(self) -> dict[str, Any]:
        """What was measured, as JSON."""
        gate = {} if self.verdict is None else {"gate": self.verdict.figures()}
        return {**self.proof.figures(), **gate, **({"form": self.form} if self.form else {})}


@dataclass(frozen=True)
class Artifacts:
    """The artifacts of a bundle, ``fp32`` first, and the variants that lost too much to be kept."""

    kept: dict[str, Artifact]
    refused: dict[str, Verdict] = field(default_factory=dict)

    @property
    def lossy(self) -> dict[str, Verdict]:
        """The kept variants that lose more than they may."""
        verdicts = {name: artifact.verdict for name, artifact in self.kept.items()}
        return {name: verdict for name, verdict in verdicts.items() if verdict is not None and verdict.faults}

    def variants(self, folder: Path, files: dict[str, str]) -> dict[str, Variant]:
        """The kept artifacts as the manifest lists them.

        Args:
            folder: the bundle's folder.
            files: SHA-256 of each file, by name.
        """
        return {
            name: Variant(
                file=artifact.file,
                bytes=model_bytes(folder / artifact.file),
                sha256=files[artifact.file],
                device=artifact.device,
                max_abs_diff=artifact.proof.max_abs_diff,
                agreement=artifact.proof.agreement,
            )
            for name, artifact in self.kept.items()
        }


@dataclass(frozen=True)
class ExportContext:
    """What artifacts are made from and measured on: ``run`` runs the fp32 ``graph``."""

    folder: Path
    source: Source
    model: Deployable
    graph: ModelProto
    run: Run
    signals: Signals
    probe: Probe
    seed: int


def onnx_runner(path: Path, source: Source) -> Run:
    """Open a graph on the CPU.

    Args:
        path: the ONNX file.
        source: the model that it was made from; names the outputs.
    """
    return _trimmed(onnx_run(onnx_session(path, threads=available_cores()), list(source.targets)), source)


def _trimmed(run: Run, source: Source) -> Run:
    """Give a graph of dynamic windows no more samples than the longest of a batch has."""
    if not source.window.dynamic:
        return run
    return lambda waveform, length: run(waveform[:, : length.max()], length)


def make_artifacts(context: ExportContext, fp32: Artifact, options: ExportOptions, data: Path | None) -> Artifacts:
    """Make and prove the formats and variants that were asked for.

    Args:
        context: what to make them from.
        fp32: the ONNX graph, proven.
        options: what to make; ExportError where one cannot be made, or does not answer as the model does.
        data: recordings that variants are judged on; by default the run's validation clips.
    """
    kept: dict[str, Artifact] = {FP32: fp32}
    refused: dict[str, Verdict] = {}
    kept.update((name, _program(context, name)) for name in options.formats if name in _PROGRAMS)
    if not options.variants:
        return Artifacts(kept)
    clips = gate_clips(context.source, data, context.seed)
    for name in options.variants:
        found = _judged(context, name, "", clips)
        if name == "int8" and not options.allow_loss and (reason := _lost(found) or _slow(context, found)):
            found = _weights_only(context, found, clips, reason)
        if found.verdict and found.verdict.faults and not options.allow_loss:
            refused[name] = found.verdict
            for file in context.folder.glob(f"{found.file}*"):  # and its weights, where they are in a second file
                file.unlink()
        else:
            kept[name] = found
    return Artifacts(kept, refused)


def _judged(context: ExportContext, name: str, form: str, clips: GateClips) -> Artifact:
    with _variant(context, name, form) as (artifact, run):
        return replace(artifact, verdict=judge(context.run, run, clips, context.source.targets, context.source.ranges))


def _lost(artifact: Artifact) -> str:
    """What an artifact loses, in words; empty for nothing."""
    return "; ".join(artifact.verdict.faults) if artifact.verdict else ""


def _slow(context: ExportContext, artifact: Artifact) -> str:
    """That an artifact is slower than fp32, in words; empty where it is not."""
    speed = relative_speed(context.folder / MODEL, context.folder / artifact.file, context.source, context.signals)
    return f"it has {speed:.2f} of fp32's speed" if speed is not None and speed < _SLOWER else ""


def _weights_only(context: ExportContext, computed: Artifact, clips: GateClips, reason: str) -> Artifact:
    """The same model with small weights alone, where that passes; else what it was made instead of."""
    found = _judged(context, "int8", WEIGHTS_ONLY, clips)
    if not _lost(found):
        return replace(found, form=f"{WEIGHTS_ONLY}, as in eight bits {reason}")
    return computed if _lost(computed) else replace(computed, device="any", form=f"runs where it is named: {reason}")


def _program(context: ExportContext, name: str) -> Artifact:
    file, write, load = _PROGRAMS[name]
    window = context.source.window
    # The guards of torch.export would refuse some lengths of the models that are trained here: it takes whole windows.
    whole = name == "pt2" and isinstance(context.source.classifier, Classifier)
    write(context.folder / file, context.model, window.samples, window.dynamic and not whole)
    run = _trimmed(load(context.folder / file, list(context.source.targets)), context.source)
    return Artifact(file, "any", _proven(context, run, context.source.plan.tolerance))


@contextlib.contextmanager
def _variant(context: ExportContext, name: str, form: str) -> Iterator[tuple[Artifact, Run]]:
    """A smaller variant, proven, and what runs it as its device does."""
    file = f"model.{name}.onnx"
    smaller = _smaller(context, name, form)
    write_onnx(context.folder / file, packed(smaller))
    run = on_cpu = onnx_runner(context.folder / file, context.source)
    with tempfile.TemporaryDirectory(dir=context.folder) as scratch:
        if name == "fp16":
            write_onnx(Path(scratch, file), rounded_as_fp16(smaller))
            run = onnx_runner(Path(scratch, file), context.source)
        proof = _proven(context, run, _ANY, VARIANT_BATCH_DIFFERENCE)
        # Whoever names it may run it on a CPU, too.
        proof = replace(proof, max_abs_diff=max(proof.max_abs_diff, _off(context, on_cpu)))
        yield Artifact(file, "any" if form else _DEVICES[name], proof, form=form), run


def _smaller(context: ExportContext, name: str, form: str) -> ModelProto:
    fixed = {constant for constant, _ in context.model.named_buffers()}
    if name == "fp16":
        return to_half(_gpu_graph(context), fixed)
    if form == WEIGHTS_ONLY:
        return rounded(context.graph, fixed)
    recordings = slice(len(context.signals) - context.signals.special)
    windows: dict[str, np.typing.NDArray[Any]] = {
        WAVEFORM: context.signals.waveform[recordings],
        LENGTH: context.signals.length[recordings],
    }
    return to_int8(context.graph, windows, fixed, context.source.window.dynamic)


def _gpu_graph(context: ExportContext) -> ModelProto:
    """The graph in fp32 that fp16 is made of: its own where that lets GPUs fuse attention."""
    window = context.source.window
    with frame_blocks(context.model) as changed:
        return to_onnx(context.model, window.samples, window.dynamic) if changed else context.graph


def _proven(context: ExportContext, run: Run, tolerance: float, batch_tolerance: float = MAX_BATCH_DIFFERENCE) -> Proof:
    """The proof of a artifact; what it differs by on the probe counts too, as every start replays it."""
    expected = context.source.original or context.model
    options: dict[str, Any] = {"tolerance": tolerance, "batch_tolerance": batch_tolerance}
    proof = prove(expected, run, context.signals, context.seed, ranges=context.source.ranges, **options)
    return replace(proof, max_abs_diff=max(proof.max_abs_diff, _off(context, run)))


def _off(context: ExportContext, run: Run) -> float:
    """Largest difference of an answer from the probe's."""
    return max(context.probe.differences(run(context.probe.waveform, context.probe.length)).values())
