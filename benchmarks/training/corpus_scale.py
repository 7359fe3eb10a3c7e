"""Time and memory of each step between a dataset and its first batch, with more and more clips."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from pydantic import TypeAdapter

from benchmarks.training import trial_start
from benchmarks.training.corpus import LABELS, batches
from benchmarks.training.peak import forget_peak, peak_mb
from benchmarks.training.tones import SEC, tones
from emotions.audio.decode import SAMPLE_RATE
from emotions.pipeline.runner import Context
from training.config.train import TrainStep
from training.corpus import cut_corpus, read_usable
from training.data.checks.check import check_dataset
from training.data.checks.leakage import audit, fingerprints
from training.data.split.splits import split_clips
from training.data.waveforms.waveform_cache import WaveformCache
from training.loop.precompute import precomputed

OWN_STEPS = ("read and decode", "split", "fingerprints", "audit", "features", "first batch", "data check")
STEPS = (*OWN_STEPS, *trial_start.STEPS)
_SPEAKERS = 60
_BATCH = 32
_WINDOW_SEC = 5.0


def compare_sizes(sizes: Sequence[int], longest: float = SEC) -> Iterator[str]:
    """Lines with the seconds, CPU seconds and peak memory of each step, for each number of clips.

    Args:
        sizes: numbers of clips.
        longest: seconds of the longest clip, as of ``tones``.
    """
    lasting = f"{SEC:g} s" if longest <= SEC else f"1 to {longest:g} s"
    yield f"from a dataset to the first batch, clips of {lasting} (seconds, CPU seconds, peak MB of the process;"
    yield "of the trials of a search the seconds before they train)"
    for clips in sizes:
        for step, (seconds, cpu, peak) in steps(clips, longest):
            yield f"  {clips:7d} clips  {step:24} {seconds:9.2f} {cpu:9.2f} {peak:9.0f}"


def steps(clips: int, longest: float = SEC) -> Iterator[tuple[str, list[float]]]:
    """Each step, once it has ended, and what it took: seconds, CPU seconds, peak resident MB.

    Args:
        clips: how many clips there are.
        longest: seconds of the longest, as of ``tones``.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.training.corpus_scale", folder, str(clips), str(longest)]
        settings = {**os.environ, "EMOTIONS_CACHE": str(Path(folder) / "cache")}
        with subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout or ():
                if line.startswith("{"):
                    yield from json.loads(line).items()
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)


def write_tones(folder: Path, clips: int, longest: float = SEC) -> Path:
    """Write tones with their annotations; returns the folder.

    Args:
        folder: is made.
        clips: how many.
        longest: seconds of the longest, as of ``tones``.
    """
    random = np.random.default_rng(1)
    folder.mkdir(parents=True)
    rows = {}
    for clip, wave in enumerate(tones(clips, longest)):
        name = f"{clip}.wav"
        soundfile.write(folder / name, wave, SAMPLE_RATE)
        speaker = clip % _SPEAKERS
        rows[name] = {"emotion": LABELS[random.integers(len(LABELS))], "speaker": f"s{speaker}", "recording": name}
    (folder / "annotations.json").write_text(json.dumps(rows))
    return folder


def _measure(folder: Path, clips: int, longest: float) -> None:
    raw = {
        "type": "train",
        "model": "FunctionalsClassifier",
        "dataset": {"path": str(write_tones(folder / "data", clips, longest)), "targets": ["emotion"]},
        "learn_params": {"padding_sec": 1.0 if longest <= SEC else _WINDOW_SEC},
    }
    step: Any = TypeAdapter(TrainStep).validate_python(raw)

    def told(name: str, took: list[float]) -> None:
        sys.stdout.write(json.dumps({name: took}) + "\n")
        sys.stdout.flush()

    def timed(name: str, work: Callable[[], Any]) -> Any:
        started, cpu = time.perf_counter(), time.process_time()
        forget_peak()
        done = work()
        told(name, [time.perf_counter() - started, time.process_time() - cpu, peak_mb()])
        return done

    context = Context(folder, 0, 0, {})
    table, facts = timed(STEPS[0], lambda: read_usable(step.dataset, context))
    split = timed(STEPS[1], lambda: split_clips(table, step.dataset.split, 0))
    timed(STEPS[2], lambda: fingerprints(table.clips, facts, WaveformCache()))
    leaks = timed(STEPS[3], lambda: audit(table, facts, [split], step.dataset, WaveformCache()))
    leaks.raise_for(str(table.root))
    corpus = timed(STEPS[4], lambda: precomputed(cut_corpus(step, table, facts, split), step))
    timed(STEPS[5], lambda: next(iter(batches(corpus.train, _BATCH))))
    timed(STEPS[6], lambda: check_dataset(step.dataset, folder))
    for name, took in trial_start.trial_starts({key: raw[key] for key in ("model", "dataset", "learn_params")}, folder):
        told(name, took)


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    _measure(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
