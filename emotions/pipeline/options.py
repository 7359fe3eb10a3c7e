"""Options that every command with a pipeline file has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

BUNDLE_COMMANDS = "bundle"
"""Name of the group of commands that work on bundles."""

BundlePath = Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of the bundle.")]
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


def bundle_commands(app: typer.Typer) -> typer.Typer:
    """The group ``emotions bundle``, for packages that add commands to it."""
    return next(
        group.typer_instance
        for group in app.registered_groups
        if group.name == BUNDLE_COMMANDS and group.typer_instance
    )
