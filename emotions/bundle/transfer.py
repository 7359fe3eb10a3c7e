"""Bundles to a store and back: what comes back is checked against the manifest, and is there whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from emotions.bundle.bundle import MAX_MANIFEST_BYTES, read_bundle, read_manifest
from emotions.bundle.checked_file import MAX_BYTES
from emotions.bundle.folders import write_bundle
from emotions.bundle.manifest import MANIFEST, Manifest
from emotions.bundle.stores.hub import Hub
from emotions.bundle.stores.mlflow_registry import MlflowRegistry
from emotions.bundle.stores.object_store import ObjectStore
from emotions.errors import ConfigError


class Store(Protocol):
    """Where the files of one bundle are kept."""

    def get(self, name: str, target: Path, most_bytes: int) -> None:
        """Fetch a file."""

    def put(self, folder: Path, names: Sequence[str]) -> str:
        """Upload files and the manifest; the URL of what was written."""


def push(bundle: Path, url: str) -> str:
    """Check a bundle and copy it to a store; return the URL that it has there.

    Args:
        bundle: its folder.
        url: ``hf://OWNER/NAME``, ``mlflow://NAME``, or one that fsspec reads.

    Raises:
        BundleError: the bundle is none, or the store cannot be written.
        OutputExists: another bundle is there.
        ConfigError: the URL is none.
        MissingExtra: a package for it is not installed.
    """
    opened = read_bundle(bundle)
    return store_of(url).put(opened.path, [*opened.manifest.files])


def pull(url: str, output: Path) -> Path:
    """Copy a bundle from a store; only the files that its manifest lists, each compared with its hash.

    Args:
        url: as ``push`` takes or returned it.
        output: folder to write.

    Raises:
        BundleError: there is no bundle, or a file of it is altered or too large; nothing is written.
        OutputExists: ``output`` is there already.
        ConfigError, MissingExtra: as ``push``.
    """
    store = store_of(url)
    with write_bundle(output) as folder:
        store.get(MANIFEST, folder / MANIFEST, MAX_MANIFEST_BYTES)
        manifest = read_manifest(folder)
        for name in manifest.files:
            store.get(name, folder / name, _most_bytes(manifest, name, shutil.disk_usage(folder).free))
    return output


def store_of(url: str) -> Store:
    """The store of a URL. Raises as ``push``."""
    scheme, sign, _ = url.partition("://")
    if not sign:
        raise ConfigError(
            f"{url}: is no URL; write s3://BUCKET/NAME, gs://BUCKET/NAME, hf://OWNER/NAME or mlflow://NAME"
        )
    if scheme == "hf":
        return Hub(url)
    return MlflowRegistry(url) if scheme == "mlflow" else ObjectStore(url)


def _most_bytes(manifest: Manifest, name: str, free: int) -> int:
    """Most bytes of a file: as many as the manifest says, of one that it says nothing of what the disk has."""
    sizes = [variant.bytes for variant in manifest.variants.values() if variant.file == name]
    return sizes[0] if sizes else min(MAX_BYTES, free)
