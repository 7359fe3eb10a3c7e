"""``emotions label merge`` and ``emotions label report``. Heavy imports are inside functions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emotions.pipeline.options import Overwrite

Run = Annotated[Path, typer.Option("--run", metavar="DIR", help="Run folder whose data is added to.")]
Labels = Annotated[Path, typer.Argument(metavar="TABLE", help="Labels of people, from emotions data import.")]
Recordings = Annotated[Path | None, typer.Option(metavar="FOLDER", help="What its paths start from; else its folder.")]
Table = Annotated[Path, typer.Option("--output", metavar="TABLE", help="Table to write: .csv.")]


def merge(
    labels: Labels,
    run: Run,
    output: Table,
    recordings: Recordings = None,
    target: Annotated[str | None, typer.Option(metavar="NAME", help="What they label; else the run's first.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Join a run's data and new labels of people to one table; the run's test clips and speakers stay as they were."""
    from emotions.files.atomic import check_csv
    from training.evaluation.corrections.merge import merge as merged
    from training.run_folder.read import load_run

    check_csv(output, overwrite=overwrite)
    found = merged(load_run(run), labels, recordings or labels.parent, output, target)
    typer.echo(
        f"{output}: {found.old} clips as they were, {found.corrected} labelled anew, {found.added} new; "
        f"{found.left_out} labels left out, which are of test recordings or speakers"
    )


def report(
    before: Annotated[Path, typer.Option(metavar="BUNDLE", help="From before the corrections.")],
    after: Annotated[Path, typer.Option(metavar="BUNDLE", help="Trained with them.")],
    data: Annotated[Path, typer.Option(metavar="PATH", help="Labelled recordings, such as the joined table.")],
    output: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the report.")],
    part: Annotated[str, typer.Option(help="Part of their split; all for every clip.")] = "test",
) -> None:
    """Say what corrections changed: both bundles on the same test clips, with intervals over speakers."""
    import emotions
    from training.config.dataset import DatasetConfig
    from training.evaluation.corrections.report import changes, conclusion, write_changes

    found = changes(
        emotions.load(before),
        emotions.load(after),
        DatasetConfig(path=str(data.absolute())),
        Path.cwd(),
        None if part == "all" else part,
    )
    write_changes(found, output)
    typer.echo(conclusion(found))
    changed = found["changed"]
    typer.echo(f"{changed['answers']} answers changed: {changed['mended']} mended, {changed['broken']} broken")
    typer.echo(f"wrote {output / 'report.html'}")
