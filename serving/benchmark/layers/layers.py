"""Layers in this process: the bare session, the predictor, the batcher, and a folder from disk to table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from emotions.audio import decode
from emotions.audio.windows import FloatArray, IntArray, Windows
from emotions.folder.predict_files import ParallelRuns, open_parallel, predict_files
from emotions.folder.result import FileResult
from emotions.inputs.input_file import InputFile
from emotions.predictor import Predictor
from emotions.runtime.batcher import Batcher
from emotions.runtime.prediction import Model
from serving.benchmark.driver.clips import Clip
from serving.benchmark.driver.passes import Layer, Pass, largest_difference
from serving.benchmark.scenarios.names import Scenario
from serving.tables.columns import Row, columns
from serving.tables.writer import open_part, rows

Probabilities = dict[str, dict[str, float]]
"""Target -> label -> probability."""
BATCH_SIZES = (1, 2, 4, 8, 16, 32)
"""Windows in a batch that the bare session is tried with; the fastest is what the other layers compare with."""
PREDICTOR = "predictor"
"""Name of the layer that classifies one recording after the other."""
STAGES = ("decode", "windows", "model", "pool")
"""What the predictor spends its time on, in this order."""
CALLERS = (1, 16)
"""Threads that the batcher is called from: as many as the service is given connections."""
_MOST_WINDOWS = 16  # the service's own on a CPU
CONNECTIONS = (1, 16)
"""Connections that a service is driven with: one for its latency, many for its throughput."""
SERVICE, NULL_MODEL = "service", "http, fake model"
"""Names of the service in layers: as it is, and without its model."""


def session_layers(predictor: Predictor, clips: Sequence[Clip]) -> list[Layer]:
    """The model alone, at each batch size: the same windows from memory, nothing decoded, nothing pooled.

    Args:
        predictor: the model.
        clips: whose windows it runs on.
    """
    samples, lengths = stacked([clip.windows for clip in clips])

    def run(size: int) -> Pass:
        batches = [(samples[at : at + size], lengths[at : at + size]) for at in range(0, len(lengths), size)]
        started, cpu = time.perf_counter(), time.process_time()
        for waveform, length in batches:
            predictor.session.run(waveform, length)
        return Pass(time.perf_counter() - started, time.process_time() - cpu)

    return [Layer(session_name(size), partial(run, size)) for size in BATCH_SIZES]


def session_name(size: int) -> str:
    """Name of the bare session's layer at a batch size."""
    return f"session batch {size}"


def layers_in_process(
    scenarios: Sequence[Scenario], predictor: Predictor, clips: Sequence[Clip], scratch: Path
) -> list[Layer]:
    """The layers of scenarios that need no server, and the bare session, which others compare with.

    Args:
        scenarios: what to measure.
        predictor: the model, and its bundle, variant, device and threads for others like it.
        clips: the recordings.
        scratch: folder for a table.
    """
    layers = session_layers(predictor, clips)
    if "waterfall" in scenarios:
        layers.append(Layer(PREDICTOR, lambda: _predicted(predictor, clips)))
        layers += [Layer(batcher_name(callers), partial(_batched, predictor, clips, callers)) for callers in CALLERS]
    if "folder" in scenarios:
        layers += _folder_layers(predictor, clips, scratch / "table.csv")
    return layers


def _predicted(predictor: Predictor, clips: Sequence[Clip]) -> Pass:
    """One recording after the other, from its bytes to its prediction, each stage timed."""
    spent = dict.fromkeys(STAGES, 0.0)
    started, cpu = time.perf_counter(), time.process_time()
    answers = [_staged(predictor, clip.content, spent) for clip in clips]
    return replace(_pass(started, cpu, answers, clips), stages_sec=spent)


def _pass(started: float, cpu: float, answers: Iterable[Probabilities], clips: Sequence[Clip]) -> Pass:
    """A pass that began then, by both clocks, and has just ended."""
    wall_sec, cpu_sec = time.perf_counter() - started, time.process_time() - cpu
    return Pass(wall_sec, cpu_sec, max_abs_diff=largest_difference(answers, [clip.expected for clip in clips]))


def _staged(predictor: Predictor, content: bytes, spent: dict[str, float]) -> Probabilities:
    """Classify a recording as ``Predictor.predict`` does, and add the seconds of each stage to ``spent``."""
    times = [time.perf_counter()]
    waveform = decode.decode(content)
    times.append(time.perf_counter())
    windows = predictor.split(waveform)
    times.append(time.perf_counter())
    answer = predictor.session.run(windows.samples, windows.lengths)
    times.append(time.perf_counter())
    prediction = predictor.prediction(windows, answer)
    times.append(time.perf_counter())
    for stage, (begin, end) in zip(STAGES, pairwise(times), strict=True):
        spent[stage] += end - begin
    return prediction.answers


def batcher_name(callers: int) -> str:
    """Name of the batcher's layer at a number of callers."""
    return f"batcher {callers} caller{'s' if callers > 1 else ''}"


def _batched(predictor: Predictor, clips: Sequence[Clip], callers: int) -> Pass:
    """The service's batcher without HTTP: windows from memory, from one caller or many."""
    batcher = Batcher(predictor.session.run, max_batch=_MOST_WINDOWS)
    with ThreadPoolExecutor(callers, thread_name_prefix="caller") as pool:
        started, cpu = time.perf_counter(), time.process_time()
        answers = [*pool.map(lambda clip: batcher.submit(clip.windows).result(), clips)]
        named = (
            predictor.prediction(clip.windows, answer.probabilities).answers
            for clip, answer in zip(clips, answers, strict=True)
        )
        measured = _pass(started, cpu, named, clips)
    batcher.close()
    return measured


def _folder_layers(predictor: Predictor, clips: Sequence[Clip], table: Path) -> list[Layer]:
    """A folder from disk as it is done by default, decoding included: to predictions, and to a table."""
    session = predictor.session
    opened, runs = open_parallel(
        predictor.bundle.path, device=session.device, variant=session.variant, threads=session.threads
    )
    files = [clip.file for clip in clips]

    def timed(classify: Callable[[], list[FileResult]]) -> Pass:
        started, cpu = time.perf_counter(), time.process_time()
        results = classify()
        answers = (result.prediction.answers if result.prediction else {} for result in results)
        return _pass(started, cpu, answers, clips)

    return [
        Layer("folder", lambda: timed(lambda: [*predict_files(opened, files, parallel_batches=runs)])),
        Layer("folder to table", lambda: timed(lambda: predict_to_csv(opened, runs, files, table))),
    ]


def predict_to_csv(
    model: Model, parallel_batches: ParallelRuns, files: Sequence[InputFile], path: Path
) -> list[FileResult]:
    """Classify files and write their rows, as ``emotions predict`` does for each chunk of a folder.

    Args:
        model: a loaded bundle.
        parallel_batches: what each of the batches that run at once goes to.
        files: what to classify.
        path: the table, without a header.
    """
    names = columns(
        model.manifest.targets, unknown_targets=model.manifest.thresholds, dimensional=model.manifest.ranges
    )
    template: Row = dict.fromkeys(names)
    results = []
    with open_part(path, names) as write:
        for result in predict_files(model, files, parallel_batches=parallel_batches):
            for cells in rows(result, template):
                write(cells)
            results.append(result)
    return results


def stacked(clips: Sequence[Windows]) -> tuple[FloatArray, IntArray]:
    """All windows of all clips: (windows, samples) float32, zero-padded to the longest, and (windows,) int64."""
    lengths = np.concatenate([clip.lengths for clip in clips])
    longest = max(clip.samples.shape[1] for clip in clips)
    padded = [np.pad(clip.samples, ((0, 0), (0, longest - clip.samples.shape[1]))) for clip in clips]
    return np.concatenate(padded), lengths
