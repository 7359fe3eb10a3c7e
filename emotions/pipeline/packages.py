"""The packages of the toolkit that are installed here, their entry points, and the extras that they need."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from emotions.errors import EmotionsError, MissingExtra

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


@functools.cache
def installed(group: str) -> Mapping[str, EntryPoint]:
    """The entry points of a group, by name; a slim image may leave out the package that one lies in."""
    found = entry_points(group=group)
    return {entry.name: entry for entry in found if module_exists(entry.module)}


def check_not_shadowed() -> None:
    """Refuse to run where a package of another project is imported in place of one of the toolkit's.

    Their names, ``training`` and the like, are common, and a module of that name may be found first.
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
    # The package first: find_spec raises where the parent of a module is missing.
    return all(importlib.util.find_spec(each) is not None for each in (name.partition(".")[0], name))


@contextlib.contextmanager
def missing_extras() -> Iterator[None]:
    """Turn the failed import of an extra's package into MissingExtra, which names the extra."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        for extra, packages in _EXTRAS.items():
            if package in packages and importlib.util.find_spec(package) is None:
                raise MissingExtra(extra, package) from error
        raise
