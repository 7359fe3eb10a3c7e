"""The GPU path in one command, ``python -m benchmarks.gpu``.

``run``: every step on this machine's GPU, and a report. ``dry``: the same on a fake of the CUDA provider. ``pack``: an
archive for a machine with torch and without a network. ``report``: the report of lines that are there.
"""

from __future__ import annotations

import json
import resource
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, help=__doc__)
Output = Annotated[Path, typer.Option(metavar="DIR", help="Folder for lines, logs, bundles and the report.")]


@app.callback()
def main() -> None:
    """The GPU path, measured and proven."""


@app.command()
def run(
    output: Output = Path("data/gpu"),
    only: Annotated[
        list[str] | None, typer.Option("--step", metavar="S", help="Only this one; may be repeated.")
    ] = None,
    dry: Annotated[bool, typer.Option("--dry", help="Without a GPU: tiny models on a fake of its provider.")] = False,
    seconds: Annotated[float | None, typer.Option(min=10, help="For all steps; by default 470, dry 235.")] = None,
) -> None:
    """Run every step, each in a process of its own, and write steps.jsonl and report.md; exit code 1 if one failed."""
    from benchmarks.gpu.catalogue import DRY_SECONDS, SECONDS, STEPS
    from benchmarks.gpu.runner import run_steps

    unknown = sorted(set(only or ()) - {step.name for step in STEPS})
    if unknown:
        typer.echo(
            f"error: --step: {unknown[0]!r} is none; allowed: {', '.join(step.name for step in STEPS)}", err=True
        )
        raise typer.Exit(2)
    output.mkdir(parents=True, exist_ok=True)
    steps = [step for step in STEPS if not only or step.name in only]
    began = time.monotonic()
    lines = run_steps(
        steps, output.absolute(), seconds=seconds or (DRY_SECONDS if dry else SECONDS), dry=dry, say=typer.echo
    )
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = f"{time.monotonic() - began:.0f} s, {used.ru_utime + used.ru_stime:.0f} s of processor time"
    typer.echo(f"{took}; {write(output, datetime.now(UTC))}")
    raise typer.Exit(int(any(line["status"] in ("failed", "stopped") for line in lines)))


@app.command()
def report(output: Output = Path("data/gpu")) -> None:
    """Write report.md anew from steps.jsonl."""
    typer.echo(write(output, None))


@app.command()
def pack(
    output: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the archive.")] = Path("data/gpu-pack"),
    capability: Annotated[
        list[int] | None, typer.Option(metavar="CC", help="Of the card, 90 for 9.0 (H100, H200); may be repeated.")
    ] = None,
) -> None:
    """Write the archive that a machine with torch for CUDA 13, Python 3.12 and no network needs."""
    from benchmarks.gpu.pack.archive import pack as write_pack
    from emotions.errors import EmotionsError

    try:
        write_pack(output.absolute(), capability or [90], typer.echo)
    except EmotionsError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error


def write(output: Path, when: datetime | None) -> Path:
    """Write the report beside the lines that it is of; returns its path.

    Args:
        output: folder of the lines.
        when: they were measured; None for when their file was written.
    """
    from benchmarks.gpu.catalogue import STEPS
    from benchmarks.gpu.report import markdown
    from benchmarks.gpu.runner import LINES

    source, path = output / LINES, output / "report.md"
    lines = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    when = when or datetime.fromtimestamp(source.stat().st_mtime, UTC)
    titles = {step.name: step.title for step in STEPS}
    path.write_text(markdown(lines, titles, when), encoding="utf-8")
    return path


if __name__ == "__main__":
    app()
