"""``emotions serve``: BentoML's worker, forked by a supervisor; ``bentoml serve`` where BentoML is configured."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from emotions.errors import ConfigError

TARGET = "serving.service:EmotionService"
KEEP_ALIVE_SEC = 75
"""Seconds for which a connection may be idle: more than the 60 of common balancers. With BentoML's 5, one that is used
again at that moment, or while the service was busy over it, is closed on its request, which is lost."""
LOOPBACK = "127.0.0.1"
SERVE = (sys.executable, "-m", "bentoml", "serve", "--timeout-keep-alive", str(KEEP_ALIVE_SEC))


def serve(
    bundle: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]PATH",
            help="Bundle to serve, by default the newest in ./bundles; repeatable, the first is the default one.",
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for every interface.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 3000,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes, each with its own model.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of one run of the model.")] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="JSON file of settings.")] = None,
) -> None:
    """Serve bundles over HTTP: POST /v1/predict. Further settings: variables EMOTIONS_*, or a file of them."""
    options = {**_bundle_options(bundle or []), "WORKERS": workers, "DEVICE": device, "THREADS": threads}
    environment = _environment(options, config)
    address = LOOPBACK if host == "localhost" else host
    _check(address, port, environment)
    _become_server(address, port, environment)


def ui(
    bundle: Annotated[Path | None, typer.Option(help="Bundle to serve; by default the newest in ./bundles.")] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port to listen on; by default a free one.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
) -> None:
    """Serve a bundle on this machine alone, and open its page: speak into the microphone, drop recordings on it."""
    environment = _environment({"BUNDLE": bundle, "DEVICE": device, "UI": 1}, None)
    if port is None:
        port = _free_port()
    _check(LOOPBACK, port, environment)
    url = f"http://{LOOPBACK}:{port}"
    typer.echo(f"starting: {url}")
    if browser:
        opener = [sys.executable, "-m", "serving.http.page.open_page", url, str(os.getpid())]
        subprocess.Popen(opener, stdin=subprocess.DEVNULL)
    _become_server(LOOPBACK, port, environment)


def _bundle_options(bundles: Sequence[str]) -> dict[str, str]:
    """Settings for the bundles of a command: one is the default, several have names in the URL."""
    if not bundles or (len(bundles) == 1 and ("=" not in bundles[0] or Path(bundles[0]).exists())):
        return {"BUNDLE": bundles[0]} if bundles else {}
    return {"BUNDLE": "", "BUNDLES": ",".join(bundles)}


def _environment(options: Mapping[str, object], config: Path | None) -> dict[str, str]:
    """Variables of the service, of which those that are given by options come first."""
    from emotions.errors import MissingExtra

    if find_spec("bentoml") is None:
        raise MissingExtra("serve", "bentoml")
    if not _is_configured():
        from serving.worker.bentoml_internals import prepare_metrics

        prepare_metrics()  # before anything imports the client of Prometheus
    from emotions.bundle.bundle import read_bundle
    from serving.settings import CONFIG, read_settings
    from serving.worker.startup import given_bundle

    given = {f"EMOTIONS_{name}": str(value) for name, value in options.items() if value is not None}
    if config is not None:
        given[CONFIG] = str(config.absolute())
    environment = {"BENTOML_DO_NOT_TRACK": "True", **os.environ, **given}
    bundle = given_bundle(read_settings(environment))
    read_bundle(bundle.resolve())
    return {**environment, "EMOTIONS_BUNDLE": str(bundle)}


def _check(address: str, port: int, environment: Mapping[str, str]) -> None:
    from serving.http.api_keys import check_exposure, read_auth
    from serving.settings import read_settings

    settings = read_settings(environment)
    read_auth(settings)
    check_exposure(address, settings)
    check_port(address, port)


def _become_server(address: str, port: int, environment: Mapping[str, str]) -> None:
    if _is_configured():
        command = [*SERVE, TARGET, "--host", address, "--port", str(port)]
        os.execve(sys.executable, command, environment)  # noqa: S606  # becomes the server: signals reach it directly
    else:
        from serving.settings import read_settings
        from serving.worker import supervisor

        os.environ.update(environment)
        supervisor.serve(TARGET, address, port, KEEP_ALIVE_SEC, read_settings(os.environ))


def _is_configured() -> bool:
    """Whether BentoML has a configuration of the user's own, which ``bentoml serve`` alone applies whole."""
    return any(os.environ.get(name) for name in ("BENTOML_CONFIG", "BENTOML_CONFIG_OPTIONS"))


def _free_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as probe:
        return int(probe.getsockname()[1])


def check_port(address: str, port: int) -> None:
    """Refuse an address and a port that cannot be listened on, before a server is started.

    Args:
        address: an IP address or a name.
        port: of TCP.

    Raises:
        ConfigError: another process listens there, or this one may not.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does: a closed one may linger
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                reason = "another process listens there; stop it, or name another --port"
            elif error.errno == errno.EACCES:
                reason = "ports below 1024 are for root; name another --port"
            else:
                reason = f"{error.strerror or error}; name another --host"
            raise ConfigError(f"{address}:{port}: cannot be listened on ({reason})") from error


def serve_key(
    name: Annotated[str, typer.Argument(help="Whose key it is: letters, digits, '.', '_' and '-'.")],
    file: Annotated[Path, typer.Option(metavar="FILE", help="File to add its hash to.")] = Path("api-keys.txt"),
) -> None:
    """Make an API key: print it, once, and add its SHA-256 to the file that EMOTIONS_API_KEYS_FILE names."""
    from emotions.errors import MissingExtra

    if find_spec("bentoml") is None:
        raise MissingExtra("serve", "bentoml")
    from serving.http.api_keys import add_key

    print(add_key(file, name))
    typer.echo(f"its hash was added to {file}: start the service with EMOTIONS_API_KEYS_FILE={file}", err=True)
