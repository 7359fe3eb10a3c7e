"""Layers in this process: the bare session fed from memory, and a folder from disk to table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emotions.folder import FileResult, predict_files
from emotions.predictor import Prediction, Predictor
from emotions.windows import FloatArray, IntArray, Windows
from serving.benchmark.clips import Clip
from serving.tables import open_table, row

BATCH_SIZES = (1, 2, 4, 8, 16, 32)
"""Windows in a batch that the bare session is tried with; the fastest is what the other layers compare with."""

PEER = "bentoml batchable"
"""Name of BentoML's plain batchable endpoint in layers and ratios."""


@dataclass(frozen=True)
class Pass:
    """One pass of a layer over all clips.

    Attributes:
        wall_sec: seconds that it took.
        cpu_sec: CPU seconds of this process: the layer's own, or the client's.
        server_cpu_sec: CPU seconds of the service.
        latencies_sec: seconds of each request.
        max_abs_diff: largest difference of a clip's probability to what the model says of it alone.
    """

    wall_sec: float
    cpu_sec: float
    server_cpu_sec: float = 0.0
    latencies_sec: tuple[float, ...] = ()
    max_abs_diff: float = 0.0


@dataclass(frozen=True)
class Layer:
    """Something that classifies all clips, once a call of ``run``."""

    name: str
    run: Callable[[], Pass]


def session_layers(predictor: Predictor, clips: Sequence[Clip]) -> list[Layer]:
    """The model alone, at each batch size: the same windows from memory, nothing decoded, nothing pooled."""
    samples, lengths = stacked([clip.windows for clip in clips])

    def layer(size: int) -> Layer:
        batches = [(samples[at : at + size], lengths[at : at + size]) for at in range(0, len(lengths), size)]

        def run() -> Pass:
            started, cpu = time.perf_counter(), time.process_time()
            for waveform, length in batches:
                predictor.session.run(waveform, length)
            return Pass(time.perf_counter() - started, time.process_time() - cpu)

        return Layer(session_name(size), run)

    return [layer(size) for size in BATCH_SIZES]


def session_name(size: int) -> str:
    """Name of the bare session's layer at a batch size."""
    return f"session batch {size}"


def stacked(clips: Sequence[Windows]) -> tuple[FloatArray, IntArray]:
    """All windows of all clips: (windows, samples) float32, zero-padded to the longest, and (windows,) int64."""
    lengths = np.concatenate([clip.lengths for clip in clips])
    samples = np.zeros((len(lengths), max(clip.samples.shape[1] for clip in clips)), np.float32)
    at = 0
    for clip in clips:
        count, width = clip.samples.shape
        samples[at : at + count, :width] = clip.samples
        at += count
    return samples, lengths


def folder_layers(predictor: Predictor, clips: Sequence[Clip], scratch: Path) -> list[Layer]:
    """A folder from disk, decoding included: to predictions, and to a table in the folder ``scratch``."""
    files = [clip.file for clip in clips]
    targets = predictor.manifest.targets

    def to_table() -> list[FileResult]:
        results = []
        with open_table(scratch / "table.csv", targets) as write:
            for result in predict_files(predictor, files):
                write(row(result, targets))
                results.append(result)
        return results

    runs = {"folder": lambda: [*predict_files(predictor, files)], "folder to table": to_table}
    return [Layer(name, _timed(run, clips)) for name, run in runs.items()]


def _timed(run: Callable[[], list[FileResult]], clips: Sequence[Clip]) -> Callable[[], Pass]:
    def timed() -> Pass:
        started, cpu = time.perf_counter(), time.process_time()
        results = run()
        wall_sec, cpu_sec = time.perf_counter() - started, time.process_time() - cpu
        answers = (result.prediction.probabilities if result.prediction else {} for result in results)
        return Pass(wall_sec, cpu_sec, max_abs_diff=largest_difference(answers, [clip.expected for clip in clips]))

    return timed


def largest_difference(answers: Iterable[dict[str, dict[str, float]]], expected: Sequence[Prediction]) -> float:
    """Largest difference between probabilities[target][label] of clips and what is expected; infinite if one lacks."""
    return max(
        abs(answer.get(target, {}).get(label, np.inf) - probability)
        for answer, prediction in zip(answers, expected, strict=True)
        for target, scores in prediction.probabilities.items()
        for label, probability in scores.items()
    )
