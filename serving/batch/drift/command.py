"""``emotions drift``, and ``emotions drift reference``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emotions.pipeline.options import BundlePath

Bundle = Annotated[Path | None, typer.Option("--reference", metavar="BUNDLE", help="The bundle that gave the answers.")]
Tables = Annotated[
    list[Path] | None,
    typer.Option("--current", metavar="TABLE", help="Answers, as emotions predict writes them; repeatable."),
]
Recordings = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="What the tables are of: their sound is compared, too."),
]
Output = Annotated[Path, typer.Option("--output", metavar="DIR", help="Folder of the report.")]


def drift(
    context: typer.Context,
    reference: Bundle = None,
    current: Tables = None,
    recordings: Recordings = None,
    output: Output = Path("drift"),
) -> None:
    """Compare answers with the reference statistics of their bundle. Exit code 1: there is drift."""
    if context.invoked_subcommand is not None:
        return
    if reference is None or not current:
        raise typer.BadParameter("name a bundle by --reference, and tables by --current", ctx=context)
    from emotions.bundle.bundle import read_bundle
    from serving.batch.drift.observe import observed_tables
    from serving.batch.drift.page import conclusion
    from serving.batch.drift.report import write_report

    opened = read_bundle(reference)
    clips = observed_tables(current, opened.manifest, recordings)
    report = write_report(opened, clips, current, output)
    typer.echo(conclusion(report))
    typer.echo(f"wrote {output / 'report.html'}")
    if report["drifted"]:
        raise typer.Exit(1)


def reference(
    bundle: BundlePath,
    data: Annotated[
        list[str], typer.Option("--data", metavar="INPUT", help="Recordings, folders, tables of segments; repeatable.")
    ],
    what: Annotated[str, typer.Option(metavar="WORDS", help="What they are, for reports.")] = "recordings of the user",
) -> None:
    """Give a bundle the statistics of recordings to compare others with; an earlier reference is replaced."""
    from emotions.bundle.bundle import read_bundle
    from emotions.bundle.reference.fit import reference_of
    from emotions.bundle.reference.reference import add_reference
    from serving.batch.drift.observe import observed_recordings

    labels = read_bundle(bundle).manifest.labels
    found = reference_of(observed_recordings(bundle, data), labels, what)
    add_reference(bundle, found)
    typer.echo(f"{bundle}: compared with {found.clips} clips from now on, by {found.comparisons} statistics")
