"""Answers of a fold's model to altered recordings of its test clips."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from emotions.audio.windows import FloatArray, window_starts, window_weights
from training.data.waveforms.dataset import WindowDataset
from training.data.waveforms.waveform_cache import WaveformCache
from training.evaluation.perturbations import corruptions
from training.metrics.predictions import PartPredictions
from training.models.base import Classifier

_SEED = 0
_BATCH = 16


def altered_answers(model: Classifier, windows: WindowDataset) -> dict[str, FloatArray]:
    """Probabilities, or values, of the clips through every test of the robustness suite.

    Args:
        model: the fold's, trained.
        windows: of the fold's test clips.

    Returns:
        target -> (tests, clips, classes) float32, uncalibrated; of targets of dimensions the outputs, -1 to 1.
    """
    cache = WaveformCache()
    waves = [np.array(cache.load(facts, clip)) for facts, clip in zip(windows.facts, windows.clips, strict=True)]
    found: dict[str, list[FloatArray]] = {target: [] for target in windows.targets}
    for test in corruptions(waves):
        random = np.random.default_rng(_SEED)
        changed = [np.ascontiguousarray(test.change(wave, random), np.float32) for wave in waves]
        answers = _answers(model, changed, windows)
        for target, values in found.items():
            values.append(answers.outputs(target) if windows.is_dimensional(target) else answers.probabilities(target))
    return {target: np.stack(values) for target, values in found.items()}


def _answers(model: Classifier, waves: Sequence[FloatArray], windows: WindowDataset) -> PartPredictions:
    spec = windows.spec
    starts = [window_starts(len(wave), spec) for wave in waves]
    weights = [
        window_weights(each, np.minimum(spec.samples, len(wave) - each), spec.hop_samples)
        for each, wave in zip(starts, waves, strict=True)
    ]
    cut = [wave[start : start + spec.samples] for each, wave in zip(starts, waves, strict=True) for start in each]
    batches = [*_logits(model, cut, spec.samples)]
    logits = {target: np.concatenate([batch[target] for batch in batches]) for target in windows.targets}
    places = np.repeat(np.arange(len(waves)), [len(each) for each in starts])
    return PartPredictions(np.arange(len(waves)), places, logits, weights=np.concatenate(weights))


def _logits(model: Classifier, cut: Sequence[FloatArray], width: int) -> Iterator[dict[str, FloatArray]]:
    model.eval()
    device = next(model.parameters()).device
    for first in range(0, len(cut), _BATCH):
        some = cut[first : first + _BATCH]
        waveform = torch.zeros(len(some), width)
        for row, samples in zip(waveform.numpy(), some, strict=True):
            row[: len(samples)] = samples
        length = torch.tensor([len(samples) for samples in some])
        with torch.no_grad():
            found = model(waveform.to(device), length.to(device))
        yield {target: values.float().cpu().numpy() for target, values in found.items()}
