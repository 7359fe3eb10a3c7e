"""Benchmarks of serving, ``python -m benchmarks.serving``.

``folder``: a folder at scale. ``formats``: folders of FLAC, MP3 and M4A beside WAV. ``multipart``: forms
beside files as bodies. ``bookkeeping``: what a run of very
many files does beside classifying them. ``harness``: what the load generator costs. ``loadgen``: MLPerf's LoadGen
beside our load generator. ``peers``: other servers beside ours. ``bundles``: one service with several bundles beside
several services. ``emotions benchmark`` runs ``loadgen`` and ``peers`` as scenarios.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

app = typer.Typer(add_completion=False, help=__doc__)


@app.callback()
def main() -> None:
    """Benchmarks of serving."""


@app.command()
def folder(
    bundle: Annotated[Path, typer.Option(metavar="DIR", help="The bundle.")],
    data: Annotated[Path, typer.Option(metavar="FOLDER", help="Recordings.")],
    files: Annotated[int, typer.Option(min=100, help="Files to classify in all.")] = 2_000,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 for one a core.")] = 0,
) -> None:
    """Measure a folder against the bare session, with broken files, and by its size."""
    from benchmarks.serving.folder_scale import measure

    _print(measure(bundle, data, files, threads), indent=2)


@app.command()
def formats(
    bundle: Annotated[Path, typer.Option(metavar="DIR", help="The bundle.")],
    data: Annotated[Path, typer.Option(metavar="FOLDER", help="Recordings.")],
    files: Annotated[int, typer.Option(min=1, help="Recordings, in each format.")] = 400,
    rounds: Annotated[int, typer.Option(min=1, help="How often each format is classified.")] = 5,
) -> None:
    """Print the speed of each format by that of WAV, as JSON: median, lowest and highest."""
    from benchmarks.serving.folder_formats import to_wav

    _print(dict(to_wav(bundle, data, files, rounds)))


@app.command()
def multipart(
    bundle: Annotated[Path, typer.Option(metavar="DIR", help="The bundle.")],
    data: Annotated[Path, typer.Option(metavar="FOLDER", help="Recordings.")],
    clips: Annotated[int, typer.Option(min=1, help="Recordings that a round sends.")] = 320,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of forms and of files.")] = 5,
) -> None:
    """Print the milliseconds of CPU that a form takes over a file as the body, as JSON: median, lowest and highest."""
    from benchmarks.serving.multipart import form_cost

    _print(dict(zip(("median", "lowest", "highest"), form_cost(bundle, data, clips, rounds), strict=True)))


@app.command()
def bookkeeping(
    bundle: Annotated[Path, typer.Option(metavar="DIR", help="The bundle.")],
    data: Annotated[Path, typer.Option(metavar="FOLDER", help="Recordings.")],
    files: Annotated[int, typer.Option(min=1, help="Links to them.")] = 100_000,
) -> None:
    """Print the seconds of listing, signing, resuming and joining a folder, and their memory, as JSON."""
    from benchmarks.serving.folder_bookkeeping import bookkeeping as measure

    found = measure(bundle, data, files)
    _print({**asdict(found), "ms_a_file": found.ms_a_file}, indent=2)


@app.command()
def harness(
    rate: Annotated[float, typer.Option(min=1, help="Requests a second.")] = 200.0,
    seconds: Annotated[float, typer.Option(min=1, help="Seconds of a run.")] = 5.0,
    processes: Annotated[int, typer.Option("--busy", min=0, help="Processes that keep the cores busy.")] = 0,
) -> None:
    """Print what the load generator costs, by how much it misses its schedule, and how it measures a known delay."""
    from benchmarks.serving.busy import busy
    from serving.benchmark.driver.self_check import own_cost

    with busy(processes):
        cost = own_cost(seconds, rate)
    typer.echo("\n".join(f"{name} {value}" for name, value in cost.items()))


@app.command()
def loadgen(
    port: Annotated[int, typer.Argument(help="Port of a running service on the loopback interface.")],
    files: Annotated[list[Path], typer.Argument(help="Recordings to send.")],
    peak: Annotated[float, typer.Option(min=0, help="Offline throughput of the service, in requests a second.")],
    seconds: Annotated[float, typer.Option(min=0, help="Rounds of each scenario.")] = 5.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the arrivals.")] = 0,
) -> None:
    """Drive a service by MLPerf's LoadGen and by our load generator in turn, and print the ratios as JSON."""
    from benchmarks.serving.loadgen import agreement
    from serving.benchmark.driver.target import OURS
    from serving.benchmark.scenarios.profile import BenchmarkProfile

    requests = [OURS.request(file.read_bytes()) for file in files]
    _print(agreement(port, BenchmarkProfile(seconds, seed=seed), peak, requests))


@app.command()
def peers(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle.")],
    data: Annotated[Path, typer.Argument(metavar="FOLDER", help="Recordings.")],
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where the model runs.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; by default one a core.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A shorter measurement.")] = False,
    install: Annotated[bool, typer.Option("--install-peers", help="Make the environments that lack.")] = False,
) -> None:
    """Race BentoML's batchable endpoint, LitServe, FastAPI and Ray Serve against our service; prints JSON."""
    from benchmarks.serving.peers.race import measure
    from serving.benchmark.scenarios.profile import FULL, QUICK

    _print(measure(bundle, data, device, threads, profile=QUICK if quick else FULL, install=install))


@app.command()
def bundles(
    served: Annotated[list[Path], typer.Argument(metavar="BUNDLE...", help="Bundles, one of them perhaps repeated.")],
    data: Annotated[Path, typer.Option(metavar="FOLDER", help="Recordings to send.")],
    seconds: Annotated[float, typer.Option(min=0.5, help="Seconds of a round.")] = 8.0,
) -> None:
    """Compare one service with several bundles to a service for each; prints JSON."""
    from benchmarks.serving.several_bundles import measure

    recordings = sorted(data.rglob("*.wav"))[:40]
    if not recordings:
        raise typer.BadParameter(f"{data}: holds no WAV files", param_hint="--data")
    _print(measure(served, recordings, seconds), indent=2)


def _print(measured: dict[str, Any], indent: int | None = None) -> None:
    typer.echo(json.dumps(measured, indent=indent))


if __name__ == "__main__":
    app()
