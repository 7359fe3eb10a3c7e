"""Classify recordings and print the predictions for somebody who reads them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from emotions.bundle.bundle import Bundle
from emotions.bundle.targets import Range
from emotions.errors import AudioError, ConfigError, plain
from emotions.folder.predict_files import open_parallel, predict_files
from emotions.folder.result import FileResult
from emotions.inputs.input_file import InputFile
from emotions.pipeline.energy.energy import in_full
from emotions.pipeline.energy.meter import measuring
from emotions.runtime.session import Session
from serving.batch.options import Options, check_parts
from serving.batch.plot import check_plot, plot_summary
from serving.batch.predict import find_recordings
from serving.batch.summary import Totals
from serving.batch.terminal import Terminal, columns_of_time, line_of, name_width, timeline_lines
from serving.batch.timeline import timeline
from serving.batch.timeline_plot import plot_timeline

_PLOTTED_PIECES = 1200


def show_predictions(inputs: Sequence[Path | str], bundle: Path, options: Options) -> Totals:
    """Classify recordings and print a line for each, or with ``windows`` what each is over time; then the bundle.

    Args:
        inputs: recordings, folders that are searched for them, patterns, tables of segments, URLs.
        bundle: the bundle to classify with.
        options: how to classify. Those of a table and of a cluster do not count.

    Raises:
        ConfigError: a timeline of several recordings is to be drawn.
        DataError: an input is missing, or there is no recording.
        BundleError, DeviceError: the bundle cannot be used.
    """
    if options.plot is not None:
        check_plot(options.plot)
    check_parts(options)
    found = find_recordings(inputs, options)
    found = replace(found, files=tuple(map(_named, found.files)))
    if options.windows and options.plot is not None and len(found.files) > 1:
        raise ConfigError(
            f"a timeline is drawn of one recording, these are {len(found.files)}: leave --plot or --windows out"
        )
    model, runs = open_parallel(bundle, device=options.device, variant=options.variant, threads=options.threads)
    results = predict_files(
        model,
        found.files,
        decode_threads=options.threads,
        chunk_files=options.chunk_files,
        parallel_batches=runs,
        strict=options.strict,
        segments=options.segments,
    )
    totals, terminal = Totals(found.skipped), Terminal.here()
    width, ranges = name_width(found.files, terminal), model.manifest.ranges
    with measuring(options.energy) as meter:
        started = time.perf_counter()
        for file, result in zip(found.files, results, strict=True):
            totals.add(result)
            lines = _over_time(file, result, terminal, ranges) if options.windows else None
            print(*(lines or [line_of(result, width, terminal)]), sep="\n", flush=True)
            if options.windows and options.plot is not None and result.prediction is not None:
                plot_timeline(options.plot, result.name, timeline(file, result.prediction, _PLOTTED_PIECES), ranges)
        totals.wall_sec = time.perf_counter() - started
    totals.energy = meter.energy
    print(f"\n{_conclusion(totals, model.bundle, model.session)}")
    if options.plot is not None and not options.windows:
        plot_summary(options.plot, totals, {name: len(labels) for name, labels in model.manifest.labels.items()})
    return totals


def _named(file: InputFile) -> InputFile:
    """A file under a name that says which participant it is."""
    return replace(file, name=f"{file.name} ({file.speaker})") if file.speaker else file


def _over_time(
    file: InputFile, result: FileResult, terminal: Terminal, ranges: Mapping[str, Range]
) -> list[str] | None:
    """The lines of a timeline; None where there is nothing to show over time."""
    if result.prediction is None:
        return None
    try:
        found = timeline(file, result.prediction, columns_of_time(terminal))
    except (AudioError, OSError):  # it was replaced meanwhile
        return None
    return timeline_lines(result.name, found, terminal, ranges)


def _conclusion(totals: Totals, bundle: Bundle, session: Session) -> str:
    return "; ".join(_parts(totals, bundle, session))


def _parts(totals: Totals, bundle: Bundle, session: Session) -> Iterator[str]:
    yield f"{plain(bundle.id)}, {plain(session.variant)} on {session.device}"
    if totals.files > 1:
        speed = totals.audio_sec / max(totals.wall_sec, 1e-9)
        yield f"{totals.files} recordings, {totals.audio_sec:.0f} s of audio, {speed:.0f} times faster than it plays"
    if totals.skipped:
        yield f"{totals.skipped} of other kinds passed over"
    if totals.errors:
        yield ", ".join(f"{count} {code}" for code, count in totals.codes.most_common())
    if totals.energy is not None:
        yield in_full(totals.energy)
