"""Examines cases of one target: ``python -m tests.security.fuzz.cases TARGET SEED FIRST END``.

Two lines a case, its number before it, and with its outcome after it: so the one that kills the process is known.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from tests.security.fuzz.all_targets import TARGETS
from tests.security.fuzz.target import examine, files_of


def main(arguments: Sequence[str]) -> None:
    """Examine the cases, and print the outcome of each."""
    name, seed, first, end = arguments
    target = TARGETS[name]
    for number in range(int(first), int(end)):
        print(number, flush=True)
        try:
            outcome = examine(target, files_of(target, name, seed, number))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            outcome = f"fault {_in_one_line(error)}"
        print(number, outcome, sep="\t", flush=True)


def _in_one_line(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {str(error)[:300]!r} at {Path(last.filename).name}:{last.lineno}"


if __name__ == "__main__":
    main(sys.argv[1:])
