"""A fuzz target: files that somebody else wrote, and what reads them; and the bounds that hold for all of them."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from emotions.errors import EmotionsError

Files = Mapping[str, bytes]
"""Path below the case's folder -> content."""

MOST_SEC = 20.0
MOST_KIB = 400 << 10
_LONGEST_MESSAGE = 30_000


@dataclass(frozen=True)
class Target:
    """One parser.

    Attributes:
        make: makes the files of a case.
        check: reads them as users do, from the folder that they lie in; asserts that what it gets is sound.
        errors: what it may raise instead.
    """

    make: Callable[[Random], Files]
    check: Callable[[Path], None]
    errors: tuple[type[EmotionsError], ...] = (EmotionsError,)


def files_of(target: Target, name: str, seed: str, number: int) -> Files:
    """The files of a case: the same each time for the same seed.

    Args:
        target: makes them.
        name: of the target.
        seed: of the run.
        number: of the case.
    """
    return target.make(Random(f"{seed}:{name}:{number}"))


def examine(target: Target, files: Files) -> str:
    """Let a target read files, and give the code of its error, or ``read``.

    AssertionError where the error is none that is documented, time or memory are not bounded, or a file is written.

    Args:
        target: reads them.
        files: of the case.
    """
    outside = Path(tempfile.mkdtemp(prefix="fuzz-"))
    folder, before = outside / "case", Path.cwd()
    try:
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        os.chdir(outside)  # what writes to a relative path, writes there
        return _bounded(target, folder)
    finally:
        os.chdir(before)
        shutil.rmtree(outside, ignore_errors=True)


def _bounded(target: Target, folder: Path) -> str:
    started, most = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        target.check(folder)
        found = "read"
    except target.errors as error:
        found = error.code
        _check_message(error)
    took = time.monotonic() - started
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - most
    assert took < MOST_SEC, f"it took {took:.1f} s"
    assert grown < MOST_KIB, f"it took {grown >> 10} MiB of memory"
    assert [each.name for each in folder.parent.iterdir()] == [folder.name], "a file was written"
    return found


def _check_message(error: EmotionsError) -> None:
    further = str(error).split("\n")[1:]
    assert str(error), "an error without words"
    assert len(str(error)) < _LONGEST_MESSAGE, f"an error of {len(str(error))} characters"
    assert all(line.startswith("  ") for line in further), f"a line that is no fault of those listed: {error}"
