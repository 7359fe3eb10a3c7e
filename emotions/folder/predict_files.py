"""Folders: many recordings through one model, as fast as the model runs.

Decoding runs ahead in a pool of threads, windows of different files share full batches, and the results come in the
order of the files, with never more than a few batches of audio in memory. Batches form inside chunks of the list, so
that a chunk's answers are the same to the last digit whatever is classified before or after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from emotions.audio.speech.windows import Segments
from emotions.bundle.bundle import read_bundle
from emotions.folder.result import FileResult
from emotions.folder.scheduler import BATCHES_AHEAD, FolderScheduler, prefetch
from emotions.inputs.input_file import InputFile
from emotions.runtime.batch_shape import Run
from emotions.runtime.cores import available_cores
from emotions.runtime.devices import cpu_parallel_batches, gpu_count, gpu_parallel_batches
from emotions.runtime.prediction import Model
from emotions.runtime.session import DeviceChoice, open_session

CHUNK_FILES = 512
"""Files of a chunk. Its last batch is not full, which costs the less the larger it is; a killed run loses as many."""
DEFAULT_MAX_BATCH = {"cpu": 8, "cuda": 64}
"""Windows in a batch by device: on a CPU more gain nothing, a GPU wants many."""
ParallelRuns = Sequence[Run]
"""What the batches that run at once go to: several times one session on a CPU, some times that of each GPU."""


def open_parallel(
    bundle: Path,
    *,
    device: DeviceChoice = "auto",
    variant: str | None = None,
    threads: int | None = None,
    embedding: bool = False,
) -> tuple[Model, ParallelRuns]:
    """Load a bundle for folders: the model, and the runs for its ``threads`` or for every GPU.

    Args and Raises as ``emotions.load``.
    """
    opened = read_bundle(bundle)
    long = opened.manifest.window.long
    parallel_batches, share = cpu_parallel_batches(threads or available_cores(), long=long)
    streams = gpu_parallel_batches(long=long)
    options: Any = {"threads": share, "embedding": embedding, "streams": streams}
    session = open_session(opened, device=device, variant=variant, **options)
    runs = [session.run] * parallel_batches
    if session.device == "cuda":
        others = (
            open_session(opened, device="cuda", variant=session.variant, device_id=number, **options)
            for number in range(1, gpu_count())
        )
        runs = [session.run, *(other.run for other in others)] * streams
    return Model(opened, session), runs


def chunked(files: Sequence[InputFile], chunk_files: int) -> Iterator[Sequence[InputFile]]:
    """Cut a list of files into chunks, the last one perhaps shorter. Args as ``predict_files``.

    A chunk is longer where the participants of one recording would else be in two.
    """
    at = 0
    while at < len(files):
        behind = at + chunk_files
        while 0 < behind < len(files) and files[behind].is_other_participant(files[behind - 1]):
            behind += 1
        yield files[at:behind]
        at = behind


def predict_files(
    model: Model,
    files: Sequence[InputFile],
    *,
    max_batch: int | None = None,
    decode_threads: int | None = None,
    chunk_files: int = CHUNK_FILES,
    parallel_batches: ParallelRuns | int = 1,
    strict: bool = False,
    segments: Segments = "windows",
) -> Iterator[FileResult]:
    """Classify files, in their order; a file that cannot be used is a result with an error.

    Args:
        model: a loaded bundle.
        files: what to classify.
        max_batch: windows in a batch; by default what suits the device.
        decode_threads: threads that decode; by default one per core.
        chunk_files: files whose windows share batches with each other, and with no others.
        parallel_batches: what each of the batches that run at once goes to, or how many of them the model takes.
        strict: refuse a recording of which a part is missing, rather than classify what there is.
        segments: classify all of a file, or its speech alone.
    """
    chunks = chunked(files, chunk_files)
    return predict_chunks(
        model,
        chunks,
        max_batch=max_batch,
        decode_threads=decode_threads,
        parallel_batches=parallel_batches,
        strict=strict,
        segments=segments,
    )


def predict_chunks(
    model: Model,
    chunks: Iterable[Sequence[InputFile]],
    *,
    max_batch: int | None = None,
    decode_threads: int | None = None,
    parallel_batches: ParallelRuns | int = 1,
    strict: bool = False,
    segments: Segments = "windows",
) -> Iterator[FileResult]:
    """Classify chunks of files one after the other. Args and results as ``predict_files``."""
    size = max_batch or DEFAULT_MAX_BATCH[model.session.device]
    pool = ThreadPoolExecutor(decode_threads or available_cores(), thread_name_prefix="decode")
    runs = [model.session.run] * parallel_batches if isinstance(parallel_batches, int) else parallel_batches
    flow = FolderScheduler(model, pool, size, runs)
    ahead = len(runs) * size * BATCHES_AHEAD
    try:
        for decoded in prefetch(pool, model, chunks, ahead, strict=strict, segments=segments):
            yield from flow.take(decoded)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        flow.close()
