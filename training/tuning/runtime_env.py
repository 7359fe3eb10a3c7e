"""Ship code and data to the nodes of a cluster that share no file system with this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import emotions
import training
from emotions.errors import ConfigError
from emotions.files.atomic import scratch_folder
from emotions.pipeline.runner import Context
from training.config.architectures import RANDOM
from training.config.teacher import path_of
from training.config.tune import SearchSpace, TuneStep
from training.data.sources import locate

MAX_BYTES = 500 << 20
"""Largest content of Ray's runtime environment."""


@contextmanager
def runtime_environment(step: TuneStep, context: Context) -> Iterator[dict[str, Any]]:
    """Ray's runtime environment with the code of this package and, as the working directory, a copy of the data.

    The copy has the dataset, its teacher and the encoders that are named by a relative path. An absolute path has to
    exist on every node. A node needs the dependencies of this package, but not the package.

    Args:
        step: names dataset and encoders.
        context: its root is the folder that relative paths start from.
    """
    with scratch_folder("emotions-code") as folder:
        for source, place in _files_to_ship(step, context):
            _copy(source, folder / place)
        _check_size(folder)
        # A .gitignore must not leave data out.
        os.environ["RAY_RUNTIME_ENV_IGNORE_GITIGNORE"] = "1"
        modules = [str(Path(str(each.__file__)).parent) for each in (emotions, training)]
        yield {"working_dir": str(folder), "py_modules": modules, "excludes": ["__pycache__"]}


def _files_to_ship(step: TuneStep, context: Context) -> Iterator[tuple[Path, Path]]:
    """Files and folders, each with its place in the working directory."""
    source = locate(step.dataset, context.root)
    named = step.dataset.path
    if named is None or not Path(*([named] if isinstance(named, str) else named)).is_absolute():
        yield source.root, source.root.relative_to(context.root)
    others = [step.dataset.unlabelled, None if step.teacher is None else step.teacher.bundle]
    for each in others:
        if each is not None and not (place := path_of(each, Path())).is_absolute():
            yield from _taught(context.root, place)
    encoder = getattr(step.model_architecture, "encoder", None)
    encoders = encoder.values if isinstance(encoder, SearchSpace) else [encoder] if encoder else []
    for each in encoders:
        path = Path(each.removeprefix(RANDOM))
        if path.exists() and not path.is_absolute():
            yield path, path


def _taught(root: Path, place: Path) -> Iterator[tuple[Path, Path]]:
    """A teacher's bundle, or its recordings; of a table the folder, where they lie."""
    named = place.parent if (root / place).is_file() else place
    yield root / named, named


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, copy_function=_link, dirs_exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        _link(str(source), str(target))


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copyfile(source, target)


def _check_size(folder: Path) -> None:
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size > MAX_BYTES:
        raise ConfigError(
            f"tune.storage_path: the recordings and encoders of this search are {size / 1e6:.0f} MB, of which Ray "
            f"carries {MAX_BYTES / 1e6:.0f}; lay them where every node sees them, and name them by an absolute path"
        )
