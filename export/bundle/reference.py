"""The reference statistics of a bundle: its own answers to the clips that its model did not learn from."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from emotions.audio.decode import SAMPLE_RATE
from emotions.audio.signal_measure import measure_signal
from emotions.audio.windows import FloatArray, Windows, pool, split, window_weights
from emotions.bundle.manifest import EMBEDDING
from emotions.bundle.reference.fit import MIN_CLIPS, reference_of
from emotions.bundle.reference.observation import Observation
from emotions.bundle.reference.reference import write_reference
from emotions.errors import DataError
from emotions.runtime.batch_shape import Probabilities, Run
from emotions.runtime.cores import available_cores
from emotions.runtime.session import onnx_run, onnx_session
from export.bundle.gate_clips import MAX_CLIPS, clips_of_run
from export.bundle.variants import MODEL, ExportContext
from export.sources import Source, recordings
from training.data.waveforms.waveform_cache import WaveformCache

_LOG = logging.getLogger(__name__)


def write_run_reference(context: ExportContext, data: Path | None) -> None:
    """Write ``reference.json`` beside a bundle's model; a log line says why where there is none.

    Args:
        context: what is exported.
        data: recordings to take it from; by default the run's validation clips.
    """
    source = context.source
    try:
        waveforms, what = _clips(source, data, context.seed)
        clips = [*_observed(source, _run(context), waveforms)]
    except DataError as error:
        _LOG.warning("the bundle has no reference statistics, so its drift is not watched: %s", error)
        return
    if len(clips) < MIN_CLIPS:
        _LOG.info("the bundle has no reference statistics: %s are %d, and fewer than %d", what, len(clips), MIN_CLIPS)
        return
    write_reference(context.folder, reference_of(clips, source.labels, what))


def _clips(source: Source, data: Path | None, seed: int) -> tuple[Iterable[FloatArray], str]:
    """Recordings that the model did not learn from, at most 1000, and what they are; none of a checkpoint alone."""
    if data is not None:
        return islice(recordings(data, seed), MAX_CLIPS), "recordings that the user named"
    if source.run is None:
        return (), "recordings of a checkpoint alone"
    clips, what = clips_of_run(source.run)
    if not clips:  # validated by folds of what it was trained on: it answers those too surely
        clips, what = [source.run.table.clips[at] for at in source.run.split.test], "test clips of the run"
    cache = WaveformCache()
    drawn = np.sort(np.random.default_rng(seed).permutation(len(clips))[:MAX_CLIPS])
    return (cache.waveform(clips[index]) for index in drawn), what


def _run(context: ExportContext) -> Run:
    outputs = [*context.source.targets, *([EMBEDDING] if context.model.dims else [])]
    return onnx_run(onnx_session(context.folder / MODEL, threads=available_cores()), outputs)


def _observed(source: Source, run: Run, waveforms: Iterable[FloatArray]) -> Iterator[Observation]:
    window = source.window.spec
    for waveform in waveforms:
        windows = split(waveform, window)
        weights = window_weights(windows.starts, windows.lengths, window.hop_samples, source.pooling)
        answers = _one_by_one(run, windows)
        named = {
            target: dict(zip(names, pool(answers[target], weights).tolist(), strict=True))
            for target, names in source.targets.items()
        }
        yield Observation(
            {target: scores for target, scores in named.items() if target not in source.ranges},
            {target: scores for target, scores in named.items() if target in source.ranges},
            len(waveform) / SAMPLE_RATE,
            measure_signal(waveform),
            answers[EMBEDDING].mean(axis=0) if EMBEDDING in answers else None,
        )


def _one_by_one(run: Run, windows: Windows) -> Probabilities:
    """The answers to windows alone: a long recording in one batch would not fit into memory."""
    parts = [run(windows.samples[at : at + 1], windows.lengths[at : at + 1]) for at in range(len(windows))]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
