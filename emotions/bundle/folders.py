"""Folders of bundles: writing one as a whole or not at all, and finding the newest."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from emotions.bundle.bundle import read_bundle
from emotions.bundle.manifest import MANIFEST, Manifest
from emotions.bundle.targets import written_targets
from emotions.errors import BundleError
from emotions.files.atomic import atomic_folder
from emotions.files.content import sha256
from emotions.files.json_text import write_json


@contextlib.contextmanager
def write_bundle(path: Path) -> Iterator[Path]:
    """Give a temporary folder to fill, the manifest last; once checked it becomes ``path``, or there is nothing."""
    with atomic_folder(path) as folder:
        yield folder
        read_bundle(folder)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write ``manifest.json``.

    Args:
        folder: the bundle's folder.
        manifest: its content.
    """
    content = manifest.model_dump(mode="json", exclude={"ranges"})
    if manifest.format_version > 1:
        content["targets"] = written_targets(content["targets"], manifest.ranges)
    write_json(folder / MANIFEST, content)


def hash_files(folder: Path) -> dict[str, str]:
    """SHA-256 of every file in a bundle's folder but the manifest, by name."""
    return {file.name: sha256(file) for file in sorted(folder.iterdir()) if file.name != MANIFEST}


def newest_bundle(folder: Path) -> Path:
    """The bundle made last below ``folder``; BundleError where there is none."""
    found = [manifest.parent for manifest in folder.glob(f"*/{MANIFEST}") if not manifest.parent.name.startswith(".")]
    if not found:
        raise BundleError(f"{folder}: holds no bundle; export one, or name one with --bundle or EMOTIONS_BUNDLE")
    return max(found, key=lambda path: (path / MANIFEST).stat().st_mtime_ns)
