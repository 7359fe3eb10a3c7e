"""``emotions data import``: annotations of people into a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Files = Annotated[
    list[Path],
    typer.Argument(metavar="FILE...", help="TextGrids, EAF files of ELAN (.eaf), exports of Label Studio (.json)."),
]
Table = Annotated[Path, typer.Option("--output", metavar="TABLE", help="Table to write: .csv.")]
Tiers = Annotated[
    list[str] | None,
    typer.Option("--tier", metavar="NAME", help="Tiers or controls to read, * for any characters; repeatable."),
]


def import_annotations(
    files: Files,
    output: Table,
    tiers: Tiers = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a table that is there already.")] = False,
) -> None:
    """Read annotations of Praat, ELAN or Label Studio into a table, a row for each label of each rater."""
    from emotions.calls.formats.table import import_labels
    from emotions.errors import ConfigError
    from emotions.files.atomic import refuse_existing
    from emotions.files.from_here import from_here

    if output.suffix.lower() != ".csv":
        raise ConfigError(f"{output}: the table ends with .csv")
    if not overwrite:
        refuse_existing(output)
    typer.echo(f"{from_here(output)}: {import_labels(files, output, tiers or ())} labels")
