"""Classify recordings into a table: ``inputs -> files -> results -> rows``, resumable, with progress and a summary."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

from emotions.audio.containers import EXTENSIONS
from emotions.bundle.manifest import Bundle, read_bundle
from emotions.bundle.variants import AUTO, choose_variant
from emotions.errors import DataError, MissingExtra
from emotions.folder.predict_files import CHUNK_FILES, ParallelRuns, chunked, open_parallel, predict_chunks
from emotions.folder.result import FileResult
from emotions.inputs.discovery import FileList, find_files
from emotions.inputs.input_file import InputFile
from emotions.runtime.prediction import Model
from emotions.runtime.session import DeviceChoice
from serving.batch.checkpoint import Join, RunCheckpoint, check_output, is_begun, open_checkpoint, signature
from serving.batch.plot import check_plot, plot_summary
from serving.batch.progress import LogFormat, watched
from serving.batch.statistics import Totals
from serving.batch.summary import document, summary
from serving.tables.audformat import database_of
from serving.tables.columns import AUDFORMAT, Columns, Row, columns
from serving.tables.writer import check_ending, join_parts, open_part, rows

Chunk = Sequence[InputFile]
Execute = Callable[[Iterable[tuple[int, Chunk]]], Iterator[tuple[int, Iterator[FileResult]]]]
"""Classifies numbered chunks; it gives the results of each, of all its files, in any order of the chunks."""


@dataclass(frozen=True)
class Options:
    """How to classify.

    Attributes:
        overwrite: replace a table that is there already.
        resume: go on with a table that a killed run did not finish.
        lists: files with a path or URL a line; ``-`` is standard input.
        windows: one row a window.
        embeddings: a column with each row's embedding.
        plot: picture of the summary to draw.
        ray_address: Ray cluster to classify on: ``auto``, ``local`` or ``host:port``; None for this process.
        device: where the model runs; on every GPU where there are several.
        variant: which form of the model; None or ``auto`` for the one that suits the device.
        threads: CPU threads of the model and of decoding; None for one a core.
        chunk_files: files of a chunk: what batches form in, and what a killed run loses at most.
        quiet: no progress on stderr.
        log_format: progress and summary in words, or as JSON for machines.
    """

    overwrite: bool = False
    resume: bool = False
    lists: Sequence[Path | str] = ()
    windows: bool = False
    embeddings: bool = False
    plot: Path | None = None
    ray_address: str | None = None
    device: DeviceChoice = "auto"
    variant: str | None = None
    threads: int | None = None
    chunk_files: int = CHUNK_FILES
    quiet: bool = False
    log_format: LogFormat = "text"


def check_table(output: Path, options: Options) -> None:
    """Refuse what would stop a run for certain, before anything is computed.

    Raises:
        ConfigError, OutputExists, MissingExtra: the table cannot be written.
    """
    check_ending(output)
    if options.plot is not None:
        check_plot(options.plot)
    if options.ray_address is not None and find_spec("ray") is None:
        raise MissingExtra("ray", "ray")
    check_output(output, overwrite=options.overwrite, resume=options.resume)


def predict_to_table(inputs: Sequence[Path | str], bundle: Path, output: Path, options: Options) -> Totals:
    """Classify recordings, write the table and print a summary to stdout. A file that fails is a row with its error.

    Args:
        inputs: recordings, folders that are searched for them, patterns, tables of segments, URLs.
        bundle: the bundle to classify with.
        output: the table.
        options: how.

    Raises:
        ConfigError, OutputExists, MissingExtra: the table cannot be written.
        DataError: an input is missing, or there is no recording.
        BundleError, DeviceError: the bundle cannot be used.
    """
    check_table(output, options)
    if options.resume and output.exists() and not is_begun(output):
        print(f"{output}: is complete; there is nothing to resume")
        return Totals()
    found = _find(inputs, options)
    opened, execute, where = _executor(bundle, options)
    totals = _Run(opened, found, output, options, where).classify(execute)
    if options.plot is not None:
        plot_summary(options.plot, totals)
    if options.log_format == "json":
        print(document(output, totals, where))
    else:
        print(summary(output, totals, list(opened.manifest.targets), where))
    return totals


def _find(inputs: Sequence[Path | str], options: Options) -> FileList:
    found = find_files(inputs, options.lists)
    if not found.files:
        where = ", ".join(map(str, (*inputs, *options.lists)))
        raise DataError(
            f"{where}: no recording found ({found.skipped} files of other kinds); the extensions searched for are "
            + " ".join(sorted(EXTENSIONS))
        )
    return found


def _executor(bundle: Path, options: Options) -> tuple[Bundle, Execute, dict[str, str]]:
    """The bundle, what classifies with it, and the variant and device that rows depend on."""
    if options.ray_address is not None:
        from serving.batch.ray_pool import classify_on_ray
        from serving.batch.ray_worker import Cluster

        opened = read_bundle(bundle)
        variant = options.variant or AUTO
        if options.device != "auto":
            variant = choose_variant(opened, options.device, variant)
        cluster = Cluster(
            options.ray_address,
            bundle.absolute(),
            options.device,
            options.threads,
            options.windows,
            options.embeddings,
            variant,
        )
        where = {"variant": variant, "device": options.device}
        return opened, lambda chunks: classify_on_ray(cluster, chunks), where
    model, parallel_batches = open_parallel(
        bundle,
        device=options.device,
        variant=options.variant,
        threads=options.threads,
        embedding=options.embeddings,
    )
    where = {
        "variant": model.session.variant,
        "device": model.session.device,
        "batches_at_once": str(len(parallel_batches)),
    }
    return model.bundle, lambda chunks: _locally(model, chunks, options.threads, parallel_batches), where


def _locally(
    model: Model, chunks: Iterable[tuple[int, Chunk]], threads: int | None, parallel_batches: ParallelRuns
) -> Iterator[tuple[int, Iterator[FileResult]]]:
    """Classify chunks one after the other in this process."""
    begun: list[tuple[int, int]] = []

    def feed() -> Iterator[Chunk]:
        for index, chunk in chunks:
            begun.append((index, len(chunk)))
            yield chunk

    results = predict_chunks(model, feed(), decode_threads=threads, parallel_batches=parallel_batches)
    while (first := next(results, None)) is not None:
        index, count = begun.pop(0)
        yield index, _with_first(first, islice(results, count - 1))


def _with_first(first: FileResult, rest: Iterator[FileResult]) -> Iterator[FileResult]:
    yield first
    yield from rest


class _Run:
    """One table being written."""

    def __init__(
        self, bundle: Bundle, found: FileList, output: Path, options: Options, where: Mapping[str, str]
    ) -> None:
        self._found, self._output, self._options = found, output, options
        self._join: Join = join_parts
        if output.suffix.lower() == AUDFORMAT:
            self._join = database_of(bundle, found.files, windows=options.windows)
        self._columns: Columns = columns(
            bundle.manifest.targets, embeddings=options.embeddings, unknown_targets=bundle.manifest.thresholds
        )
        self._chunks = [*chunked(found.files, options.chunk_files)]
        self._settings: dict[str, Any] = {
            "bundle": bundle.id,
            **where,
            "chunk_files": options.chunk_files,
            "windows": options.windows,
        }

    def classify(self, execute: Execute) -> Totals:
        """Do what is to do, and join the table."""
        options = self._options
        with open_checkpoint(self._output, self._columns, self._settings, resume=options.resume) as checkpoint:
            pending = checkpoint.pending(self._chunks)
            if options.ray_address is not None:
                from serving.batch.ray_pool import heaviest_first

                pending = heaviest_first(pending, self._chunks)
            totals = self._counted(checkpoint)
            totals.resumed_files, totals.resumed_sec = totals.files, totals.audio_sec
            total = len(self._found.files)
            with watched(totals, total, quiet=options.quiet, log_format=options.log_format) as update:
                started = time.perf_counter()
                self._write(checkpoint, execute, pending, totals, update)
                wall_sec = time.perf_counter() - started
            done = self._counted(checkpoint)
            done.resumed_files, done.resumed_sec, done.wall_sec = totals.resumed_files, totals.resumed_sec, wall_sec
            checkpoint.finish(self._join)
        return done

    def _counted(self, checkpoint: RunCheckpoint) -> Totals:
        totals = Totals(self._found.skipped)
        for state in checkpoint.totals():
            totals.merge(state)
        return totals

    def _write(
        self,
        checkpoint: RunCheckpoint,
        execute: Execute,
        pending: Sequence[int],
        totals: Totals,
        update: Callable[[], None],
    ) -> None:
        """Write the rows of each chunk as they come, and note it when all of them are there."""
        signed: dict[int, str] = {}
        template: Row = dict.fromkeys(self._columns)

        def begin() -> Iterator[tuple[int, Chunk]]:
            for index in pending:
                signed[index] = signature(self._chunks[index])  # before its files are read: a later change is seen
                yield index, self._chunks[index]

        for index, results in execute(begin()):
            chunk = Totals()
            with open_part(checkpoint.part(index), self._columns) as write:
                for result in results:
                    for cells in rows(result, template, windows=self._options.windows):
                        write(cells)
                    chunk.add(result)
                    totals.add(result)
                    update()
            checkpoint.record(index, signed.pop(index), chunk.state())
