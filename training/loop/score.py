"""A model over windows to clip probabilities, and those to figures of merit: the one way that clips are scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from lightning.fabric.utilities.apply_func import move_data_to_device
from torch import Tensor
from torch.utils.data import DataLoader

from emotions.audio.windows import FloatArray, IntArray, pool
from training.data.dataset import NO_LABEL
from training.features.extract import rounded
from training.features.feature_dataset import ClipDataset, FeatureItem
from training.metrics.classification import Scores, score
from training.models.base import Classifier, is_frozen

Batch = tuple[Tensor, Tensor, dict[str, Tensor], Tensor] | FeatureItem
"""(batch, W) float32, (batch,) lengths, target -> (batch,) class indices, (batch,) clip indices; or a ``FeatureItem``
with features and frames in place of the first two."""


def features_of(model: Classifier, batch: Batch) -> tuple[Tensor, Tensor]:
    """What a model's head takes of a batch: (batch, ..., frames) features and (batch,) valid frames.

    They are computed unless they come from the feature cache, and are the same either way.
    """
    if isinstance(batch, FeatureItem):
        return batch.features, batch.frames
    waveform, length, _, _ = batch
    features, frames = model.frontend(waveform, length)
    return (rounded(features, waveform.shape[1]) if is_frozen(model.frontend) else features), frames


@dataclass(frozen=True)
class ClipAnswers:
    """What a model said of clips.

    Attributes:
        clips: (clips,) int64, ascending: which of the dataset's clips.
        probabilities: target -> (clips, classes) float32, the mean over each clip's windows.
        truth: target -> (clips,) int64 class indices, ``NO_LABEL`` where a clip has none.
        windows: (windows,) int64: which of ``clips`` each window is of.
        logits: target -> (windows, classes) float32.
    """

    clips: IntArray
    probabilities: dict[str, FloatArray]
    truth: dict[str, IntArray]
    windows: IntArray
    logits: dict[str, FloatArray]


class ClipPooler:
    """Gathers windows, batch by batch in any order, and pools them into clips."""

    def __init__(self) -> None:
        self._clips: list[IntArray] = []
        self._truth: dict[str, list[IntArray]] = {}
        self._probabilities: dict[str, list[FloatArray]] = {}
        self._logits: dict[str, list[FloatArray]] = {}

    def add(self, batch: Batch, logits: Mapping[str, Tensor]) -> None:
        """Take a batch's windows with the logits, target -> (batch, classes), that the model gave them."""
        _, _, truth, clips = batch
        self._clips.append(_numpy(clips))
        for target, values in logits.items():
            plain = values.detach().float()
            self._logits.setdefault(target, []).append(_numpy(plain))
            self._probabilities.setdefault(target, []).append(_numpy(plain.softmax(dim=1)))
            self._truth.setdefault(target, []).append(_numpy(truth[target]))

    @classmethod
    def merged(cls, poolers: Sequence[ClipPooler]) -> ClipPooler:
        """What several have gathered, as one; no window may be in two of them."""
        every = cls()
        for each in poolers:
            every._clips += each._clips
            for target, parts in each._truth.items():
                every._truth.setdefault(target, []).extend(parts)
                every._probabilities.setdefault(target, []).extend(each._probabilities[target])
                every._logits.setdefault(target, []).extend(each._logits[target])
        return every

    def answers(self) -> ClipAnswers:
        """All clips so far."""
        of_window = np.concatenate(self._clips)
        clips, first, place = np.unique(of_window, return_index=True, return_inverse=True)
        truth = {target: np.concatenate(parts)[first] for target, parts in self._truth.items()}
        probabilities = {}
        for target, parts in self._probabilities.items():
            windows = np.concatenate(parts)
            probabilities[target] = np.stack([pool(windows[of_window == clip]) for clip in clips])
        logits = {target: np.concatenate(parts) for target, parts in self._logits.items()}
        return ClipAnswers(clips, probabilities, truth, place.reshape(-1), logits)


def _numpy(tensor: Tensor) -> Any:
    return tensor.cpu().numpy()


def evaluate(model: Classifier, dataset: ClipDataset, *, batch_size: int = 32, workers: int = 0) -> ClipAnswers:
    """Run a model over every window of a dataset, on the device that the model is on.

    Args:
        model: put in evaluation mode for the time.
        dataset: windows with the model's targets, or their features.
        batch_size: windows a batch; the answers do not depend on it.
        workers: processes that load; 0 loads in this one.
    """
    device = next(model.parameters()).device
    was_training, pooler = model.training, ClipPooler()
    model.eval()
    with torch.inference_mode():
        for batch in DataLoader(dataset, batch_size, num_workers=workers):
            features, frames = features_of(model, move_data_to_device(batch, device))
            pooler.add(batch, model.head(features, frames))
    model.train(was_training)
    return pooler.answers()


def score_answers(answers: ClipAnswers, targets: Mapping[str, Sequence[str]]) -> dict[str, Scores]:
    """Score answers over the clips that are labelled.

    Args:
        answers: what a model said.
        targets: target -> labels in output order.

    Returns:
        target -> what ``metrics.score`` gives; a target without a labelled clip is left out.
    """
    scores = {}
    for target, labels in targets.items():
        truth = answers.truth[target]
        known = truth != NO_LABEL
        if known.any():
            predicted = answers.probabilities[target].argmax(axis=1)
            scores[target] = score(_list(truth[known]), _list(predicted[known]), labels)
    return scores


def _list(values: IntArray) -> list[int]:
    return cast(list[int], values.tolist())
