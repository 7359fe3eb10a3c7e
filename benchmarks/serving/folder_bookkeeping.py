"""What a folder run does beside its recordings, at any number of them: to list, to resume, to join.

python -m benchmarks.serving bookkeeping --bundle bundles/mine --data recordings --files 1000000

The files are hard links to copies of some recordings. One of them alone is classified, and its row stands for all: the
time is that of everything else that a run does.
"""

from __future__ import annotations

import itertools
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.training.peak import forget_peak, peak_mb
from emotions.files.atomic import scratch_folder
from emotions.folder.predict_files import chunked, predict_files
from emotions.inputs.discovery import find_files
from emotions.inputs.input_file import InputFile
from emotions.predictor import Predictor, load
from serving.batch.checkpoint import RunCheckpoint, open_checkpoint, signature
from serving.batch.options import Options
from serving.benchmark.driver.clips import evenly_spread
from serving.tables.columns import Columns, columns
from serving.tables.writer import open_part, rows

_IN_A_FOLDER, _RECORDINGS = 1_000, 200
_SETTINGS = {"chunk_files": Options().chunk_files}


@dataclass
class Bookkeeping:
    """Seconds of a run's own work.

    Attributes:
        files: how many there are.
        listed: to find them.
        signed: to sign the chunks, which a run does once.
        resumed: to tell that all chunks are finished, and none has changed.
        joined: to join the table.
        peak_mb: memory that all of it added at most, in MB.
    """

    files: int
    listed: float = 0.0
    signed: float = 0.0
    resumed: float = 0.0
    joined: float = 0.0
    peak_mb: float = 0.0

    @property
    def ms_a_file(self) -> float:
        """Milliseconds of all of it, by file."""
        return 1_000 * (self.listed + self.signed + self.resumed + self.joined) / self.files


def bookkeeping(bundle: Path, data: Path, files: int) -> Bookkeeping:
    """List, sign, resume and join a folder of links.

    Args:
        bundle: the bundle.
        data: folder of recordings.
        files: how many links to them there are to be.
    """
    model, found = load(bundle, device="cpu"), Bookkeeping(files)
    with scratch_folder("emotions-benchmark") as scratch:
        link(data, scratch / "links", files)
        forget_peak()
        before = peak_mb()
        with _timed(found, "listed"):
            listed = find_files([scratch / "links"]).files
        chunks = [*chunked(listed, Options().chunk_files)]
        with _timed(found, "signed"):
            signed = [signature(chunk) for chunk in chunks]
        output, names = scratch / "table.csv", columns(model.manifest.targets)
        with open_checkpoint(output, names, _SETTINGS) as checkpoint:
            _finish_chunks(checkpoint, model, chunks, signed, names)
        with open_checkpoint(output, names, _SETTINGS, resume=True) as checkpoint:
            with _timed(found, "resumed"):
                pending = checkpoint.pending(chunks)
            if pending:
                raise RuntimeError(f"{len(pending)} chunks are to be classified again")
            with _timed(found, "joined"):
                checkpoint.finish()
        found.peak_mb = peak_mb() - before
    return found


def link(data: Path, folder: Path, count: int) -> None:
    """Make hard links to recordings, again and again, in folders of a thousand.

    Args:
        data: folder of recordings.
        folder: is made, and holds copies of recordings beside the links.
        count: how many links.
    """
    copies = []
    (folder / ".copies").mkdir(parents=True)  # hidden: a run passes it over
    for number, file in enumerate(evenly_spread(find_files([data]).files, _RECORDINGS)):
        copies.append(Path(shutil.copyfile(file.path, folder / ".copies" / f"{number}{file.path.suffix}")))
    for number, source in enumerate(itertools.islice(itertools.cycle(copies), count)):
        place = folder / f"{number // _IN_A_FOLDER:06}"
        if number % _IN_A_FOLDER == 0:
            place.mkdir()
        os.link(source, place / f"{number % _IN_A_FOLDER:03}{source.suffix}")


def _finish_chunks(
    checkpoint: RunCheckpoint,
    model: Predictor,
    chunks: Sequence[Sequence[InputFile]],
    signed: Sequence[str],
    names: Columns,
) -> None:
    """Write the rows of every chunk, each that of the first file, as a run that was killed at its end leaves them."""
    (first,) = predict_files(model, [chunks[0][0]])
    cells = [*rows(first, dict.fromkeys(names))]
    for index, chunk in enumerate(chunks):
        with open_part(checkpoint.part(index), names) as write:
            for _ in chunk:
                for row in cells:
                    write(row)
        checkpoint.record(index, signed[index], {"files": len(chunk)})


@contextmanager
def _timed(found: Bookkeeping, name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    setattr(found, name, time.perf_counter() - began)
