"""The clips that variants are judged on: validation clips of the run, the recordings that the user named, or voices."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from emotions.audio.windows import FloatArray, split, window_weights
from emotions.errors import DataError
from export.proof.gate import GateClips
from export.proof.signals import MAX_WINDOWS, synthetic_voices
from export.sources import Source, recordings
from training.config.dataset import DatasetConfig
from training.data.clips import Clip, read_clips
from training.data.waveforms.waveform_cache import WaveformCache
from training.run_folder.read import Run

MAX_CLIPS = 1000
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
        clips, words = _of_run(source.run)
        return _labelled(source, clips, seed, words)
    spec = source.window.samples if not source.window.dynamic else source.plan.window
    return _unlabelled(source, synthetic_voices(MAX_WINDOWS, spec, _SEED), "synthetic signals, no recordings")


def _of_user(source: Source, data: Path, seed: int) -> GateClips:
    words = "recordings that the user named"
    try:
        table = read_clips(DatasetConfig(path=str(data.absolute()), targets=list(source.targets)), data.parent)
    except DataError:
        return _unlabelled(source, islice(recordings(data, seed), MAX_CLIPS), words)
    return _labelled(source, table.clips, seed, words)


def _of_run(run: Run) -> tuple[list[Clip], str]:
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
        for target, labels in source.targets.items()
    }
    known = {target: found for target, found in truth.items() if max(found, default=-1) >= 0}
    return _cut(source, (cache.waveform(clip) for clip in chosen), known, words)


def _unlabelled(source: Source, waveforms: Iterable[FloatArray], words: str) -> GateClips:
    return _cut(source, waveforms, {}, words)


def _cut(source: Source, waveforms: Iterable[FloatArray], truth: dict[str, list[int]], words: str) -> GateClips:
    window = source.window.spec
    clips = [split(waveform, window) for waveform in waveforms]
    weights = [window_weights(clip.starts, clip.lengths, window.hop_samples, source.pooling) for clip in clips]
    return GateClips(clips, weights, truth, words)
