"""``emotions data import``: annotations of people into a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emotions.pipeline.options import Overwrite

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
    overwrite: Overwrite = False,
) -> None:
    """Read annotations of Praat, ELAN or Label Studio into a table, a row for each label of each rater."""
    from emotions.calls.formats.table import import_labels
    from emotions.files.atomic import check_csv
    from emotions.files.from_here import from_here

    check_csv(output, overwrite=overwrite)
    typer.echo(f"{from_here(output)}: {import_labels(files, output, tiers or ())} labels")
