"""The clips that variants are judged on: validation clips of the run, or the recordings that the user named, and more.

Where they are few, altered copies of them and synthetic voices are added.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from emotions.audio.decode import MIN_SAMPLES
from emotions.audio.windows import FloatArray, split, window_weights
from emotions.errors import DataError
from export.proof.gate import GateClips
from export.proof.signals import synthetic_voices
from export.sources import Source, recordings
from training.config.dataset import DatasetConfig
from training.data.clips import Clip, read_clips
from training.data.waveforms.waveform_cache import WaveformCache
from training.run_folder.read import Run

MAX_CLIPS = 1000
MIN_JUDGED = 200
"""Fewest clips that a variant is judged on: recordings, then altered copies of them, then synthetic voices."""
_MAX_COPIES = 9  # of one recording
_LOG = logging.getLogger(__name__)
_SEED = 2


def gate_clips(source: Source, data: Path | None, seed: int) -> GateClips:
    """Clips that the model did not learn from where there are any, at most 1000, drawn by a seed.

    Args:
        source: what is exported.
        data: a dataset with labels, or recordings without; by default the run's validation clips.
        seed: which clips are taken, where there are more.
    """
    if data is not None:
        return _of_user(source, data, seed)
    if source.run is not None:
        clips, words = clips_of_run(source.run)
        return _labelled(source, clips, seed, words)
    return _cut(source, (), {}, "synthetic signals, no recordings")


def _of_user(source: Source, data: Path, seed: int) -> GateClips:
    words = "recordings that the user named"
    if not source.labels:
        return _cut(source, islice(recordings(data, seed), MAX_CLIPS), {}, words)
    try:
        table = read_clips(DatasetConfig(path=str(data.absolute()), targets=list(source.labels)), data.parent)
    except DataError:
        return _cut(source, islice(recordings(data, seed), MAX_CLIPS), {}, words)
    return _labelled(source, table.clips, seed, words)


def clips_of_run(run: Run) -> tuple[list[Clip], str]:
    """The run's validation clips; after a refit, which trains on them, its test clips; and what they are, in words."""
    refitted = bool((run.search or {}).get("refit"))
    try:
        part = run.split.test if refitted and run.split.test else run.split.val
        clips = [run.table.clips[index] for index in part]
    except DataError as error:
        raise DataError(
            f"variants are judged on the run's validation clips, but {error}; name others with --data"
        ) from error
    if not refitted:
        return clips, "validation clips of the run"
    if run.split.test:
        return clips, "test clips of the run, as its refit was trained on its validation clips"
    _LOG.warning("variants are judged on clips that the refit was trained on; name others with --data")
    return clips, "validation clips of the run, which its refit was trained on"


def _labelled(source: Source, clips: Sequence[Clip], seed: int, words: str) -> GateClips:
    drawn = np.sort(np.random.default_rng(seed).permutation(len(clips))[:MAX_CLIPS])
    chosen = [clips[index] for index in drawn]
    cache = WaveformCache()
    truth = {
        target: [labels.index(label) if (label := clip.labels.get(target)) in labels else -1 for clip in chosen]
        for target, labels in source.labels.items()
    }
    known = {target: found for target, found in truth.items() if max(found, default=-1) >= 0}
    return _cut(source, (cache.waveform(clip) for clip in chosen), known, words)


def _cut(source: Source, waveforms: Iterable[FloatArray], truth: dict[str, list[int]], words: str) -> GateClips:
    """The recordings, altered copies and synthetic voices, cut into windows; the added ones have no label."""
    window = source.window.spec
    first: list[FloatArray] = []  # where there are fewer than ``MIN_JUDGED`` recordings, all of them
    clips = []
    for waveform in waveforms:
        clips.append(split(waveform, window))
        first += [waveform] if len(first) < MIN_JUDGED else []
    count, longest = len(clips), window.samples if not window.dynamic else source.plan.window
    more = list(islice(_copies(first), max(MIN_JUDGED - count, 0)))
    voices = synthetic_voices(max(MIN_JUDGED - count - len(more), 0), longest, _SEED)
    clips += [split(waveform, window) for waveform in (*(altered for _, altered in more), *voices)]
    weights = [window_weights(clip.starts, clip.lengths, window.hop_samples, source.pooling) for clip in clips]
    units = [*range(count), *(unit for unit, _ in more), *range(count, count + len(voices))]
    labels = {target: [*known, *[-1] * (len(clips) - count)] for target, known in truth.items()}
    return GateClips(clips, weights, labels, words, np.array(units, np.int64), count)


def _copies(waveforms: Sequence[FloatArray]) -> Iterator[tuple[int, FloatArray]]:
    """A recording's index and a copy with another level, noise and ends; each recording once, then each again."""
    random = np.random.default_rng(_SEED)
    for _ in range(_MAX_COPIES):
        for unit, waveform in enumerate(waveforms):
            start, end = (int(random.uniform(0, 0.1) * len(waveform)) for _ in range(2))
            some = waveform[start : len(waveform) - end]
            if len(some) < MIN_SAMPLES:
                some = waveform
            noise = random.standard_normal(len(some)) * float(np.std(some)) * 10 ** (-random.uniform(20, 40) / 20)
            yield unit, np.clip((some + noise) * 10 ** (random.uniform(-9, 0) / 20), -1, 1).astype(np.float32)
