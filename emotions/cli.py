"""The ``emotions`` command.

Commands of the other packages come in by the entry point group ``emotions.commands``. This module alone turns errors
into words and exit codes: 0 done, 2 the user's mistake in one line, 130 stopped by Ctrl-C, 143 by SIGTERM; a defect of
ours keeps its traceback.
"""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

import emotions
from emotions.client import stream_command
from emotions.errors import EmotionsError, plain
from emotions.pipeline.command_groups import CommandGroups
from emotions.pipeline.interruption import Stopped
from emotions.pipeline.options import BUNDLE_COMMANDS, BundlePath, ConfigFile, Overrides, Root
from emotions.pipeline.packages import COMMANDS, check_not_shadowed, installed, missing_extras
from emotions.pipeline.runner import check_data, load_pipeline, pipeline_schema
from emotions.runtime.cores import keep_to_available_cores

_NO_TELEMETRY = {
    "BENTOML_DO_NOT_TRACK": "True",
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}
_USERS_ERRORS = frozenset(
    [
        *(errno.ENOENT, errno.EACCES, errno.EPERM, errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG),
        *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EADDRINUSE, errno.ELOOP, errno.EFBIG),
    ]
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 2 the user's mistake, 130 interrupted."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; a mistake is printed on stderr, in one line where one suffices."""
    no_telemetry()
    keep_to_available_cores()
    _show_log()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal may lack a label's script; what it lacks is escaped
            stream.reconfigure(errors="backslashreplace")
    try:
        with missing_extras():
            command = typer.main.get_command(build_app())
            code = command.main([*arguments] or ["--help"], prog_name="emotions", standalone_mode=False)
            return code if isinstance(code, int) else 0
    except typer.TyperException as error:
        return _failed(_usage(error))
    except EmotionsError as error:
        return _failed(str(error))
    except OSError as error:
        if error.errno not in _USERS_ERRORS:
            raise
        return _failed(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror))
    except Stopped as stopped:
        again = stopped.command or shlex.join(["emotions", *arguments])
        typer.echo(f"stopped: {plain(stopped.kept)}; go on with: {plain(again)}", err=True)
        return stopped.code
    except (KeyboardInterrupt, typer.Abort):
        return 130


class _Warnings(logging.Handler):
    """Shows the kernel's log on stderr, a line each."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        typer.echo(f"{record.levelname.lower()}: {plain(record.getMessage())}", err=True)


def _show_log() -> None:
    log = logging.getLogger("emotions")
    if not any(isinstance(handler, _Warnings) for handler in log.handlers):
        log.addHandler(_Warnings(logging.WARNING))


def no_telemetry() -> None:
    """Switch off the telemetry of libraries, unless the user has set it otherwise."""
    for name, value in _NO_TELEMETRY.items():
        os.environ.setdefault(name, value)


def build_app() -> typer.Typer:
    """The command line with the commands of every package that is installed."""
    check_not_shadowed()
    app = typer.Typer(
        name="emotions",
        cls=CommandGroups,
        help="Speech emotion recognition, from a folder of recordings to a served classifier.",
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_options)
    bundle = typer.Typer(help="Work on bundles.")
    bundle.command()(verify)
    bundle.command()(push)
    bundle.command()(pull)
    bundle.callback()(_no_options)
    app.add_typer(bundle, name=BUNDLE_COMMANDS)  # before the packages, which add commands to it
    for entry in installed(COMMANDS).values():
        entry.load()(app)
    app.command()(validate)
    app.command(hidden=True)(schema)
    app.command()(info)
    app.command()(stream_command.stream)
    app.command()(doctor)
    return app


def _failed(message: str) -> int:
    lines = "\n".join(map(plain, message.split("\n")))  # it may quote names of files, labels, a manifest
    typer.echo(f"error: {lines}", err=True)
    return 2


def _usage(error: typer.TyperException) -> str:
    """The message of a usage error, with the help command that lists the options."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "emotions"
    said = error.format_message().rstrip(".").replace("Value error, ", "")
    return f"{said}; see {path} --help"


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"emotions {emotions.__version__}")
        raise typer.Exit


def _options(
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Version.")] = False,
) -> None:
    """Speech emotion recognition, from a folder of recordings to a served classifier."""


def _no_options() -> None:
    """Work on bundles."""


def validate(
    config_file: ConfigFile,
    overrides: Overrides = None,
    root: Root = None,
    look: Annotated[
        bool, typer.Option("--check-data", help="Look at its paths and datasets, too; nothing is decoded or computed.")
    ] = False,
) -> None:
    """Check a pipeline file without running it."""
    pipeline = load_pipeline(config_file, overrides or (), root)
    if look:
        check_data(pipeline)
    kinds = [step.raw["type"] for step in pipeline.steps]
    typer.echo(f"{config_file}: valid ({len(kinds)} {'step' if len(kinds) == 1 else 'steps'}: {', '.join(kinds)})")


def schema() -> None:
    """Print the JSON Schema of pipeline files."""
    typer.echo(json.dumps(pipeline_schema(), indent=2, ensure_ascii=False))


def info(
    bundle: BundlePath,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="Load the model there: why a GPU cannot be used is said.")
    ] = "auto",
) -> None:
    """Say a bundle's inputs, outputs and measured metrics, and what runs here."""
    from emotions.bundle.bundle import read_bundle
    from emotions.bundle.summary import describe, warnings
    from emotions.runtime.gpu_causes import card_in_words
    from emotions.runtime.session import open_session

    opened = read_bundle(bundle)
    session = open_session(opened, device=device)
    card = [("card", card_in_words(0))] if session.device == "cuda" else []
    typer.echo(describe(opened, session.variant, session.device, card))
    for warning in warnings(opened.manifest):
        typer.echo(f"warning: {warning}", err=True)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Look at what the toolkit needs of this machine; exits with 1 where something is to be done."""
    from emotions.runtime.doctor import examine

    findings = examine()
    if as_json:
        rows = [{"name": f.name, "ok": not f.remedy, "found": f.found, "remedy": f.remedy} for f in findings]
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        for finding in findings:
            typer.echo(f"{'to do' if finding.remedy else 'ok':5}  {finding.name:12}  {plain(finding.found)}")
            if finding.remedy:
                typer.echo(f"{'':21}{plain(finding.remedy)}")
    if any(finding.remedy for finding in findings):
        raise typer.Exit(1)


def verify(bundle: BundlePath) -> None:
    """Check a bundle's files, load its model in every ONNX variant and replay its probe on each."""
    from emotions.bundle.bundle import read_bundle
    from emotions.runtime.session import open_session

    opened = read_bundle(bundle)
    variants = [name for name, variant in opened.manifest.variants.items() if variant.file.endswith(".onnx")]
    sessions = [open_session(opened, variant=name) for name in variants]
    answers = ", ".join(f"{plain(session.variant)} on {session.device}" for session in sessions)
    verb = "answers its probe" if len(sessions) == 1 else "answer its probe"
    typer.echo(f"{plain(opened.id)}: OK ({len(opened.manifest.files)} files, {answers} {verb})")


def push(
    bundle: BundlePath,
    url: Annotated[str, typer.Argument(metavar="URL", help="s3://, gs://, file://, hf://OWNER/NAME, mlflow://NAME.")],
) -> None:
    """Copy a bundle to an object store, the Hugging Face Hub or MLflow's registry, and print its URL there."""
    from emotions.bundle.transfer import push as to_store

    typer.echo(plain(to_store(bundle, url)))


def pull(
    url: Annotated[str, typer.Argument(metavar="URL", help="As push takes it or printed it.")],
    output: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder to write; it must not be there yet.")],
) -> None:
    """Copy a bundle from such a store, every file compared with its hash in the manifest."""
    from emotions.bundle.transfer import pull as from_store

    typer.echo(from_store(url, output))


if __name__ == "__main__":
    main()
