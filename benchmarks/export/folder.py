"""A folder through the bundle of a Hugging Face classifier, and through the transformers pipeline: the same files."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import soundfile
import torch
from transformers import AudioClassificationPipeline, Wav2Vec2Config

from benchmarks.export.huggingface import make_classifier, pipeline_of
from emotions.errors import DataError
from emotions.files.atomic import scratch_folder
from emotions.folder.predict_files import open_parallel, predict_files
from emotions.inputs.discovery import find_files
from emotions.inputs.input_file import InputFile
from export.bundle.export import export_source
from export.bundle.variants import ExportOptions
from export.huggingface.source import load_huggingface
from serving.benchmark.driver.clips import evenly_spread
from serving.benchmark.driver.interleaved import race

TARGETS = {"fp32": 1.15, "int8": 1.8}
"""How many times as fast as the pipeline a form is at least to be."""


def benchmark(
    data: Path, files: int, threads: int, rounds: int, config: Any = None, output: Path | None = None
) -> Iterator[str]:
    """Convert a classifier with random weights and race it; yields the lines of the report as they come.

    Args:
        data: folder of recordings.
        files: how many of them, spread evenly.
        threads: CPU threads of each side.
        rounds: how often every side takes its turn.
        config: of the classifier; by default that of a base-size wav2vec2.
        output: folder to keep the checkpoint and its bundle in; those that are there are only raced anew.

    Raises:
        DataError: there are no recordings.
    """
    torch.set_num_threads(threads)
    found = find_files([data]).files
    if not found:
        raise DataError(f"{data}: holds no recording to race on")
    with scratch_folder("emotions-benchmark") as name:
        clips = name / "clips"
        chosen = _copied(evenly_spread(found, files), clips)
        seconds = sum(soundfile.info(file.path).duration for file in chosen)
        checkpoint, bundle = _converted(output or Path(name), config or Wav2Vec2Config(), clips)
        sides = {f"folder {variant}": _folder(bundle, variant, threads, chosen) for variant in TARGETS}
        peer = pipeline_of(checkpoint)
        taken = race({**sides, "transformers": lambda: _classified(peer, chosen)}, rounds)
    yield f"{len(chosen)} files, {seconds:.1f} s of audio, {threads} threads, medians of {rounds} interleaved rounds"
    for side, spent in taken.items():
        yield f"{side}: {len(chosen) / spent:.2f} clips/s, {seconds / spent:.1f} times real time"
    for variant, least in TARGETS.items():
        ratio = taken["transformers"] / taken[f"folder {variant}"]
        yield f"{variant} to transformers: {ratio:.2f} times as fast (at least {least})"


def _converted(folder: Path, config: Any, clips: Path) -> tuple[Path, Path]:
    """A checkpoint with random weights and its bundle with both forms, made unless they are there already."""
    checkpoint, bundle = folder / "checkpoint", folder / "bundle"
    if not bundle.exists():
        make_classifier(checkpoint, config)
        # Random weights respond little, so that eight bits change more of it than the gate lets through.
        wanted = ExportOptions(variants=("int8",), allow_loss=True)
        export_source(lambda: load_huggingface(str(checkpoint)), bundle, "raced", data=clips, wanted=wanted)
    return checkpoint, bundle


def _copied(files: Sequence[InputFile], folder: Path) -> tuple[InputFile, ...]:
    """Copies of files in one folder: they are what the forms are judged on, too."""
    folder.mkdir()
    for number, file in enumerate(files):
        shutil.copy(file.path, folder / f"{number:04}{file.path.suffix}")
    return find_files([folder]).files


def _folder(bundle: Path, variant: str, threads: int, files: Sequence[InputFile]) -> Callable[[], object]:
    predictor, parallel_batches = open_parallel(bundle, device="cpu", variant=variant, threads=threads)

    def run() -> None:
        for result in predict_files(predictor, files, decode_threads=threads, parallel_batches=parallel_batches):
            if result.error is not None:
                raise DataError(f"{result.name}: {result.error}")

    return run


def _classified(pipeline: AudioClassificationPipeline, files: Sequence[InputFile]) -> list[Any]:
    """What the pipeline says of files, one after the other: batches would be padded, which changes its answers."""
    answers = []
    for file in files:
        samples, rate = soundfile.read(file.path, dtype="float32")
        answers.append(pipeline({"raw": samples, "sampling_rate": rate}, top_k=None))
    return answers
