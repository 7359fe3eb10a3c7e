"""Run a model over windows, pool them into clips, score the clips, and calibrate the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning.fabric.utilities.apply_func import move_data_to_device
from torch import Tensor
from torch.utils.data import DataLoader

from emotions.audio.windows import Float64Array, FloatArray, IntArray
from training.data.waveforms.dataset import NO_LABEL, shares_key
from training.features.extract import window_features
from training.features.feature_dataset import ClipDataset, FeatureItem
from training.metrics.calibration import calibration_of, cross_fitted, fit_temperature
from training.metrics.classification import Scores, score
from training.metrics.distributions import distance_from_raters
from training.metrics.held_out import HeldOut
from training.metrics.predictions import PartPredictions
from training.models.base import Classifier, is_frozen

Batch = tuple[Tensor, Tensor, dict[str, Tensor], Tensor, Tensor] | FeatureItem
"""(batch, W) float32, (batch,) lengths, target -> (batch,) class indices, (batch,) clip indices, (batch,) shares of the
windows in their clips; or a ``FeatureItem`` with features and frames in place of the first two."""
EVALUATION_BATCH = 32


def features_of(model: Classifier, batch: Batch) -> tuple[Tensor, Tensor]:
    """Inputs of a model's head: (batch, ..., frames) features and (batch,) valid frames.

    Args:
        model: computes them, unless they come from the feature cache; they are the same either way.
        batch: samples, or cached features.
    """
    if isinstance(batch, FeatureItem):
        return batch.features, batch.frames
    waveform, length, *_ = batch
    if is_frozen(model.frontend):
        return window_features(model.frontend, waveform, length)
    features, frames = model.frontend(waveform, length)
    return features, frames


@dataclass(frozen=True)
class Units:
    """Who speaks in the clips of the parts: (clips,) index of the speaker, or of another ``unit`` in its place."""

    val: IntArray
    test: IntArray
    unit: str


@dataclass(frozen=True)
class ClipPredictions(PartPredictions):
    """Logits of a model for the windows of clips, with the clips' truth. ``clips`` is ascending.

    Attributes:
        truth: target -> (clips,) int64 class indices, ``NO_LABEL`` where a clip has none; by ``shares_key`` (clips,
            classes) shares of the raters, of targets that have them.
    """

    truth: Mapping[str, Any]

    def raters(self, target: str) -> FloatArray | None:
        """Shares of the raters of the labelled clips, (labelled clips, classes); None of a target without them."""
        shares = self.truth.get(shares_key(target))
        found: FloatArray | None = None if shares is None else shares[self.truth[target] != NO_LABEL]
        return found


class ClipPooler:
    """Collects batches of windows in any order, and groups them into clips.

    Attributes:
        batches: (windows,) clip indices, target -> (windows,) truth, target -> (windows, classes) logits and (windows,)
            shares, of each.
    """

    def __init__(self) -> None:
        self.batches: list[tuple[IntArray, dict[str, Any], dict[str, FloatArray], Float64Array]] = []

    def add(self, batch: Batch, logits: Mapping[str, Tensor]) -> None:
        """Add a batch.

        Args:
            batch: the windows, with their truth and clip indices.
            logits: target -> (batch, classes).
        """
        _, _, truth, clips, shares = batch
        values = {target: each.detach().float().cpu().numpy() for target, each in logits.items()}
        known = {key: each.cpu().numpy() for key, each in truth.items()}
        self.batches.append((clips.cpu().numpy(), known, values, shares.cpu().double().numpy()))

    def pooled(self) -> ClipPredictions:
        """All clips so far."""
        of_window = np.concatenate([clips for clips, *_ in self.batches])
        clips, first, windows = np.unique(of_window, return_index=True, return_inverse=True)
        _, keys, targets, _ = self.batches[0]
        truth = {key: np.concatenate([each[key] for _, each, _, _ in self.batches])[first] for key in keys}
        logits = {target: np.concatenate([each[target] for _, _, each, _ in self.batches]) for target in targets}
        weights = np.concatenate([shares for *_, shares in self.batches])
        return ClipPredictions(clips, windows, logits, truth, weights=weights)


def evaluate(model: Classifier, dataset: ClipDataset, *, batch_size: int = EVALUATION_BATCH) -> ClipPredictions:
    """Run a model over every window of a dataset, on the device that the model is on.

    Args:
        model: is in evaluation mode while it runs.
        dataset: windows with the model's targets, or their features.
        batch_size: windows of a batch; the result does not depend on it.
    """
    device = next(model.parameters()).device
    was_training, pooler = model.training, ClipPooler()
    model.eval()
    with torch.inference_mode():
        for batch in DataLoader(dataset, batch_size):
            features, frames = features_of(model, move_data_to_device(batch, device))
            pooler.add(batch, model.head(features, frames))
    model.train(was_training)
    return pooler.pooled()


def score_predictions(predictions: ClipPredictions, targets: Mapping[str, Sequence[str]]) -> dict[str, Scores]:
    """Score predictions over the labelled clips.

    Args:
        predictions: the predictions.
        targets: target -> labels in output order.

    Returns:
        target -> what ``metrics.score`` gives; a target without a labelled clip is left out.
    """
    scores = {}
    for target, labels in targets.items():
        truth, probabilities = predictions.labelled(target, predictions.truth[target])
        if len(truth):
            scores[target] = score(truth, probabilities(1.0).argmax(axis=1), labels)
    return scores


def calibrated(
    val: ClipPredictions, test: ClipPredictions | None, targets: Mapping[str, Sequence[str]], units: Units
) -> dict[str, dict[str, Any]]:
    """Fit each target's temperature on validation clips, and measure it on test clips where there are any.

    Where the raters' distributions are known, the probabilities are fitted to them and measured by them.

    Args:
        val: predictions for the validation part.
        test: predictions for the test part.
        targets: target -> labels in output order.
        units: who speaks in the clips.

    Returns:
        target -> ``temperature``, ``measured_on``, scores before and after, whether it helped, and the answers
        ``held_out`` that thresholds are chosen on: those to test clips, else to validation clips, which chose the
        epoch, with temperatures of other speakers. Targets without a labelled clip are left out.
    """
    found = {}
    for target in targets:
        truth, at = val.labelled(target, val.truth[target])
        if not len(truth):
            continue
        raters, speakers = val.raters(target), units.val[val.clips][val.truth[target] != NO_LABEL]
        told = truth if raters is None else raters
        temperature, part = fit_temperature(at, told, speakers), "validation"
        after = cross_fitted(at, told, speakers)
        if test is not None and len(test.labelled(target, test.truth[target])[0]):
            part, (truth, at), raters = "test", test.labelled(target, test.truth[target]), test.raters(target)
            speakers, after = units.test[test.clips][test.truth[target] != NO_LABEL], at(temperature)
        held_out = HeldOut.of(after, truth, speakers, units.unit, f"{part} clips").summary()
        measured = calibration_of(at(1.0), after, truth if raters is None else raters, speakers)
        distance = {} if raters is None else {"raters": distance_from_raters(at(1.0), after, raters, truth)}
        about = {"temperature": temperature, "measured_on": part}
        found[target] = {**about, **measured, **distance, "held_out": held_out}
    return found
