"""Scheduling of files: decoded ahead, batched with others, returned in their order."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np

from emotions.audio.speech.windows import Segments, Speech
from emotions.audio.windows import Windows
from emotions.bundle.manifest import EMBEDDING
from emotions.errors import EmotionsError, IncompleteAudio, ModelError, OutOfMemory
from emotions.folder.result import FileResult
from emotions.folder.windows_of_file import window_parts
from emotions.inputs.input_file import InputFile
from emotions.runtime.batch_shape import Run
from emotions.runtime.batcher import Batcher, BatchResult
from emotions.runtime.prediction import Model

BATCHES_AHEAD = 3
"""Batches of clips that are decoded while one runs."""
_OPEN_AHEAD = 16
"""Long recordings that are open before their turn: each holds two parts of its audio, and perhaps a decoder."""

_Part = Windows | EmotionsError | OSError
_Parts = Iterator[_Part]


@dataclass
class Decoded:
    """A file, its first two parts or none yet, an iterator of the rest, and, at its end, its flaws and its speech."""

    file: InputFile
    ends_chunk: bool
    parts: Future[tuple[list[_Part], _Parts]]
    flaws: list[IncompleteAudio] = field(default_factory=list)
    speech: Speech | None = None


def prefetch(
    pool: ThreadPoolExecutor,
    model: Model,
    chunks: Iterable[Sequence[InputFile]],
    ahead: int,
    *,
    strict: bool = False,
    segments: Segments = "windows",
) -> Iterator[Decoded]:
    """Decode files ahead in a pool of threads.

    Args:
        pool: what decodes.
        model: whose windows the files are cut into.
        chunks: the files.
        ahead: most files that are decoded before the one that is taken next.
        strict: refuse a recording of which a part is missing.
        segments: what of a file is cut into windows.
    """
    places = threading.Semaphore(_OPEN_AHEAD)

    def load(file: InputFile, flaws: list[IncompleteAudio], speech: Speech | None) -> tuple[list[_Part], _Parts]:
        parts = _safe(window_parts(file, model.window_spec, flaws, strict=strict, speech=speech))
        if not places.acquire(blocking=False):
            return [], parts
        parts = _releasing(parts, places)
        return [*islice(parts, 2)], parts

    files = ((file, at == len(chunk)) for chunk in chunks for at, file in enumerate(chunk, 1))
    waiting: deque[Decoded] = deque()
    for file, ends_chunk in files:
        flaws: list[IncompleteAudio] = []
        speech = Speech() if segments == "speech" or file.turns is not None else None
        waiting.append(Decoded(file, ends_chunk, pool.submit(load, file, flaws, speech), flaws, speech))
        if len(waiting) > ahead:
            yield waiting.popleft()
    yield from waiting


def _releasing(parts: _Parts, places: threading.Semaphore) -> _Parts:
    """The parts; at their end a place is free again."""
    try:
        yield from parts
    finally:
        places.release()


def _safe(parts: Iterator[Windows]) -> _Parts:
    """The parts of a file; an error takes the place of the last one."""
    try:
        yield from parts
    except (EmotionsError, OSError) as error:
        yield error


@dataclass
class _Pending:
    """A part of a file on its way through a slot of the model; ``last_of`` is the file whose last part it is."""

    windows: Windows | None
    outcome: Future[BatchResult] | EmotionsError | OSError
    last_of: Decoded | None
    slot: int = 0


class FolderScheduler:
    """Keeps each slot fed with at least a full batch beyond the one that runs, and gives results in order.

    A slot is a batcher of its own; the parts of a chunk go to the slots in turn, so that the batches do not depend on
    timing.
    """

    def __init__(self, model: Model, pool: ThreadPoolExecutor, max_batch: int, parallel_batches: Sequence[Run]) -> None:
        self._model, self._pool, self._max_batch = model, pool, max_batch
        self._parallel_batches = parallel_batches
        self._batchers: list[Batcher] = []
        self._pending: deque[_Pending] = deque()
        self._queued = [0] * len(parallel_batches)
        self._submitted = 0
        self._answered: list[_Pending] = []

    def take(self, decoded: Decoded) -> Iterator[FileResult]:
        """Submit a file's windows, and yield what is done; at the end of a chunk all of it."""
        head, rest = decoded.parts.result()
        parts = self._following(head, rest)
        part = next(parts)
        while part is not None:
            following = next(parts, None)
            self._submit(part, decoded if following is None else None)
            yield from self._done(self._max_batch * BATCHES_AHEAD)
            part = following
        if decoded.ends_chunk:
            self.close()
            yield from self._done(0)

    def close(self) -> None:
        """Run what is queued, in last batches that need not be full."""
        for batcher in self._batchers:
            batcher.close()
        self._batchers, self._submitted = [], 0

    def _following(self, head: list[_Part], rest: _Parts) -> Iterator[_Part | None]:
        """All parts of a file; while one is used, the next is decoded in the pool."""
        yield from head[:1]
        if len(head) == 1:
            return
        upcoming = self._pool.submit(next, rest, None)
        yield from head[1:]
        while (part := upcoming.result()) is not None:
            upcoming = self._pool.submit(next, rest, None)
            yield part

    def _submit(self, part: _Part, last_of: Decoded | None) -> None:
        if not isinstance(part, Windows):
            self._pending.append(_Pending(None, part, last_of))
            return
        self._batchers = self._batchers or [self._batcher(run) for run in self._parallel_batches]
        slot = self._submitted % len(self._parallel_batches)
        self._submitted += 1
        self._pending.append(_Pending(part, self._batchers[slot].submit(part), last_of, slot))
        self._queued[slot] += len(part)

    def _batcher(self, run: Run) -> Batcher:
        window = self._model.manifest.window
        least = 0 if window.dynamic else window.samples
        return Batcher(run, max_batch=self._max_batch, fill=True, least_samples=least)

    def _done(self, ahead: int) -> Iterator[FileResult]:
        """Wait for the oldest part only when enough windows stand behind it to fill the batch that it ends in."""
        pending = self._pending
        while pending and self._behind(pending[0]) >= ahead:
            done = pending.popleft()
            if done.windows is not None:
                self._queued[done.slot] -= len(done.windows)
                # A long recording has many parts that wait for the last one: its audio is not kept until then.
                done.windows = replace(done.windows, samples=_NO_SAMPLES)
            self._answered.append(done)
            if done.last_of is not None:
                yield _result(self._model, done.last_of, self._answered)
                self._answered = []

    def _behind(self, part: _Pending) -> float:
        """Windows that stand behind a part in its slot; one that failed waits for none."""
        return math.inf if part.windows is None else self._queued[part.slot] - len(part.windows)


_NO_SAMPLES = np.zeros((0, 0), np.float32)


def _result(model: Model, decoded: Decoded, parts: Sequence[_Pending]) -> FileResult:
    """The result of a file from the answers to all its parts."""
    file = decoded.file
    try:
        windows, probabilities = [], []
        for part in parts:
            if part.windows is None or not isinstance(part.outcome, Future):
                return _failed(file, part.outcome)
            windows.append(part.windows)
            probabilities.append(part.outcome.result().probabilities)
        joined = {target: np.concatenate([each[target] for each in probabilities]) for target in probabilities[0]}
        lengths, starts = (np.concatenate([getattr(each, name) for each in windows]) for name in ("lengths", "starts"))
        prediction = model.prediction(Windows(_NO_SAMPLES, lengths, starts), joined, decoded.flaws, decoded.speech)
        embedding = joined.get(EMBEDDING)
    except (ModelError, OutOfMemory) as error:
        return _failed(file, error)
    return replace(FileResult.of(file, prediction), embedding=embedding)


def _failed(file: InputFile, error: object) -> FileResult:
    if isinstance(error, EmotionsError):
        return FileResult.of(file, None, str(error), error.code)
    reason = error.strerror if isinstance(error, OSError) else None
    return FileResult.of(file, None, f"cannot be read ({reason or error})", "unreadable")
