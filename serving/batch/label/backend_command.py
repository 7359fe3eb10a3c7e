"""``emotions label backend``: serve the model behind Label Studio."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

LOGIN = "EMOTIONS_LABEL_LOGIN"
TOKEN = "LABEL_STUDIO_API_KEY"  # noqa: S105 - a variable's name
API_KEY = "EMOTIONS_API_KEY"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def backend(
    *,
    url: Annotated[str, typer.Option(metavar="SERVICE", help="Address of the service, as http://127.0.0.1:3000.")],
    recordings: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="What Label Studio serves as local files.")
    ] = None,
    label_studio: Annotated[
        str, typer.Option(metavar="URL", help="Label Studio's address, for uploads; LABEL_STUDIO_API_KEY is sent.")
    ] = "",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 9090,
) -> None:
    """Serve predictions to Label Studio: add it in a project's settings as a model (ML backend)."""
    import uvicorn

    from emotions.client.client import Client
    from emotions.errors import ConfigError
    from serving.batch.label.backend import backend as application
    from serving.batch.label.recordings import TaskRecordings

    login = os.environ.get(LOGIN, "")
    if host not in _LOOPBACK and not login:
        raise ConfigError(f"beyond this machine, give a user and a password: {LOGIN}=user:password")
    client = Client(url, os.environ.get(API_KEY))
    reader = TaskRecordings(recordings, label_studio, os.environ.get(TOKEN, ""))
    typer.echo(f"for Label Studio: http://{host}:{port}")
    uvicorn.run(application(client, reader, login), host=host, port=port, log_level="warning")
