"""The rows of a run, chunk by chunk: what is finished already is skipped, and all of it is joined at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from emotions.bundle.bundle import Bundle
from emotions.bundle.manifest import Manifest
from emotions.calls.call import PAD_SEC
from emotions.folder.predict_files import chunked
from emotions.folder.result import FileResult
from emotions.inputs.discovery import FileList
from emotions.inputs.input_file import InputFile
from emotions.pipeline.energy.meter import measuring
from serving.batch.annotations import Timelines, paths_of
from serving.batch.calls import join_calls, open_calls
from serving.batch.checkpoint import Join, RunCheckpoint, open_checkpoint, signature
from serving.batch.options import Options
from serving.batch.page.report_page import ReportPage
from serving.batch.progress import show_progress
from serving.batch.summary import Totals
from serving.tables.audformat import database_of
from serving.tables.columns import AUDFORMAT, PARTICIPANT, Columns, Row, columns
from serving.tables.writer import join_parts, open_part, rows

NumberedChunk = tuple[int, Sequence[InputFile]]
ChunkResults = tuple[int, Iterator[FileResult]]
Classify = Callable[[Iterable[NumberedChunk]], Iterator[ChunkResults]]
"""Classifies numbered chunks, and gives the results of all files of each; the chunks may come in any order."""


def write_table(
    bundle: Bundle, found: FileList, output: Path, options: Options, run_on: Mapping[str, str], classify: Classify
) -> Totals:
    """Classify the chunks that are not finished, and join the table.

    Args:
        bundle: the bundle that classifies.
        found: the recordings, or the participants in them.
        output: the table.
        options: how to classify.
        run_on: variant, device and whatever else the rows depend on.
        classify: classifies chunks.

    Returns:
        Counts of all files, those of an earlier run included.
    """
    join = _join(bundle, found, output, options)
    chunks = [*chunked(found.files, options.chunk_files)]
    timelines = _timelines(bundle, found, output, options) if options.timeline else None
    page = None if options.page is None else ReportPage(options.page, found.files)
    names, settings = _columns(bundle.manifest, options), _settings(bundle, options, run_on)
    with open_checkpoint(output, names, settings, resume=options.resume) as checkpoint:
        numbered = [(index, chunks[index]) for index in _pending(checkpoint, chunks, options)]
        totals = _totals_of(checkpoint, found)
        totals.resumed_files, totals.resumed_sec = totals.files, totals.audio_sec
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


def _timelines(bundle: Bundle, found: FileList, output: Path, options: Options) -> Timelines:
    """What writes the files of ``timeline``."""
    paths = paths_of(found.files)
    return Timelines(options.folder(output), options.timeline, options.windows, bundle.id, paths)


def _columns(manifest: Manifest, options: Options) -> Columns:
    """The columns of the table."""
    return columns(
        manifest.targets,
        embeddings=options.embeddings,
        unknown_targets=manifest.thresholds,
        dimensional=manifest.ranges,
        segments=options.what if options.diarisation is None else "speech",
        participants=_participants(options),
    )


def _settings(bundle: Bundle, options: Options, run_on: Mapping[str, str]) -> dict[str, Any]:
    """What a run that goes on must have in common with the one that stopped."""
    return {
        "bundle": bundle.id,
        **run_on,
        "chunk_files": options.chunk_files,
        "windows": options.windows,
        "strict": options.strict,
        "segments": options.what,
        "channels": options.channels,
        "speakers": [*options.speakers],
        "calls": options.calls is not None,
        "timeline": [*options.timeline],
        "diarisation": options.diarisation is not None,
    }


def _join(bundle: Bundle, found: FileList, output: Path, options: Options) -> Join:
    """What joins the parts to the table; DataError where rows would not be told apart in it."""
    if output.suffix.lower() == AUDFORMAT:
        return database_of(bundle, found.files, windows=options.windows)
    return join_parts


def _pending(checkpoint: RunCheckpoint, chunks: Sequence[Sequence[InputFile]], options: Options) -> Sequence[int]:
    """The chunks that are not finished; for a cluster those with most to do come first."""
    pending = checkpoint.pending(chunks)
    if options.ray_address is None:
        return pending
    from serving.batch.ray_pool import heaviest_first

    return heaviest_first(pending, chunks)


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
    timelines: Timelines | None,
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
        files = timelines.open() if timelines else nullcontext(_nothing)
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
