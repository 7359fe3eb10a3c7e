"""Folders: many recordings through one predictor, as fast as the model runs.

Decoding runs ahead in a pool of threads, windows of different files share full batches, and the results come in the
order of the files, with never more than a few batches of audio in memory. Batches form inside chunks of the list, so
that a chunk's answers are the same to the last digit whatever is classified before or after it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np

from emotions.batching import Answer, Batcher
from emotions.errors import EmotionsError, ModelError
from emotions.inputs import FileList, InputFile, find_files
from emotions.predictor import Prediction, Predictor
from emotions.runtime import EMBEDDING, available_cores
from emotions.streaming import window_parts
from emotions.windows import FloatArray, Windows

__all__ = ["CHUNK_FILES", "FileList", "FileResult", "InputFile", "chunked", "find_files", "predict_files"]

CHUNK_FILES = 512
"""Files of a chunk. Its last batch is not full, which costs the less the larger it is; a killed run loses as many."""
DEFAULT_MAX_BATCH = {"cpu": 8, "cuda": 64}
"""Windows in a batch by device: on a CPU more gain nothing, a GPU wants many."""
_BATCHES_AHEAD = 3
"""Batches of clips that are decoded while one runs."""


@dataclass(frozen=True)
class FileResult:
    """What became of one file: a prediction, or an error's text and code; of a segment, with its start and end.

    Where embeddings were asked for, ``embedding`` is (windows, dims) float32.
    """

    name: str
    prediction: Prediction | None
    error: str | None = None
    code: str | None = None
    start: float | None = None
    end: float | None = None
    embedding: FloatArray | None = field(default=None, compare=False)


def chunked(files: Sequence[InputFile], chunk_files: int = CHUNK_FILES) -> Iterator[Sequence[InputFile]]:
    """The files in chunks of ``chunk_files``, the last one shorter."""
    return (files[at : at + chunk_files] for at in range(0, len(files), chunk_files))


def predict_files(
    predictor: Predictor,
    files: Sequence[InputFile],
    *,
    max_batch: int | None = None,
    decode_threads: int | None = None,
    chunk_files: int = CHUNK_FILES,
) -> Iterator[FileResult]:
    """Classify files, in their order; a file that cannot be used is a result with an error.

    Args:
        predictor: a loaded classifier.
        files: what to classify.
        max_batch: windows in a batch; by default what suits the device.
        decode_threads: threads that decode; by default one a core.
        chunk_files: files whose windows share batches with each other, and with no others.
    """
    return predict_chunks(predictor, chunked(files, chunk_files), max_batch=max_batch, decode_threads=decode_threads)


def predict_chunks(
    predictor: Predictor,
    chunks: Iterable[Sequence[InputFile]],
    *,
    max_batch: int | None = None,
    decode_threads: int | None = None,
) -> Iterator[FileResult]:
    """Classify chunks of files one after the other. Arguments and results as ``predict_files``."""
    size = max_batch or DEFAULT_MAX_BATCH[predictor.session.device]
    pool = ThreadPoolExecutor(decode_threads or available_cores(), thread_name_prefix="decode")
    flow = _Flow(predictor, pool, size)
    try:
        for decoded in _ahead(pool, predictor, chunks, size * _BATCHES_AHEAD):
            yield from flow.take(decoded)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        flow.close()


_Part = Windows | EmotionsError | OSError
_Parts = Iterator[_Part]


@dataclass
class _Decoded:
    """A file with what is known of its parts: the first two, and where the rest comes from."""

    file: InputFile
    ends_chunk: bool
    parts: Future[tuple[list[_Part], _Parts]]


def _ahead(
    pool: ThreadPoolExecutor, predictor: Predictor, chunks: Iterable[Sequence[InputFile]], ahead: int
) -> Iterator[_Decoded]:
    """Decode in the pool, at most ``ahead`` files before the one that is wanted next."""

    def load(file: InputFile) -> tuple[list[_Part], _Parts]:
        parts = _safe(window_parts(file, predictor.manifest.window_spec))
        return [*islice(parts, 2)], parts

    files = ((file, at == len(chunk)) for chunk in chunks for at, file in enumerate(chunk, 1))
    waiting: deque[_Decoded] = deque()
    for file, ends_chunk in files:
        waiting.append(_Decoded(file, ends_chunk, pool.submit(load, file)))
        if len(waiting) > ahead:
            yield waiting.popleft()
    yield from waiting


def _safe(parts: Iterator[Windows]) -> _Parts:
    """The parts of a file; what goes wrong is the last one."""
    try:
        yield from parts
    except (EmotionsError, OSError) as error:
        yield error


@dataclass
class _Pending:
    """A part of a file on its way through the model; the last part of a file has the file."""

    windows: Windows | None
    outcome: Future[Answer] | EmotionsError | OSError
    file: InputFile | None


class _Flow:
    """Keeps the batcher fed with at least a full batch beyond the one that runs, and gives results in order."""

    def __init__(self, predictor: Predictor, pool: ThreadPoolExecutor, max_batch: int) -> None:
        self._predictor, self._pool, self._max_batch = predictor, pool, max_batch
        self._batcher: Batcher | None = None
        self._pending: deque[_Pending] = deque()
        self._queued = 0
        self._answered: list[_Pending] = []

    def take(self, decoded: _Decoded) -> Iterator[FileResult]:
        """Submit a file's windows, and yield what is done; at the end of a chunk all of it."""
        head, rest = decoded.parts.result()
        parts = self._following(head, rest)
        part = next(parts)
        while part is not None:
            following = next(parts, None)
            self._submit(part, decoded.file if following is None else None)
            yield from self._done(self._max_batch * _BATCHES_AHEAD)
            part = following
        if decoded.ends_chunk:
            self.close()
            yield from self._done(0)

    def close(self) -> None:
        """Run what is queued, in a last batch that need not be full."""
        if self._batcher is not None:
            self._batcher.close()
            self._batcher = None

    def _following(self, head: list[_Part], rest: _Parts) -> Iterator[_Part | None]:
        """All parts of a file; while one is used, the next is decoded in the pool."""
        yield from head[:1]
        if len(head) < 2:
            return
        upcoming = self._pool.submit(next, rest, None)
        yield head[1]
        while (part := upcoming.result()) is not None:
            upcoming = self._pool.submit(next, rest, None)
            yield part

    def _submit(self, part: _Part, file: InputFile | None) -> None:
        if not isinstance(part, Windows):
            self._pending.append(_Pending(None, part, file))
            return
        if self._batcher is None:
            window = self._predictor.manifest.window
            self._batcher = Batcher(
                self._predictor.session.run,
                max_batch=self._max_batch,
                fill=True,
                least_samples=0 if window.dynamic else window.samples,
            )
        self._pending.append(_Pending(part, self._batcher.submit(part), file))
        self._queued += len(part)

    def _done(self, ahead: int) -> Iterator[FileResult]:
        """Wait for the oldest part only when enough windows stand behind it to fill the batch that it ends in."""
        pending = self._pending
        while pending and (pending[0].windows is None or self._queued - len(pending[0].windows) >= ahead):
            done = pending.popleft()
            if done.windows is not None:
                self._queued -= len(done.windows)
                done.windows = replace(done.windows, samples=_NO_SAMPLES)
            self._answered.append(done)
            if done.file is not None:
                yield _result(self._predictor, done.file, self._answered)
                self._answered = []


_NO_SAMPLES = np.zeros((0, 0), np.float32)


def _result(predictor: Predictor, file: InputFile, parts: Sequence[_Pending]) -> FileResult:
    """The result of a file from the answers to all its parts."""
    try:
        windows, probabilities = [], []
        for part in parts:
            if part.windows is None or not isinstance(part.outcome, Future):
                return _failed(file, part.outcome)
            windows.append(part.windows)
            probabilities.append(part.outcome.result().probabilities)
        joined = {target: np.concatenate([each[target] for each in probabilities]) for target in probabilities[0]}
        prediction = predictor.prediction(_joined(windows), joined)
        embedding = joined.get(EMBEDDING)
    except ModelError as error:
        return _failed(file, error)
    return FileResult(file.name, prediction, start=file.start, end=file.end, embedding=embedding)


def _joined(parts: list[Windows]) -> Windows:
    lengths, starts = ([getattr(part, name) for part in parts] for name in ("lengths", "starts"))
    return Windows(_NO_SAMPLES, np.concatenate(lengths), np.concatenate(starts))


def _failed(file: InputFile, error: object) -> FileResult:
    if isinstance(error, EmotionsError):
        return FileResult(file.name, None, str(error), error.code, file.start, file.end)
    reason = error.strerror if isinstance(error, OSError) else None
    return FileResult(file.name, None, f"cannot be read ({reason or error})", "unreadable", file.start, file.end)
