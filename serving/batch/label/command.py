"""``emotions label tasks`` and ``emotions label backend``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from emotions.bundle.reference.drift import Comparison

Table = Annotated[Path, typer.Argument(metavar="TABLE", help="Answers, as emotions predict writes them.")]
Output = Annotated[Path, typer.Option("--output", metavar="FILE", help="Tasks to write: .json.")]
Other = Annotated[
    Path | None, typer.Option("--other", metavar="TABLE", help="Answers of another model to the same recordings.")
]
Reference = Annotated[
    Path | None, typer.Option("--reference", metavar="BUNDLE", help="Bundle whose reference says what has drifted.")
]
Prefix = Annotated[
    str,
    typer.Option(metavar="URL", help="What stands before a name where Label Studio plays it."),
]


def tasks(  # noqa: PLR0913 - one parameter an option
    *,
    table: Table,
    output: Output,
    count: Annotated[int, typer.Option(min=1, max=100_000, help="Recordings to pick.")] = 100,
    random: Annotated[float, typer.Option(min=0, max=1, help="Share of them that is drawn at random.")] = 0.25,
    other: Other = None,
    reference: Reference = None,
    prefix: Prefix = "/data/local-files/?d=",
    model: Annotated[str, typer.Option(metavar="NAME", help="Who predicts, for Label Studio.")] = "emotions",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draw.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there already.")] = False,
) -> None:
    """Pick what is worth a person's time, each with its reason, as tasks of Label Studio."""
    from emotions.errors import ConfigError
    from emotions.files.atomic import refuse_existing
    from serving.batch.label.answers import read_answers
    from serving.batch.label.pick import Plan, pick
    from serving.batch.label.tasks import write_tasks

    if output.suffix.lower() != ".json":
        raise ConfigError(f"{output}: the tasks end with .json")
    if not overwrite:
        refuse_existing(output)
    answers, targets = read_answers(table)
    others = {} if other is None else {answer.file: answer for answer in read_answers(other)[0]}
    picked = pick(answers, Plan(count, random, seed, others, None if reference is None else _comparison(reference)))
    page = write_tasks(output, picked, targets, model, prefix)
    reasons = Counter(each.reason for each in picked)
    typer.echo(f"{output}: {len(picked)} of {len(answers)} recordings")
    for reason, number in reasons.items():
        typer.echo(f"  {reason:17}  {number}")
    typer.echo(f"{page}: the labelling interface of the project")


def _comparison(bundle: Path) -> Comparison:
    from emotions.bundle.bundle import read_bundle
    from emotions.bundle.reference.drift import Comparison
    from emotions.bundle.reference.reference import read_reference
    from emotions.errors import DataError

    opened = read_bundle(bundle)
    reference = read_reference(opened)
    if reference is None:
        raise DataError(f"{bundle}: has no reference statistics; emotions drift reference adds them")
    return Comparison(reference, opened.manifest.labels)
