"""What travels to the nodes of a cluster that share no file system with this machine: the code and the data."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import emotions
import training
from emotions.errors import ConfigError
from emotions.pipeline.runner import Context
from training.config.tune import SearchSpace, TuneStep
from training.data.sources import locate
from training.models.encoders import RANDOM

MAX_BYTES = 500 << 20
"""Most that Ray's runtime environment carries."""


@contextmanager
def runtime_environment(step: TuneStep, context: Context) -> Iterator[dict[str, Any]]:
    """Ray's runtime environment in which the folder that relative paths start from lies on every node.

    In it are the dataset and the encoders that are named by a relative path; an absolute path has to lead to the same
    on every node. The code of this package travels as well: a node needs no more than what it stands on.

    Raises:
        ConfigError: it is more than Ray carries.
    """
    with tempfile.TemporaryDirectory(prefix="emotions-travel-") as name:
        there = Path(name)
        for source, place in _files_to_ship(step, context):
            _pack(source, there / place)
        _check_size(there)
        # A .gitignore says what is not code, never what is not data.
        os.environ["RAY_RUNTIME_ENV_IGNORE_GITIGNORE"] = "1"
        modules = [str(Path(str(each.__file__)).parent) for each in (emotions, training)]
        yield {"working_dir": name, "py_modules": modules, "excludes": ["__pycache__"]}


def _files_to_ship(step: TuneStep, context: Context) -> Iterator[tuple[Path, Path]]:
    """What travels, and where it lies in the working directory there."""
    source = locate(step.dataset, context.root)
    named = step.dataset.path
    if named is None or not Path(*([named] if isinstance(named, str) else named)).is_absolute():
        yield source.root, source.root.relative_to(context.root)
    for encoder in _encoders(step):
        path = Path(encoder.removeprefix(RANDOM))
        if path.exists() and not path.is_absolute():
            yield path, path


def _encoders(step: TuneStep) -> list[str]:
    found = getattr(step.model_architecture, "encoder", None)
    return list(found.values) if isinstance(found, SearchSpace) else [found] if found else []


def _pack(source: Path, target: Path) -> None:
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
