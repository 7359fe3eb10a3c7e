"""Several bundles by name: ``NAME=PATH,NAME=PATH``, an object of names and paths, or folders of bundles."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError

from emotions.bundle.manifest import MANIFEST
from emotions.errors import BundleError, ConfigError

MAX_BUNDLES = 32
"""Most bundles of one service: each is in its memory."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_RULE = "letters, digits, '.', '_' and '-', at most 64 of them"


def _pairs(written: Any) -> Any:
    """Pairs of a name and a path; a path alone has an empty name."""
    if isinstance(written, str) and written.lstrip().startswith("{"):
        try:
            written = json.loads(written)
        except ValueError as error:
            raise PydanticCustomError("bundles", "it is no JSON object of names and paths") from error
    if isinstance(written, str):
        parts = [part.partition("=") for part in written.split(",") if part.strip()]
        return [(name.strip(), path.strip()) if sign else ("", name.strip()) for name, sign, path in parts]
    return [*written.items()] if isinstance(written, Mapping) else written


def _checked(pairs: tuple[tuple[str, Path], ...]) -> tuple[tuple[str, Path], ...]:
    names = [name for name, _ in pairs if name]
    for name in names:
        if not _NAME.fullmatch(name):
            raise PydanticCustomError("bundles", f"a bundle is named by {_RULE}")
        if names.count(name) > 1:
            raise PydanticCustomError("bundles", "two bundles have the same name")
    return pairs


NamedPaths = Annotated[tuple[tuple[str, Path], ...], BeforeValidator(_pairs), AfterValidator(_checked)]
"""Pairs of a name, which may be empty, and a path."""


def named_bundles(pairs: Sequence[tuple[str, Path]]) -> dict[str, Path]:
    """Absolute path of each bundle by its name, in order; what is in them is not read.

    Args:
        pairs: as ``NamedPaths``; a path without a name is a bundle, or a folder of bundles, with the folders' names.

    Raises:
        ConfigError: two have the same name, one has none that can stand in a URL, or there are too many.
        BundleError: a path without a name holds no bundle.
    """
    found: dict[str, Path] = {}
    for name, path in (each for pair in pairs for each in _expanded(*pair)):
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{path}: give it a name, NAME={path}: {_RULE}")
        if name in found:
            raise ConfigError(f"{path}: {found[name]} is named {name!r} already; give it another name, NAME={path}")
        if len(found) == MAX_BUNDLES:
            raise ConfigError(f"{path}: more than {MAX_BUNDLES} bundles; start another service for the others")
        found[name] = path.absolute()
    return found


def _expanded(name: str, path: Path) -> Iterator[tuple[str, Path]]:
    if name:
        yield name, path
    elif (path / MANIFEST).is_file() or not path.is_dir():
        yield path.absolute().name, path
    else:
        inside = [manifest.parent for manifest in path.glob(f"*/{MANIFEST}")]
        shown = sorted(each for each in inside if not each.name.startswith("."))
        if not shown:
            raise BundleError(f"{path}: holds no bundle; export one, or name one")
        yield from ((each.name, each) for each in shown)
