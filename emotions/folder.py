"""Folders: many recordings through one predictor, as fast as the model runs.

Decoding runs ahead in a pool of threads, windows of different files share full batches, and the results come in the
order of the files, with never more than a few batches of audio in memory.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from emotions import audio
from emotions.batching import Answer, Batcher
from emotions.containers import EXTENSIONS
from emotions.errors import AudioError, DataError, ModelError
from emotions.predictor import Prediction, Predictor
from emotions.runtime import available_cores
from emotions.windows import Windows

DEFAULT_MAX_BATCH = {"cpu": 8, "cuda": 64}
"""Windows in a batch by device: on a CPU more gain nothing, a GPU wants many."""
_BATCHES_AHEAD = 3
"""Batches of clips that are decoded while one runs."""


@dataclass(frozen=True)
class InputFile:
    """A file to classify: where it lies, and its name in the table (relative to the input folder, POSIX)."""

    path: Path
    name: str


@dataclass(frozen=True)
class FileList:
    """Files found, sorted by name, and how many others were passed over because of their extension."""

    files: tuple[InputFile, ...]
    skipped: int


@dataclass(frozen=True)
class FileResult:
    """What became of one file: a prediction, or an error's text and code."""

    name: str
    prediction: Prediction | None
    error: str | None = None
    code: str | None = None


def find_files(inputs: Sequence[Path]) -> FileList:
    """Find recordings: a file stands for itself, a folder for every recording below it, hidden ones passed over.

    Raises:
        DataError: an input does not exist or a folder cannot be read.
    """
    found: dict[str, InputFile] = {}
    skipped = 0
    for path in inputs:
        if path.is_file():
            _add(found, InputFile(path, path.name))
        elif path.is_dir():
            for file in _walk(path):
                if file.suffix.lower() in EXTENSIONS:
                    _add(found, InputFile(file, file.relative_to(path).as_posix()))
                else:
                    skipped += 1
        else:
            raise DataError(f"{path}: no such file or folder")
    return FileList(tuple(found[name] for name in sorted(found)), skipped)


def _add(found: dict[str, InputFile], file: InputFile) -> None:
    """Add a file; one whose name another input has already is told from it by its whole path."""
    if file.name not in found:
        found[file.name] = file
    elif found[file.name].path.resolve() != file.path.resolve():
        found[file.path.as_posix()] = InputFile(file.path, file.path.as_posix())


def _walk(folder: Path) -> Iterator[Path]:
    """Every file below a folder, symbolic links to folders not followed, so that no loop of them is walked."""

    def fail(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror})") from error

    for root, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(root, name) for name in names if not name.startswith("."))


def predict_files(
    predictor: Predictor,
    files: Sequence[InputFile],
    *,
    max_batch: int | None = None,
    decode_threads: int | None = None,
) -> Iterator[FileResult]:
    """Classify files, in their order; a file that cannot be used is a result with an error.

    Args:
        predictor: a loaded classifier.
        files: what to classify.
        max_batch: windows in a batch; by default what suits the device.
        decode_threads: threads that decode; by default one a core.
    """
    size = max_batch or DEFAULT_MAX_BATCH[predictor.session.device]
    threads = decode_threads or available_cores()
    batcher = Batcher(predictor.session.run, max_batch=size, fill=True)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    try:
        decoded = _ahead(pool, predictor, files, size * _BATCHES_AHEAD)
        yield from _answered(predictor, batcher, decoded, size * _BATCHES_AHEAD)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        batcher.close()


_Decoded = tuple[InputFile, Windows | AudioError | OSError]


def _ahead(
    pool: ThreadPoolExecutor, predictor: Predictor, files: Iterable[InputFile], ahead: int
) -> Iterator[_Decoded]:
    """Decode in the pool, at most ``ahead`` files before the one that is wanted next."""

    def load(file: InputFile) -> Windows | AudioError | OSError:
        try:
            return predictor.split(audio.decode(file.path))
        except (AudioError, OSError) as error:
            return error

    rest = iter(files)
    waiting = deque((file, pool.submit(load, file)) for file in islice(rest, ahead))
    while waiting:
        file, future = waiting.popleft()
        waiting.extend((following, pool.submit(load, following)) for following in islice(rest, 1))
        yield file, future.result()


@dataclass
class _Pending:
    file: InputFile
    windows: Windows | None
    outcome: Future[Answer] | AudioError | OSError


def _answered(predictor: Predictor, batcher: Batcher, decoded: Iterator[_Decoded], ahead: int) -> Iterator[FileResult]:
    """Keep the batcher fed with at least a full batch beyond the one that runs, and yield results in order."""
    pending: deque[_Pending] = deque()
    queued = 0
    for file, content in decoded:
        if isinstance(content, Windows):
            pending.append(_Pending(file, content, batcher.submit(content)))
            queued += len(content)
        else:
            pending.append(_Pending(file, None, content))
        # The oldest clip is waited for only when enough windows stand behind it to fill the batch that it ends in.
        while pending and (pending[0].windows is None or queued - len(pending[0].windows) >= ahead):
            done = pending.popleft()
            queued -= len(done.windows or ())
            yield _result(predictor, done)
    batcher.close()
    yield from (_result(predictor, done) for done in pending)


def _result(predictor: Predictor, done: _Pending) -> FileResult:
    if done.windows is None or not isinstance(done.outcome, Future):
        return _failed(done.file, done.outcome)
    try:
        answer = done.outcome.result()
        return FileResult(done.file.name, predictor.prediction(done.windows, answer.probabilities))
    except ModelError as error:
        return FileResult(done.file.name, None, str(error), error.code)


def _failed(file: InputFile, error: object) -> FileResult:
    if isinstance(error, AudioError):
        return FileResult(file.name, None, str(error), error.code)
    reason = error.strerror if isinstance(error, OSError) else None
    return FileResult(file.name, None, f"cannot be read ({reason or error})", "unreadable")
