"""Options that every command with a pipeline file has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[Path, typer.Option("--config-file", metavar="FILE", help="Pipeline file (JSON).")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="PATH=VALUE", help="Change a value of the file, as pipeline.0.name=mine; repeatable."
    ),
]
Root = Annotated[
    Path | None,
    typer.Option("--root", metavar="DIR", help="What $$ROOT_DIR$$ stands for, else the working directory."),
]
