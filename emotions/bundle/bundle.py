"""A bundle that was opened: every file of it is the one that its manifest names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from emotions.bundle.checked_file import Stamp, checked_file
from emotions.bundle.manifest import MANIFEST, Manifest
from emotions.bundle.targets import read_targets
from emotions.errors import BundleError, ConfigError, plain
from emotions.files.json_text import read_json

FORMAT_VERSIONS = (1, 2)
"""What this release reads: labels alone, and dimensions too."""
MAX_MANIFEST_BYTES = 4 << 20
_SHOWN, _MAX_SHOWN = 5, 300
_OTHER_FOLDERS = (
    ("run.json", "it is a run folder: emotions export --run {} --output BUNDLE makes a bundle of it"),
    ("search.json", "it holds a search: emotions export --tune-results {} --output BUNDLE exports its best trial"),
    ("*.ckpt", "it is a run folder whose training has not ended"),
)
"""What people name instead of a bundle, by a file in it."""


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files were checked against its manifest; ``stamps`` are theirs from when they were read."""

    path: Path
    manifest: Manifest
    stamps: Mapping[str, Stamp] = field(default_factory=dict)

    @cached_property
    def id(self) -> str:
        """Name and the first digits of the fp32 model's hash: tells two bundles of one name apart."""
        return f"{self.manifest.name}@{self.manifest.variants['fp32'].sha256[:12]}"

    def file(self, variant: str) -> Path:
        """Path of a variant's file."""
        return self.path / self.manifest.variants[variant].file

    def check_unchanged(self) -> None:
        """Raise BundleError where a file is no longer the one that was checked."""
        for name, stamp in self.stamps.items():
            if not stamp.is_of(self.path / name):
                raise BundleError(f"{self.path}: {name} was changed while the bundle was opened; open it again")


def read_bundle(path: Path | str) -> Bundle:
    """Open a bundle and check every file of it against the manifest.

    Raises:
        BundleError: no bundle there, half-written, altered, or of a format version that this release does not know.
    """
    folder = Path(path)
    if not (folder / MANIFEST).is_file():
        raise BundleError(f"{folder}: is not a bundle ({_what_it_is(folder)})")
    manifest = read_manifest(folder)
    stamps = {name: checked_file(folder, name, expected) for name, expected in manifest.files.items()}
    return Bundle(folder, manifest, stamps)


def _what_it_is(path: Path) -> str:
    """What stands in a place where a bundle should, and what to do."""
    if not path.is_dir():
        return "it is a file; name the folder that emotions export wrote" if path.exists() else "no such folder"
    for pattern, what in _OTHER_FOLDERS:
        if [*path.glob(pattern)]:
            return what.format(path)
    inside = sorted(found.parent.name for found in path.glob(f"*/{MANIFEST}"))
    return f"it is a folder of bundles; name one of {', '.join(inside[:_SHOWN])}" if inside else f"no {MANIFEST}"


def read_manifest(folder: Path) -> Manifest:
    """Read a bundle's manifest alone; the files are not compared with it. Raises BundleError."""
    path = folder / MANIFEST
    try:
        content = read_json(path, MAX_MANIFEST_BYTES)
    except ConfigError as error:
        raise BundleError(str(error)) from error
    version = content.get("format_version") if isinstance(content, dict) else None
    if type(version) is not int or version not in FORMAT_VERSIONS:
        raise BundleError(
            f"{path}: format version {_short(repr(version))} is unknown to this release "
            f"(it reads {' and '.join(map(str, FORMAT_VERSIONS))})"
        )
    try:
        return Manifest.model_validate(_flat(content))
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[:_SHOWN]
        faults = "; ".join(f"{_short('.'.join(map(str, e['loc'])))}: {_short(e['msg'])}" for e in first)
        if error.error_count() > _SHOWN:
            faults += f"; and {error.error_count() - _SHOWN} more"
        raise BundleError(f"{path}: {plain(faults)}") from error


def _flat(content: dict[str, Any]) -> dict[str, Any]:
    """The content of a manifest with the ranges of its targets beside them, where the file has them inside."""
    if "ranges" in content:
        raise BundleError("ranges: unknown key; a range stands in its target")
    if content["format_version"] == 1:
        return content
    try:
        targets, ranges = read_targets(content.get("targets"))
    except ValueError as error:
        raise BundleError(plain(_short(str(error)))) from error
    return {**content, "targets": targets, "ranges": ranges}


def _short(text: str) -> str:
    """A text from the manifest, cut to what a message has room for."""
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
