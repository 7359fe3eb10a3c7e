"""``emotions init``: from a folder of recordings to a pipeline file. Heavy imports are inside functions."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from emotions.errors import OutputExists, plain
from emotions.pipeline.next_command import next_command
from emotions.pipeline.runner import Pipeline, check_pipeline, console

Target = Annotated[
    str | None, typer.Option("--target", metavar="NAME", help="Column with the labels, or a name for class folders.")
]
Speaker = Annotated[
    str | None,
    typer.Option("--speaker", help="Column of the speaker, or a regular expression on the path with a group."),
]


def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The recordings; by default data.")] = Path("data"),
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing.")] = False,
    output: Annotated[Path, typer.Option("--output", metavar="FILE", help="Pipeline file to write.")] = Path(
        "config.json"
    ),
    target: Target = None,
    speaker: Speaker = None,
) -> None:
    """Look at recordings, ask what they do not say, and write a pipeline file that trains on them."""
    from training.data.initial_config.understanding import Given, understand

    if output.is_dir():
        raise OutputExists(f"{output}: is a folder; name a file with --output")
    asking = not yes and sys.stdin.isatty() and sys.stdout.isatty()
    found = understand(folder, Path.cwd(), Given(target, speaker), _ask if asking else _nobody)
    typer.echo(found)
    _write(output, found.document)
    typer.echo(f"written: {output}\n{next_command('train', output)}")


def initial_pipeline(folder: Path, overrides: Sequence[str], root: Path | None) -> Pipeline:
    """The pipeline that ``init --yes`` would write for a dataset, without the file.

    Args:
        folder: folder or file of the dataset.
        overrides: ``path=value`` texts, applied in order.
        root: what ``$$ROOT_DIR$$`` stands for.
    """
    from training.data.initial_config.understanding import Given, understand

    found = understand(folder.absolute() if root else folder, root or Path.cwd(), Given(), _nobody)
    console().print(str(found), markup=False, highlight=False, soft_wrap=True)
    return check_pipeline(found.document, str(folder), overrides, root)


def _write(output: Path, document: object) -> None:
    from emotions.files.json_text import read_json, write_json

    if output.exists() and read_json(output) != document:
        raise OutputExists(f"{output}: is there already; remove it, or name another with --output")
    write_json(output, document)


def _nobody(_: str, __: Sequence[str]) -> None:
    return None


def _ask(question: str, answers: Sequence[str]) -> int | None:
    """Ask on the terminal for the number of an answer; 0 is none of them."""
    if not answers:
        return None
    typer.echo(question)
    for number, answer in enumerate([*answers], start=1):
        typer.echo(f"  {number}  {plain(answer)}")
    typer.echo("  0  none of these, or not known")
    while True:
        chosen: int = typer.prompt("Number", default=1, type=int)
        if 0 <= chosen <= len(answers):
            return chosen - 1 if chosen else None
