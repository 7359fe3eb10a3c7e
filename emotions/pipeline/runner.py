"""The pipeline file: read it, check all of it, run its steps in order.

``path -> document -> overridden -> placeholders replaced -> steps, each checked by its own model -> run``. Nothing is
computed before the whole file is found right, and everything that is wrong in it is reported at once.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from emotions.errors import ConfigError, EmotionsError, Fault, MissingExtra
from emotions.files import read_json
from emotions.pipeline.overrides import left_over, override, replace
from emotions.pipeline.schema import Document, Schema, StepConfig, document_schema, step_schema
from emotions.pipeline.validation import faults_of, shown, unknown

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "Context",
    "Pipeline",
    "PlannedStep",
    "Step",
    "StepConfig",
    "check_not_shadowed",
    "console",
    "load_pipeline",
    "missing_extras",
    "pipeline_schema",
    "run_pipeline",
]

STEPS, COMMANDS = "emotions.steps", "emotions.commands"
"""Entry point groups: name -> ``Step``, and name -> ``register(app)``."""
_PACKAGES = ("training", "export", "serving")
_HOME = Path(__file__).resolve().parents[2]
"""The folder that all packages of the toolkit lie in."""

_EXTRAS = {
    "train": (
        *("lightning", "matplotlib", "optuna", "ray", "scipy", "sklearn", "tensorboard", "timm"),
        *("torch", "torchaudio", "torchvision", "transformers", "vit_pytorch"),
    ),
    "export": ("onnx", "onnxscript"),
    "serve": ("bentoml", "httptools", "multipart", "pyarrow", "python_multipart", "starlette", "uvloop"),
}


@dataclass
class Context:
    """What the steps of one run share.

    Attributes:
        root: what ``$$ROOT_DIR$$`` stands for.
        seed: seed of every random choice.
        workers: processes that load data; 0 loads in the main process.
        config: the file as it is run, placeholders and overrides resolved; kept in run folders.
        last_run: run folder of the last ``train`` step.
        last_search: results folder of the last ``tune`` step.
        last_evaluation: folder of the last ``evaluate`` step.
        last_bundle: bundle of the last ``export`` step.
        quiet: no progress on stderr.
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


def _no_preflight(_config: Any, _context: Context) -> None:
    return


def _no_faults(_: dict[str, Any]) -> list[Fault]:
    return []


@dataclass(frozen=True)
class Step:
    """A kind of step, as an entry point of the group ``emotions.steps`` gives it.

    Attributes:
        config: pydantic model of the step's object, or an annotated union of models.
        run: runs a validated step; it imports what is heavy inside.
        check: faults between fields of a step's raw object, whatever else is wrong in it; ``where`` is relative to it.
        preflight: raises, before the first step runs, what would stop this one for certain: an output that exists.
    """

    config: Any
    run: Callable[[Any, Context], None]
    check: Callable[[dict[str, Any]], list[Fault]] = _no_faults
    preflight: Callable[[Any, Context], None] = _no_preflight


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
    """A pipeline file that was found right.

    Attributes:
        steps: what to run, in order.
        document: the file as it is run, placeholders and overrides resolved.
        root: what ``$$ROOT_DIR$$`` stands for, absolute.
        seed: seed of every random choice.
        workers: processes that load data.
    """

    steps: tuple[PlannedStep, ...]
    document: dict[str, Any]
    root: Path
    seed: int
    workers: int


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
    """
    where = (root or Path.cwd()).absolute()
    names = {"ROOT_DIR": str(where), "DATETIME": datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")}
    document = replace(override(read_json(path), overrides), names)
    head, faults = _checked(Document, document, "")
    planned = []
    for index, raw in enumerate(_objects(document)):
        plan, found = _planned(raw, f"pipeline[{index}]", names)
        planned += plan
        faults += found
    if head is None or faults:
        raise ConfigError(f"{path}: {len(faults)} {'fault' if len(faults) == 1 else 'faults'}", faults)
    document = {**document, "pipeline": [each.raw for each in planned]}
    return Pipeline(tuple(planned), document, where, head.seed, head.load_dataset_workers_num)


def run_pipeline(pipeline: Pipeline) -> Context:
    """Run the steps in order, each announced by one line on stderr.

    Returns:
        The context after the last step.

    Raises:
        EmotionsError: whatever stops a step; a missing package of an extra is named with its extra.
    """
    context = Context(pipeline.root, pipeline.seed, pipeline.workers, pipeline.document)
    for planned in pipeline.steps:
        planned.step.preflight(planned.config, context)
    for number, planned in enumerate(pipeline.steps, start=1):
        if not context.quiet:
            console().print(f"step {number} of {len(pipeline.steps)}: {planned.title}", style="bold", markup=False)
        with missing_extras():
            planned.step.run(planned.config, context)
    return context


@contextlib.contextmanager
def missing_extras() -> Iterator[None]:
    """Turn the failed import of an extra's package into the error that names the extra.

    Raises:
        MissingExtra: a package of an extra is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        for extra, packages in _EXTRAS.items():
            if package in packages and importlib.util.find_spec(package) is None:
                raise MissingExtra(extra, package) from error
        raise


def pipeline_schema() -> Schema:
    """JSON Schema of a pipeline file with every kind of step that is installed."""
    return document_schema([entry.load().config for entry in installed(STEPS).values()])


@functools.cache
def installed(group: str) -> Mapping[str, EntryPoint]:
    """The entry points of a group, by name; a slim image may leave out the package that one lies in."""
    found = entry_points(group=group)
    return {entry.name: entry for entry in found if module_exists(entry.module)}


def check_not_shadowed() -> None:
    """Refuse to run where a package of another project is imported in place of one of the toolkit's.

    Their names, ``training`` and the like, are common, and a module of that name may be found first.

    Raises:
        EmotionsError: names the package, where it lies, and what to do.
    """
    for package in _PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is None or not (_HOME / package).is_dir():
            continue
        places = [Path(each).resolve() for each in spec.submodule_search_locations or ()]
        if _HOME / package not in places:
            found = spec.origin or ", ".join(map(str, places))
            raise EmotionsError(
                f"the package '{package}' is imported from {found}, which shadows that of emotions-toolkit in {_HOME}: "
                "rename it, or take its folder off PYTHONPATH"
            )


def module_exists(name: str) -> bool:
    """Whether a module ``package.module`` could be imported, without importing it."""
    package = name.partition(".")[0]
    return importlib.util.find_spec(package) is not None and importlib.util.find_spec(name) is not None


def _objects(document: Any) -> list[Any]:
    steps = document.get("pipeline") if isinstance(document, dict) else None
    return steps if isinstance(steps, list) else []


def _planned(raw: Any, where: str, names: Mapping[str, str]) -> tuple[list[PlannedStep], list[Fault]]:
    """A step ready to run, or none and what is wrong with it; no object is the document's own fault."""
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
    config, faults = _checked(step.config, raw, where)
    faults += left_over(raw, where)
    faults += [Fault(f"{where}.{fault.where}", fault.found, fault.remedy) for fault in step.check(raw)]
    return [PlannedStep(step, replace(config, names), raw)], faults


def _checked(config: Any, raw: Any, where: str) -> tuple[Any, list[Fault]]:
    """A raw object as its model, or None, with the faults that its model finds."""
    try:
        return TypeAdapter(config).validate_python(raw), []
    except ValidationError as error:
        return None, faults_of(error, raw, where, step_schema(config))
