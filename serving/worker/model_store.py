"""Bundles in BentoML's model store: stored with their files as they are, and checked when they are copied out."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import bentoml
from bentoml.exceptions import BentoMLException, NotFound

from emotions.bundle.bundle import Bundle, read_bundle
from emotions.bundle.folders import write_bundle
from emotions.bundle.manifest import MANIFEST
from emotions.errors import BundleError, OutputExists, first_line

_FORBIDDEN = re.compile(r"[^a-z0-9._-]+")
_VERSION_DIGITS = 12


def to_store(bundle: Bundle, tag: str | None = None) -> str:
    """Copy a bundle into the model store, and return the tag that it has there.

    Args:
        bundle: an opened bundle.
        tag: ``name`` or ``name:version``; by default the bundle's name and the first digits of its model's hash.

    Raises:
        OutputExists: the store holds that tag already.
        BundleError: BentoML does not allow the tag.
    """
    tag = tag or _default_name(bundle)
    if ":" not in tag:
        tag = f"{tag}:{bundle.manifest.variants['fp32'].sha256[:_VERSION_DIGITS]}"
    labels = {"framework": "emotions-toolkit", "format_version": str(bundle.manifest.format_version)}
    try:
        with bentoml.models.create(tag, labels=labels, metadata={"bundle": bundle.id}) as model:
            for name in (MANIFEST, *bundle.manifest.files):
                shutil.copyfile(bundle.path / name, model.path_of(name))
            read_bundle(model.path)
    except (BentoMLException, ValueError) as error:
        if "already exists" in str(error):
            message = f"{tag}: {first_line(error)}; give another --tag, or bentoml models delete it"
            raise OutputExists(message) from error
        raise BundleError(f"--tag: {first_line(error)}") from error
    return tag


def from_store(tag: str, output: Path) -> Path:
    """Copy a bundle out of the model store.

    Args:
        tag: ``name`` or ``name:version``.
        output: folder to write.

    Raises:
        BundleError: the store has no such model, or it is no bundle, or was altered.
        OutputExists: ``output`` is there already.
    """
    try:
        stored = read_bundle(bentoml.models.get(tag).path)
    except (NotFound, ValueError) as error:
        raise BundleError(f"{tag}: {first_line(error)}") from error
    with write_bundle(output) as folder:
        for name in (MANIFEST, *stored.manifest.files):
            shutil.copyfile(stored.path / name, folder / name)
    return output


def _default_name(bundle: Bundle) -> str:
    """The bundle's name in BentoML's characters: lower-case ASCII; ``emotions`` where nothing is left."""
    name = _FORBIDDEN.sub("-", bundle.manifest.name.lower()).strip("-._")
    return name[:63].rstrip("-._") or "emotions"
