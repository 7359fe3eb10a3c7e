"""``emotions benchmark``, and ``emotions benchmark compare``: one name, so that what measures also judges."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, get_args

import typer

from emotions.errors import ConfigError
from emotions.pipeline.energy.options import CpuWatts, EnergyOption
from emotions.pipeline.interruption import stoppable
from serving.benchmark.scenarios.names import SCENARIOS, Scenario


def benchmark(  # noqa: PLR0913, PLR0917  # one parameter an option
    context: typer.Context,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder to write report.json and report.html to.")
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option("--bundle", metavar="DIR", help="The bundle; by default the newest in ./bundles.")
    ] = None,
    data: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Recordings; by default synthetic.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A shorter measurement.")] = False,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where the model runs.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; by default one a core.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of synthetic recordings and of arrivals.")] = 0,
    scenario: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(get_args(Scenario))}; repeatable.")] = None,
    seconds: Annotated[float | None, typer.Option(min=1, help="Seconds of each run; by default 6, quick 1.5.")] = None,
    durations: Annotated[str, typer.Option(help="Of synthetic recordings: LOW-HIGH seconds, or speech.")] = "1-5",
    p99_limit: Annotated[float, typer.Option(min=0.1, metavar="MS", help="Latency that the search allows.")] = 100,
    install_peers: Annotated[
        bool, typer.Option("--install-peers", help="Make the environments of other servers that lack one.")
    ] = False,
    prices: Annotated[
        Path | None, typer.Option(metavar="FILE", help='JSON of what an hour of machines costs: {"NAME": PRICE}.')
    ] = None,
    energy: EnergyOption = None,
    cpu_watts: CpuWatts = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress on stderr.")] = False,
) -> None:
    """Measure how fast a bundle answers: the model, a folder, the service, each in the same run."""
    if context.invoked_subcommand is not None:
        return
    if output is None:
        raise typer.BadParameter("is missing: name the folder of the report", ctx=context, param_hint="--output")
    from emotions.bundle.folders import newest_bundle
    from emotions.pipeline.energy.config import energy_of

    with stoppable():
        from serving.benchmark.runner import Plan, benchmark_to_report

        benchmark_to_report(
            Plan(
                bundle or newest_bundle(Path("bundles")),
                output,
                data,
                _scenarios(scenario or SCENARIOS),
                quick=quick,
                device=device,
                threads=threads,
                seed=seed,
                quiet=quiet,
                seconds=seconds,
                durations=durations,
                p99_limit_ms=p99_limit,
                install_peers=install_peers,
                prices=prices,
                energy=energy_of(energy, cpu_watts),
            )
        )


def compare(
    before: Annotated[Path, typer.Argument(metavar="A", help="Report, or its folder, to compare with.")],
    after: Annotated[Path, typer.Argument(metavar="B", help="Report, or its folder, to judge.")],
    tolerance: Annotated[float, typer.Option(min=0, help="Share by which a figure may be worse.")] = 0.05,
) -> None:
    """Compare two reports. Exit code 1: B is worse by more than the tolerance, and not by chance."""
    from serving.benchmark.report.compare import compare_reports, comparison

    changes = compare_reports(before, after, tolerance)
    typer.echo(comparison(changes, tolerance))
    if any(change.regressed for change in changes):
        raise typer.Exit(1)


def _scenarios(named: Sequence[str]) -> list[Scenario]:
    known = {str(each): each for each in get_args(Scenario)}
    for name in named:
        if name not in known:
            raise ConfigError(f"--scenario {name}: is none of {', '.join(known)}")
    return [known[name] for name in named]
