"""Classify recordings into a table: ``inputs -> files -> results -> rows``, resumable, with progress and a summary."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from itertools import islice, tee
from pathlib import Path

from emotions.audio.formats import EXTENSIONS
from emotions.bundle.manifest import Bundle, read_bundle
from emotions.bundle.variants import AUTO, choose_variant
from emotions.calls.call import PAD_SEC
from emotions.calls.channels import by_channel
from emotions.calls.diarisation import Diarisation, by_speaker
from emotions.energy.meter import measuring
from emotions.errors import DataError
from emotions.folder.predict_files import chunked, open_parallel, predict_chunks
from emotions.folder.result import FileResult
from emotions.inputs.discovery import FileList, find_files
from emotions.inputs.input_file import InputFile
from serving.batch.annotations import Timelines, paths_of
from serving.batch.calls import join_calls, open_calls
from serving.batch.checkpoint import Join, RunCheckpoint, is_unfinished, open_checkpoint, signature
from serving.batch.options import Options, check_table
from serving.batch.page.report_page import ReportPage
from serving.batch.plot import plot_summary
from serving.batch.progress import show_progress
from serving.batch.summary import Totals, document, summary
from serving.tables.audformat import database_of
from serving.tables.columns import AUDFORMAT, PARTICIPANT, Columns, Row, columns
from serving.tables.writer import join_parts, open_part, rows

NumberedChunk = tuple[int, Sequence[InputFile]]
ChunkResults = tuple[int, Iterator[FileResult]]
Classify = Callable[[Iterable[NumberedChunk]], Iterator[ChunkResults]]
"""Classifies numbered chunks, and gives the results of all files of each; the chunks may come in any order."""


def predict_to_table(inputs: Sequence[Path | str], bundle: Path, output: Path, options: Options) -> Totals:
    """Classify recordings, write the table and print a summary to stdout. A file that fails is a row with its error.

    Args:
        inputs: recordings, folders that are searched for them, patterns, tables of segments, URLs.
        bundle: the bundle to classify with.
        output: the table.
        options: how to classify.

    Returns:
        Counts of all files, those of an earlier run included.

    Raises:
        ConfigError, OutputExists, MissingExtra: the table cannot be written.
        DataError: an input is missing, or there is no recording.
        BundleError, DeviceError: the bundle cannot be used.
    """
    check_table(output, options)
    if options.resume and output.exists() and not is_unfinished(output):
        print(f"{output}: is complete; there is nothing to resume")
        return Totals()
    found = find_recordings(inputs, options)
    address = options.ray_address
    opened, classify, run_on = _open_local(bundle, options) if address is None else _open_ray(bundle, address, options)
    totals = _write_table(opened, found, output, options, run_on, classify)
    if options.plot is not None:
        classes = {target: len(labels) for target, labels in opened.manifest.labels.items()}
        plot_summary(options.plot, totals, classes)
    if options.log_format == "json":
        print(document(output, totals, {"bundle": opened.id, **run_on}))
    else:
        print(summary(output, totals, [*opened.manifest.labels], {"bundle": opened.id, **run_on}))
    return totals


def find_recordings(inputs: Sequence[Path | str], options: Options) -> FileList:
    """The recordings that inputs and lists name, or the participants in them. Raises DataError where there is none."""
    found = find_files(inputs, options.lists)
    if not found.files:
        where = ", ".join(map(str, (*inputs, *options.lists)))
        raise DataError(
            f"{where}: no recording found ({found.skipped} files of other kinds); the extensions searched for are "
            + " ".join(sorted(EXTENSIONS))
        )
    files = by_channel(found.files, options.channels, options.speakers)
    if options.diarisation is not None:
        files = by_speaker(files, Diarisation(options.diarisation))
    return replace(found, files=files)


def _open_local(bundle: Path, options: Options) -> tuple[Bundle, Classify, dict[str, str]]:
    """The bundle, what classifies with it in this process, and the variant and device that its rows depend on."""
    model, parallel_batches = open_parallel(
        bundle,
        device=options.device,
        variant=options.variant,
        threads=options.threads,
        embedding=options.embeddings,
    )
    session = model.session
    run_on = {"variant": session.variant, "device": session.device, "batches_at_once": str(len(parallel_batches))}

    def classify(chunks: Iterable[NumberedChunk]) -> Iterator[ChunkResults]:
        # The scheduler reads chunks ahead of the results that are written.
        ahead, numbered = tee(chunks)
        files = (chunk for _, chunk in ahead)
        results = predict_chunks(
            model,
            files,
            decode_threads=options.threads,
            parallel_batches=parallel_batches,
            strict=options.strict,
            segments=options.what,
        )
        for index, chunk in numbered:
            yield index, islice(results, len(chunk))

    return model.bundle, classify, run_on


def _open_ray(bundle: Path, address: str, options: Options) -> tuple[Bundle, Classify, dict[str, str]]:
    """As ``_open_local``, on the Ray cluster at ``address``."""
    from serving.batch.ray_pool import classify_on_ray
    from serving.batch.ray_worker import Cluster

    opened = read_bundle(bundle)
    variant = options.variant or AUTO
    if options.device != "auto":
        variant = choose_variant(opened, options.device, variant)
    cluster = Cluster(
        address,
        bundle.absolute(),
        options.device,
        options.threads,
        options.needs_windows,
        options.embeddings,
        variant,
        options.strict,
        options.what,
    )
    return opened, partial(classify_on_ray, cluster), {"variant": variant, "device": options.device}


def _write_table(
    bundle: Bundle, found: FileList, output: Path, options: Options, run_on: Mapping[str, str], classify: Classify
) -> Totals:
    """Classify the chunks that are not finished, and join the table."""
    manifest = bundle.manifest
    names = columns(
        manifest.targets,
        embeddings=options.embeddings,
        unknown_targets=manifest.thresholds,
        dimensional=manifest.ranges,
        segments=options.what if options.diarisation is None else "speech",
        participants=_participants(options),
    )
    join: Join = join_parts
    if output.suffix.lower() == AUDFORMAT:
        join = database_of(bundle, found.files, windows=options.windows)
    settings = {"bundle": bundle.id, **run_on, "chunk_files": options.chunk_files, "windows": options.windows}
    settings |= {"strict": options.strict, "segments": options.what}
    settings |= {"channels": options.channels, "speakers": [*options.speakers], "calls": options.calls is not None}
    settings |= {"timeline": [*options.timeline], "diarisation": options.diarisation is not None}
    timelines = Timelines(
        options.folder(output),
        options.timeline,
        options.windows,
        bundle.id,
        paths_of(found.files) if options.timeline else {},
    )
    chunks = [*chunked(found.files, options.chunk_files)]
    page = None if options.page is None else ReportPage(options.page, found.files)
    with open_checkpoint(output, names, settings, resume=options.resume) as checkpoint:
        pending = checkpoint.pending(chunks)
        if options.ray_address is not None:
            from serving.batch.ray_pool import heaviest_first

            pending = heaviest_first(pending, chunks)
        totals = _totals_of(checkpoint, found)
        totals.resumed_files, totals.resumed_sec = totals.files, totals.audio_sec
        numbered = [(index, chunks[index]) for index in pending]
        progress = show_progress(totals, len(found.files), quiet=options.quiet, log_format=options.log_format)
        with measuring(options.energy) as meter, progress as update:
            started = time.perf_counter()
            for result in _write_chunks(checkpoint, classify, numbered, options, timelines):
                totals.add(result)
                if page is not None:
                    page.add(result)
                update()
            wall_sec = time.perf_counter() - started
        # Counted again in the order of the chunks, which come in any order from a cluster.
        done = _totals_of(checkpoint, found)
        done.resumed_files, done.resumed_sec, done.wall_sec = totals.resumed_files, totals.resumed_sec, wall_sec
        done.energy = meter.energy
        if options.calls is not None:
            join_calls([*map(checkpoint.part, range(len(chunks)))], options.calls)
        checkpoint.finish(join)
    if page is not None:
        page.write(bundle, run_on["device"], run_on["variant"])
    return done


def _participants(options: Options) -> Columns:
    """The columns that tell participants apart."""
    if options.diarisation is not None:
        return {"speaker": str}
    return PARTICIPANT if options.channels == "split" else {}


def _totals_of(checkpoint: RunCheckpoint, found: FileList) -> Totals:
    totals = Totals(found.skipped)
    for state in checkpoint.totals():
        totals.merge(state)
    return totals


def _write_chunks(
    checkpoint: RunCheckpoint,
    classify: Classify,
    chunks: Sequence[NumberedChunk],
    options: Options,
    timelines: Timelines,
) -> Iterator[FileResult]:
    """Write the rows of each chunk as its results come, and record it when it is complete."""
    signatures: dict[int, str] = {}
    template: Row = dict.fromkeys(checkpoint.columns)

    def signed() -> Iterator[NumberedChunk]:
        for index, files in chunks:
            signatures[index] = signature(files)  # before the files are read, so that a later change is noticed
            yield index, files

    for index, results in classify(signed()):
        counts = Totals()
        part = checkpoint.part(index)
        calls = (
            nullcontext(_nothing)
            if options.calls is None
            else open_calls(part, PAD_SEC if options.diarisation is None else 0.0)
        )
        files = timelines.open() if options.timeline else nullcontext(_nothing)
        with open_part(part, checkpoint.columns) as write, calls as add_to_calls, files as add_to_timelines:
            for result in results:
                for cells in rows(result, template, windows=options.windows):
                    write(cells)
                add_to_calls(result)
                add_to_timelines(result)
                counts.add(result)
                yield result
        checkpoint.record(index, signatures.pop(index), counts.state())


def _nothing(_: FileResult) -> None:
    """Takes a result where nothing but its rows is written."""
