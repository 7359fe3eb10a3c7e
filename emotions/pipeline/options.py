"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

BUNDLE_COMMANDS = "bundle"
"""Name of the group of commands that work on bundles."""

LABEL_COMMANDS = "label"
"""Name of the group of commands about corrections by people."""

BundlePath = Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of the bundle.")]
ConfigFile = Annotated[Path, typer.Option("--config-file", metavar="FILE", help="Pipeline file (JSON).")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="PATH=VALUE", help="Change a value of the file, as pipeline.0.name=mine; repeatable."
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a table that is there already.")]
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


def label_commands(app: typer.Typer) -> typer.Typer:
    """The group ``emotions label``, made by the first package that asks for it."""
    for group in app.registered_groups:
        if group.name == LABEL_COMMANDS and group.typer_instance:
            return group.typer_instance
    labels = typer.Typer(help="Have answers corrected by people, and learn from it.")
    labels.callback()(lambda: None)
    app.add_typer(labels, name=LABEL_COMMANDS)
    return labels
