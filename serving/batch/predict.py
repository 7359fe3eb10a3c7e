"""Classify recordings into a table: ``inputs -> files -> results -> rows``, resumable, with progress and a summary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice, tee
from pathlib import Path

from emotions.audio.formats import EXTENSIONS
from emotions.bundle.bundle import Bundle, read_bundle
from emotions.bundle.variants import AUTO, choose_variant
from emotions.calls.channels import by_channel
from emotions.calls.diarisation import Diarisation, by_speaker
from emotions.errors import DataError
from emotions.folder.predict_files import open_parallel, predict_chunks
from emotions.inputs.discovery import FileList, find_files
from serving.batch.checkpoint import is_unfinished
from serving.batch.options import Options, check_table
from serving.batch.plot import plot_summary
from serving.batch.summary import Totals, document, summary
from serving.batch.write_table import ChunkResults, Classify, NumberedChunk, write_table


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
    totals = write_table(opened, found, output, options, run_on, classify)
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
    files = found.files
    if options.channels != "mix":
        files = by_channel(files, options.channels, options.speakers)
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
