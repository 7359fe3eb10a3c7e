"""A teacher's answers to the windows of clips: computed once by its bundle, and kept on disk.

It answers each window of the model that it teaches as a clip of its own, cut into the teacher's windows and pooled by
its rule. One array a clip, ``(windows, labels)`` of all its targets, keyed by the bundle, the clip's samples and the
window: runs, trials and folds share it, and interrupted work resumes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from emotions.audio.windows import FloatArray, Windows
from emotions.errors import BundleError, NotANumber
from emotions.files.cache import cache_root
from emotions.folder.predict_files import DEFAULT_MAX_BATCH
from emotions.predictor import Predictor, load
from emotions.runtime.batcher import Batcher, BatchResult
from emotions.runtime.prediction import Prediction
from training.data.progress import watched
from training.data.waveforms.altered import AlteredInfo
from training.data.waveforms.array_store import ArrayStore
from training.data.waveforms.clip_info import ClipInfo
from training.data.waveforms.dataset import WindowDataset
from training.features.teacher.teacher import Teacher, digest_of

_FORMAT = 1
_BATCHES_AHEAD = 2
"""Batches of windows that wait for their answer: a bound on the samples in memory."""
_LOG = logging.getLogger(__name__)

Answers = dict[str, Tensor]
"""target -> (windows, classes) float32 probabilities of a teacher."""
Columns = Mapping[str, Sequence[int]]
_Waiting = tuple[Windows, Future[BatchResult]]


def answers_of(
    teacher: Teacher,
    windows: WindowDataset,
    targets: Mapping[str, Sequence[str]],
    device: Literal["auto", "cpu"] = "auto",
) -> Answers:
    """The teacher's probabilities for every window: target -> (windows, classes) float32, in the order of its labels.

    Args:
        teacher: the bundle.
        windows: of clips, and of their altered copies after them, which have the answers of the clips.
        targets: name -> labels in output order.
        device: where the bundle runs.

    Raises:
        BundleError: the bundle was changed meanwhile, does not run, or its answer is not a number.
        DataError: it answers other labels than the targets'.
    """
    columns = teacher.columns(targets)
    stored = torch.from_numpy(_stored(teacher, windows, columns, device))
    return dict(zip(columns, torch.split(stored, [*map(len, columns.values())], dim=1), strict=True))


def _stored(teacher: Teacher, windows: WindowDataset, columns: Columns, device: Literal["auto", "cpu"]) -> FloatArray:
    """Every window's answer, (windows, labels of all targets), computed where it is not kept yet."""
    store, width = ArrayStore(cache_root() / "teacher"), sum(map(len, columns.values()))
    keys = [_key(teacher, windows, columns, _original(facts).sha256) for facts in windows.facts]
    first = {key: clip for clip, key in reversed(list(enumerate(keys)))}
    found = {key: store.get(key, (len(windows.windows_of(clip)), width), check=True) for key, clip in first.items()}
    missing = [key for key, kept in found.items() if kept is None]
    if missing:
        made = _computed(teacher, windows, columns, [first[key] for key in missing], device)
        for key, array in zip(missing, watched(made, len(missing), "Teacher"), strict=True):
            store.put(key, array)
            found[key] = array
        store.evict(keep=found)
    for key in found:
        store.touch(key)
    return np.concatenate([np.zeros((0, width), np.float32), *(_known(found[key]) for key in keys)])


def _known(kept: np.ndarray[Any, Any] | None) -> FloatArray:
    if kept is None:
        raise ValueError("an answer was not computed")
    return kept


def _original(facts: ClipInfo) -> ClipInfo:
    """The recording itself: its altered copies have its answer, as what is altered says the same."""
    return facts.original if isinstance(facts, AlteredInfo) else facts


def _key(teacher: Teacher, windows: WindowDataset, columns: Columns, sha256: str) -> str:
    window = [windows.spec.samples, windows.spec.hop_samples]
    content = [_FORMAT, teacher.digest, list(columns.items()), sha256, window]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _computed(
    teacher: Teacher, windows: WindowDataset, columns: Columns, clips: Sequence[int], device: Literal["auto", "cpu"]
) -> Iterator[FloatArray]:
    """The answers to the windows of each clip, (windows, labels) float32."""
    predictor = load(teacher.path, device=device, variant="fp32")
    if digest_of(predictor.manifest) != teacher.digest:
        raise BundleError(f"teacher.bundle: {teacher.path}: was changed while it was read; start again")
    _LOG.warning("the teacher %s answers %d clips; its answers are kept in the cache", teacher.name, len(clips))
    samples = (_samples(windows, each) for clip in clips for each in windows.windows_of(clip))
    with contextlib.closing(_predictions(predictor, samples)) as predictions:
        try:
            for clip in clips:
                yield np.stack([_answer(next(predictions), columns) for _ in windows.windows_of(clip)])
        except NotANumber as error:
            raise BundleError(f"teacher.bundle: {teacher.path}: its answer to a clip is not a number") from error


def _answer(prediction: Prediction, columns: Columns) -> FloatArray:
    """A prediction as one row, (labels,)."""
    values = {target: list(prediction.probabilities[target].values()) for target in columns}
    return np.array([values[target][each] for target, chosen in columns.items() for each in chosen], np.float32)


def _samples(windows: WindowDataset, index: int) -> FloatArray:
    waveform, length, *_ = windows[index]
    samples: FloatArray = waveform[:length].numpy()
    return samples


def _predictions(predictor: Predictor, waveforms: Iterable[FloatArray]) -> Generator[Prediction, None, None]:
    """The prediction for each waveform, in order; with batches as a folder of recordings has them."""
    size, window = DEFAULT_MAX_BATCH[predictor.session.device], predictor.manifest.window
    least = 0 if window.dynamic else window.samples
    batcher = Batcher(predictor.session.run, max_batch=size, fill=True, least_samples=least)
    waiting: deque[_Waiting] = deque()
    try:
        for windows in map(predictor.split, waveforms):
            waiting.append((windows, batcher.submit(windows)))
            if len(waiting) >= _BATCHES_AHEAD * size:
                yield _pooled(predictor, waiting.popleft())
        batcher.close()
        while waiting:
            yield _pooled(predictor, waiting.popleft())
    finally:
        batcher.close()


def _pooled(predictor: Predictor, waiting: _Waiting) -> Prediction:
    windows, future = waiting
    return predictor.prediction(windows, future.result().probabilities)
