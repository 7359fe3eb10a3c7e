"""Every form of a model beyond its ONNX graph: written, opened as its users do, proven, and variants gated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto

from emotions.audio.windows import FloatArray, IntArray
from emotions.bundle.manifest import LENGTH, WAVEFORM, Device, Variant
from emotions.bundle.probe import Probe
from emotions.runtime.session import Probabilities, Run, available_cores, onnx_session
from export.bundle.gate_clips import gate_clips
from export.graph.deployable import Deployable
from export.graph.fp16 import to_half
from export.graph.int8 import to_int8
from export.graph.onnx_files import model_bytes, write_onnx
from export.graph.torch_programs import open_pt2, open_torchscript, write_pt2, write_torchscript
from export.proof.gate import Verdict, judge
from export.proof.proof import MAX_BATCH_DIFFERENCE, Proof, prove
from export.proof.signals import Signals
from export.sources import Source

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
    """One form of the model in a bundle's folder: its file, what it is made for, and what was measured."""

    file: str
    device: Device
    proof: Proof
    verdict: Verdict | None = None

    def figures(self) -> dict[str, Any]:
        """What was measured, as JSON."""
        return {**self.proof.figures(), **({} if self.verdict is None else {"gate": self.verdict.figures()})}


@dataclass(frozen=True)
class Artifacts:
    """The forms that a bundle holds, ``fp32`` first, and the variants that lost too much to be kept."""

    kept: dict[str, Artifact]
    refused: dict[str, Verdict] = field(default_factory=dict)

    @property
    def lossy(self) -> dict[str, Verdict]:
        """The kept variants that lose more than they may."""
        verdicts = {name: form.verdict for name, form in self.kept.items()}
        return {name: verdict for name, verdict in verdicts.items() if verdict is not None and verdict.faults}

    def variants(self, folder: Path, files: dict[str, str]) -> dict[str, Variant]:
        """The kept forms as the manifest lists them; ``files`` are the hashes by name."""
        return {
            name: Variant(
                file=form.file,
                bytes=model_bytes(folder / form.file),
                sha256=files[form.file],
                device=form.device,
                max_abs_diff=form.proof.max_abs_diff,
                agreement=form.proof.agreement,
            )
            for name, form in self.kept.items()
        }


@dataclass(frozen=True)
class ExportContext:
    """What forms are made from and measured on."""

    folder: Path
    source: Source
    model: Deployable
    graph: ModelProto
    signals: Signals
    probe: Probe
    seed: int


def onnx_runner(path: Path, source: Source) -> Run:
    """Run a graph of a source's targets and window."""
    session, targets = onnx_session(path, threads=available_cores()), list(source.targets)

    def run(waveform: FloatArray, length: IntArray) -> Probabilities:
        return dict(zip(targets, session.run(targets, {WAVEFORM: waveform, LENGTH: length}), strict=True))

    return trimmed(run, source)


def trimmed(run: Run, source: Source) -> Run:
    """Give a graph of a free length no more samples than the longest of a batch has."""
    if not source.window.dynamic:
        return run
    return lambda waveform, length: run(waveform[:, : length.max()], length)


def make_forms(bench: ExportContext, fp32: Artifact, run: Run, wanted: ExportOptions, data: Path | None) -> Artifacts:
    """Make what else is wanted.

    Args:
        bench: what to make it from.
        fp32: the ONNX graph, proven.
        run: runs it.
        wanted: what to make.
        data: recordings that variants are judged on; by default the run's validation clips.

    Raises:
        ExportError: a form cannot be made, or does not answer as the model does.
    """
    kept: dict[str, Artifact] = {FP32: fp32}
    refused: dict[str, Verdict] = {}
    kept.update((name, _program(bench, name)) for name in wanted.formats if name in _PROGRAMS)
    if not wanted.variants:
        return Artifacts(kept)
    clips = gate_clips(bench.source, data, bench.seed)
    for name in wanted.variants:
        form = _variant(bench, name)
        verdict = judge(run, onnx_runner(bench.folder / form.file, bench.source), clips, bench.source.targets)
        if verdict.faults and not wanted.allow_loss:
            refused[name] = verdict
            _remove(bench.folder / form.file)
        else:
            kept[name] = replace(form, verdict=verdict)
    return Artifacts(kept, refused)


def _program(bench: ExportContext, name: str) -> Artifact:
    file, write, load = _PROGRAMS[name]
    window = bench.source.window
    write(bench.folder / file, bench.model, window.samples, window.dynamic)
    run = trimmed(load(bench.folder / file, list(bench.source.targets)), bench.source)
    return Artifact(file, "any", _proven(bench, run, bench.source.plan.tolerance))


def _variant(bench: ExportContext, name: str) -> Artifact:
    file = f"model.{name}.onnx"
    recordings = slice(len(bench.signals) - bench.signals.special)
    inputs: dict[str, Any] = {WAVEFORM: bench.signals.waveform[recordings], LENGTH: bench.signals.length[recordings]}
    fixed = {constant for constant, _ in bench.model.named_buffers()}
    dynamic = bench.source.window.dynamic
    smaller = to_half(bench.graph, fixed) if name == "fp16" else to_int8(bench.graph, inputs, fixed, dynamic)
    write_onnx(bench.folder / file, smaller)
    run = onnx_runner(bench.folder / file, bench.source)
    return Artifact(file, _DEVICES[name], _proven(bench, run, _ANY, VARIANT_BATCH_DIFFERENCE))


def _proven(bench: ExportContext, run: Run, tolerance: float, batch_tolerance: float = MAX_BATCH_DIFFERENCE) -> Proof:
    """The proof of a form; what it differs by on the probe counts too, as every start replays it."""
    expected = bench.source.original or bench.model
    proof = prove(expected, run, bench.signals, bench.seed, tolerance=tolerance, batch_tolerance=batch_tolerance)
    answers = run(bench.probe.waveform, bench.probe.length)
    off = max(float(np.abs(answers[name] - known).max()) for name, known in bench.probe.probabilities.items())
    return replace(proof, max_abs_diff=max(proof.max_abs_diff, off))


def _remove(path: Path) -> None:
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()
