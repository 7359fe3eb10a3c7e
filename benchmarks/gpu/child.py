"""A step's process, ``python -m benchmarks.gpu.child CALL FOLDER NOTES [dry]``: each figure is a line at once."""

from __future__ import annotations

import json
import re
import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.gpu.step import Bench, Skipped, plain

_MAX_CAUSE = 300
_OF_CUDA = re.compile(r"CU[A-Z]+ (?:failure|error) -?\d+: [^;\n]+")


def main(arguments: list[str]) -> int:
    """Run a step, and note what it finds and how it ended; the exit code is 1 where it failed."""
    call, folder, notes, *dry = arguments
    bench = Bench(Path(folder), Path(folder) / "scratch" / Path(notes).stem, dry=bool(dry))
    bench.scratch.mkdir(parents=True, exist_ok=True)
    with Path(notes).open("a", encoding="utf-8") as stream:

        def note(*line: Any) -> None:
            stream.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
            stream.flush()

        status, cause = "passed", ""
        try:
            _run(call, bench, note)
        except Skipped as reason:
            status, cause = "skipped", str(reason)
        except Exception as error:  # noqa: BLE001 - whatever stops a step, its cause is told and the next goes on
            sys.excepthook(type(error), error, error.__traceback__)
            status, cause = "failed", in_words(error)
        note("end", {"status": status, "cause": cause})
    return int(status == "failed")


def _run(call: str, bench: Bench, note: Any) -> None:
    if bench.dry:
        from benchmarks.gpu import fake_cuda

        fake_cuda.install()
    warnings.simplefilter("ignore")  # of torch's exporter and the like: they hide in a log that nobody reads
    module, _, function = call.partition(":")
    for name, value in getattr(import_module(module), function)(bench):
        note("figure", name, plain(value))


def in_words(error: BaseException) -> str:
    """An error in one line: its kind, and what CUDA said, else the first line of its text that says something."""
    of_cuda = _OF_CUDA.search(str(error))  # ONNX Runtime puts half a page of its own templates before it
    line = of_cuda[0] if of_cuda else next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {line}".strip()[:_MAX_CAUSE] if line else type(error).__name__


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
