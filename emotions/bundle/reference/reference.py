"""``reference.json``: counts and moments of a bundle's validation clips. No recording, no speaker, no clip."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from emotions.bundle.bundle import Bundle, read_manifest
from emotions.bundle.folders import write_manifest
from emotions.bundle.manifest import Manifest, Name
from emotions.errors import BundleError, ConfigError, plain
from emotions.files.content import sha256
from emotions.files.json_text import read_json, write_json

REFERENCE = "reference.json"
"""Its file in a bundle."""
MAX_DIMS = 8192
"""Widest embedding that is kept."""
_MAX_BYTES = 8 << 20
_MAX_CLIPS = 10**9
_MAX_BINS, _MAX_STATISTICS, _MAX_AXES = 100, 1_000, 64

Number = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=_MAX_CLIPS)]
Vector = Annotated[list[Number], Field(min_length=1, max_length=MAX_DIMS)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Histogram(_Strict):
    """Counts of a figure: ``edges`` are between the bins, and an edge belongs to the bin below it."""

    edges: list[Number] = Field(min_length=1, max_length=_MAX_BINS)
    counts: list[Count]

    @model_validator(mode="after")
    def _bins_lie_between_edges(self) -> Self:
        if len(self.counts) != len(self.edges) + 1 or self.edges != sorted(set(self.edges)):
            raise ValueError("a histogram has ascending edges, and one count more than edges")
        return self


class Confidence(_Strict):
    """Mean and standard deviation of the probability of a target's label: the mean is the expected accuracy."""

    mean: Annotated[float, Field(ge=0, le=1)]
    deviation: Annotated[float, Field(ge=0, le=1)]


class Space(_Strict):
    """Mean and covariance of points, along the few axes on which they vary most: rows of ``axes``, (axes, dims)."""

    mean: Vector
    axes: Annotated[list[Vector], Field(min_length=1, max_length=_MAX_AXES)]
    variances: Annotated[list[Annotated[float, Field(gt=0, allow_inf_nan=False)]], Field(min_length=1)]

    @model_validator(mode="after")
    def _axes_are_of_the_space(self) -> Self:
        if len(self.axes) != len(self.variances) or any(len(axis) != len(self.mean) for axis in self.axes):
            raise ValueError("a space has a variance for each axis, and axes as wide as its mean")
        return self


class Reference(_Strict):
    """Statistics of the clips that others are compared with.

    Attributes:
        clips: how many there were.
        what: what they were, in words.
        labels: target -> how often each of its labels was given, in output order.
        confidence: target -> how sure the answers were.
        histograms: figure -> its histogram; the names are those of ``Observation.figures``.
        spaces: ``embedding``, ``answers``.
    """

    format_version: Literal[1] = 1
    clips: int = Field(ge=2, le=_MAX_CLIPS)
    what: Name
    labels: dict[Name, list[Count]] = Field(max_length=_MAX_STATISTICS)
    confidence: dict[Name, Confidence] = Field(max_length=_MAX_STATISTICS)
    histograms: dict[str, Histogram] = Field(max_length=_MAX_STATISTICS)
    spaces: dict[Literal["embedding", "answers"], Space]

    @property
    def comparisons(self) -> int:
        """How many statistics clips are compared by."""
        return len(self.labels) + len(self.confidence) + len(self.histograms) + len(self.spaces)


def read_reference(bundle: Bundle) -> Reference | None:
    """The reference of a bundle; None where it has none, as bundles of releases before 0.3 have.

    Raises:
        BundleError: it is broken, or of other targets than the bundle's.
    """
    if REFERENCE not in bundle.manifest.files:
        return None
    path = bundle.path / REFERENCE
    try:
        reference = Reference.model_validate(read_json(path, _MAX_BYTES))
    except ConfigError as error:
        raise BundleError(str(error)) from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise BundleError(plain(f"{path}: {where[:100]}: {first['msg']}")) from error
    _check_targets(path, reference, bundle.manifest)
    return reference


def _check_targets(path: Path, reference: Reference, manifest: Manifest) -> None:
    counts = {target: len(labels) for target, labels in manifest.labels.items()}
    same = {target: len(found) for target, found in reference.labels.items()} == counts
    if not same or {*reference.confidence} != {*counts}:
        raise BundleError(f"{path}: is not of this bundle's targets")


def write_reference(folder: Path, reference: Reference) -> None:
    """Write ``reference.json`` into a folder; the manifest is not changed. Args as ``add_reference``."""
    write_json(folder / REFERENCE, reference.model_dump(mode="json"))


def add_reference(folder: Path, reference: Reference) -> None:
    """Give a bundle a reference, or another one. Whenever it ends, the bundle is whole: with it, or without.

    Args:
        folder: the bundle's folder.
        reference: its new reference.
    """
    manifest = read_manifest(folder)
    others = {name: known for name, known in manifest.files.items() if name != REFERENCE}
    if REFERENCE in manifest.files:
        write_manifest(folder, manifest.model_copy(update={"files": others}))
    write_reference(folder, reference)
    files = dict(sorted({**others, REFERENCE: sha256(folder / REFERENCE)}.items()))
    write_manifest(folder, manifest.model_copy(update={"files": files}))
