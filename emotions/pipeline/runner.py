"""The pipeline file: read it, check all of it, run its steps in order.

``path -> document -> overridden -> placeholders replaced -> steps, each checked by its own model -> run``. Nothing is
computed before the whole file is found right, and everything that is wrong in it is reported at once. Pydantic is
imported when a file is checked: every command imports this module, and most read no such file.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotions.errors import ConfigError, EmotionsError, Fault
from emotions.pipeline.packages import STEPS, installed, missing_extras

if TYPE_CHECKING:
    from rich.console import Console

    from emotions.pipeline.schema import Schema


@dataclass
class Context:
    """What the steps of one run share.

    Attributes:
        root: what ``$$ROOT_DIR$$`` stands for.
        workers: processes that load data; 0 loads in the main process.
        config: the file as it is run, placeholders and overrides resolved; kept in run folders.
        last_run: run folder of the last ``train`` step; the others are of ``tune``, ``evaluate`` and ``export``.
        quiet: no progress on stderr.
        fresh: an interrupted training begins anew instead of going on.
        stamp: what ``$$DATETIME$$`` stands for.
        position: index of the step that runs.
        failures: files that could not be classified, over all ``predict`` steps.
    """

    root: Path
    seed: int
    workers: int
    config: dict[str, Any]
    last_run: Path | None = None
    last_search: Path | None = None
    last_evaluation: Path | None = None
    last_bundle: Path | None = None
    quiet: bool = False
    failures: int = 0
    fresh: bool = False
    stamp: str = ""
    position: int = 0

    @property
    def is_last(self) -> bool:
        """Whether no step comes after the one that runs."""
        return self.position + 1 >= len(self.config.get("pipeline", ()))


@dataclass(frozen=True)
class Step:
    """A kind of step, as an entry point of the group ``emotions.steps`` gives it.

    Attributes:
        config: gives the pydantic model of the step's object, or an annotated union of models; it imports it inside.
        run: runs a validated step; it imports what is heavy inside.
        check: faults between fields of a step's raw object, whatever else is wrong in it; ``where`` is relative to it.
        preflight: raises, before the first step runs, what would stop this one for certain: an output that exists.
        look: raises where a path that the step reads is not there, or its dataset cannot be used; computes nothing.
    """

    config: Callable[[], Any]
    run: Callable[[Any, Context], None]
    check: Callable[[dict[str, Any]], list[Fault]] = lambda _raw: []
    preflight: Callable[[Any, Context], None] = lambda _config, _context: None
    look: Callable[[Any, Context], None] = lambda _config, _context: None


@dataclass(frozen=True)
class PlannedStep:
    """One step of a pipeline: its kind, its validated config, and its object in the file."""

    step: Step
    config: Any
    raw: dict[str, Any]

    @property
    def title(self) -> str:
        """The step's type, and its model where it has one."""
        return " ".join(str(self.raw[key]) for key in ("type", "model") if key in self.raw)


@dataclass(frozen=True)
class Pipeline:
    """A pipeline file that was found right; ``document`` is it with overrides and placeholders resolved."""

    steps: tuple[PlannedStep, ...]
    document: dict[str, Any]
    root: Path
    seed: int
    workers: int
    stamp: str = ""


@functools.cache
def console() -> Console:
    """The one console for progress and headings, on stderr; results go to stdout."""
    from rich.console import Console

    return Console(stderr=True)


def load_pipeline(path: Path, overrides: Sequence[str] = (), root: Path | None = None) -> Pipeline:
    """Read a pipeline file and check all of it; whether the paths in it exist is not looked at.

    Args:
        path: the JSON file.
        overrides: ``path=value`` texts, applied in order.
        root: what ``$$ROOT_DIR$$`` stands for, by default the working directory.

    Raises:
        ConfigError: everything that is wrong with the file, at once; or an override that does not fit it.

    Example:
        >>> pipeline = load_pipeline(Path("train.json"), ["pipeline.0.learn_params.max_epoch=3"])  # doctest: +SKIP
        >>> run_pipeline(pipeline).last_run  # doctest: +SKIP
        PosixPath('models/demo')
    """
    from emotions.files.json_text import read_json

    return check_pipeline(read_json(path), str(path), overrides, root)


def check_pipeline(content: Any, name: str, overrides: Sequence[str] = (), root: Path | None = None) -> Pipeline:
    """Check a pipeline that is read already. Raises as ``load_pipeline``.

    Args:
        content: the document.
        name: where it came from, for messages.
        overrides: ``path=value`` texts, applied in order.
        root: what ``$$ROOT_DIR$$`` stands for, by default the working directory.
    """
    from emotions.pipeline.overrides import override, replace
    from emotions.pipeline.schema import Document

    where = (root or Path.cwd()).absolute()
    names = {"ROOT_DIR": str(where), "DATETIME": datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")}
    document = replace(override(content, overrides), names)
    head, faults = _checked(Document, document, "")
    planned = []
    steps = document.get("pipeline") if isinstance(document, dict) else None
    for index, raw in enumerate(steps if isinstance(steps, list) else ()):
        plan, found = _planned(raw, f"pipeline[{index}]", names)
        planned += plan
        faults += found
    if head is None or faults:
        raise ConfigError(f"{name}: {len(faults)} {'fault' if len(faults) == 1 else 'faults'}", faults)
    document = {**document, "pipeline": [each.raw for each in planned]}
    return Pipeline(tuple(planned), document, where, head.seed, head.load_dataset_workers_num, names["DATETIME"])


def run_pipeline(pipeline: Pipeline, *, fresh: bool = False) -> Context:
    """Run the steps in order, each announced by one line on stderr; returns the context after the last.

    Args:
        pipeline: the steps.
        fresh: an interrupted training begins anew instead of going on.

    Raises:
        EmotionsError: whatever stops a step; a missing package of an extra is named with its extra.
    """
    context = Context(
        pipeline.root, pipeline.seed, pipeline.workers, pipeline.document, fresh=fresh, stamp=pipeline.stamp
    )
    # All of them first: no hours of training before an output is found to exist.
    for planned in pipeline.steps:
        planned.step.preflight(planned.config, context)
    for number, planned in enumerate(pipeline.steps, start=1):
        if not context.quiet:
            console().print(f"step {number} of {len(pipeline.steps)}: {planned.title}", style="bold", markup=False)
        context.position = number - 1
        with missing_extras():
            planned.step.run(planned.config, context)
    return context


def check_data(pipeline: Pipeline) -> None:
    """Look at the paths that the steps read and write, without computing anything.

    Raises:
        ConfigError: what would stop a step, of all steps at once.
    """
    context = Context(pipeline.root, pipeline.seed, pipeline.workers, pipeline.document)
    faults = []
    for number, planned in enumerate(pipeline.steps):
        context.position = number
        for check in (planned.step.preflight, planned.step.look):
            try:
                with missing_extras():
                    check(planned.config, context)
            except EmotionsError as error:
                faults.append(Fault(f"pipeline[{number}]", "", str(error)))
    if faults:
        raise ConfigError(f"{len(faults)} {'step' if len(faults) == 1 else 'steps'} would be stopped", faults)


def pipeline_schema() -> Schema:
    """JSON Schema of a pipeline file with every kind of step that is installed."""
    from emotions.pipeline.schema import document_schema

    return document_schema([entry.load().config() for entry in installed(STEPS).values()])


def _planned(raw: Any, where: str, names: Mapping[str, str]) -> tuple[list[PlannedStep], list[Fault]]:
    """A step ready to run, or none and what is wrong with it; no object is the document's own fault."""
    from emotions.pipeline.overrides import left_over, replace
    from emotions.pipeline.validation import shown, unknown

    if not isinstance(raw, dict):
        return [], []
    kinds, name = installed(STEPS), raw.get("type")
    if not isinstance(name, str) or name not in kinds:
        found = shown(name) if "type" in raw else "missing"
        return [], [Fault(f"{where}.type", found, unknown(str(name), list(kinds)))]
    step: Step = kinds[name].load()
    if isinstance(raw.get("model"), str):
        names = {**names, "MODEL_NAME": raw["model"]}
    raw = replace(raw, names)
    config, faults = _checked(step.config(), raw, where)
    faults += left_over(raw, where)
    faults += [Fault(f"{where}.{fault.where}", fault.found, fault.remedy) for fault in step.check(raw)]
    return [PlannedStep(step, replace(config, names), raw)], faults


def _checked(config: Any, raw: Any, where: str) -> tuple[Any, list[Fault]]:
    """A raw object as its model, or None, with the faults that its model finds."""
    from pydantic import TypeAdapter, ValidationError

    from emotions.pipeline.schema import step_schema
    from emotions.pipeline.validation import faults_of

    try:
        return TypeAdapter(config).validate_python(raw), []
    except ValidationError as error:
        return None, faults_of(error, raw, where, step_schema(config))
