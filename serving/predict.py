"""Classify recordings into a table: ``inputs -> files -> results -> rows``, with progress and a summary."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from emotions.containers import EXTENSIONS
from emotions.errors import DataError
from emotions.folder import FileList, FileResult, find_files, predict_files
from emotions.predictor import load
from emotions.runtime import DeviceChoice
from serving.progress import watched
from serving.summary import summary
from serving.tables import check_table, open_table, row

HEAD = 8
"""Results that the summary shows."""


@dataclass(frozen=True)
class Options:
    """How to classify.

    Attributes:
        overwrite: replace a table that is there already.
        device: where the model runs.
        threads: CPU threads of the model and of decoding; None for one a core.
        quiet: no progress on stderr.
    """

    overwrite: bool = False
    device: DeviceChoice = "auto"
    threads: int | None = None
    quiet: bool = False


@dataclass
class Totals:
    """What became of all files.

    Attributes:
        skipped: files passed over because of their extension.
        files: files classified or failed.
        codes: how often each error occurred.
        audio_sec: seconds of audio that were classified.
        wall_sec: seconds that it took, without loading the model.
        labels: target -> how often each label was the most probable one.
        head: the first results.
    """

    skipped: int = 0
    files: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    audio_sec: float = 0.0
    wall_sec: float = 0.0
    labels: dict[str, Counter[str]] = field(default_factory=dict)
    head: list[FileResult] = field(default_factory=list)

    @property
    def errors(self) -> int:
        """Files that failed."""
        return self.codes.total()

    def add(self, result: FileResult) -> None:
        """Count one result."""
        self.files += 1
        if len(self.head) < HEAD:
            self.head.append(result)
        if result.prediction is None:
            self.codes[result.code or "error"] += 1
            return
        self.audio_sec += result.prediction.duration_sec
        for target, label in result.prediction.labels.items():
            self.labels.setdefault(target, Counter())[label] += 1


def predict_to_table(inputs: Sequence[Path], bundle: Path, output: Path, options: Options) -> Totals:
    """Classify recordings, write the table and print a summary to stdout. A file that fails is a row with its error.

    Args:
        inputs: recordings, or folders that are searched for them.
        bundle: the bundle to classify with.
        output: the table.
        options: how.

    Raises:
        ConfigError, OutputExists, MissingExtra: the table cannot be written.
        DataError: an input is missing, or there is no recording.
        BundleError, DeviceError: the bundle cannot be used.
    """
    check_table(output, overwrite=options.overwrite)
    found = _find(inputs)
    predictor = load(bundle, device=options.device, threads=options.threads)
    targets = predictor.manifest.targets
    totals = Totals(found.skipped)
    with open_table(output, targets) as write, watched(totals, len(found.files), quiet=options.quiet) as update:
        started = time.perf_counter()
        for result in predict_files(predictor, found.files, decode_threads=options.threads):
            write(row(result, targets))
            totals.add(result)
            update()
        totals.wall_sec = time.perf_counter() - started
    print(summary(output, totals, list(targets)))
    return totals


def _find(inputs: Sequence[Path]) -> FileList:
    found = find_files(inputs)
    if not found.files:
        where = ", ".join(map(str, inputs))
        raise DataError(
            f"{where}: no recording found ({found.skipped} files of other kinds); the extensions searched for are "
            + " ".join(sorted(EXTENSIONS))
        )
    return found
