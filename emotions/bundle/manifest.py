"""The bundle: one folder with a classifier and all that is needed to run and to trust it.

    manifest.json   the model's inputs and outputs, how it was measured, the hash of every other file
    model.onnx      waveform (batch, samples) float32 and length (batch,) int64 in; one (batch, classes) a target out
    probe.npz       seeded synthetic signals with the probabilities that the model gave them
    report.json     the proof of the export
    README.md       the model card

The specification is the ``Manifest`` below: format version 2 has targets of dimensions, and is written for them alone,
so that readers of version 1 read every other bundle. Nothing in a bundle is code and nothing is unpickled.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from emotions.audio.windows import Pooling, WindowSpec
from emotions.bundle.checked_file import MAX_BYTES
from emotions.bundle.targets import Range, check_range

MANIFEST = "manifest.json"
PROBE = "probe.npz"
WAVEFORM, LENGTH = "waveform", "length"
"""Names of the graph's two inputs."""
EMBEDDING = "embedding"
"""Name of the graph's optional last output, and the key of ``extra`` that describes it."""
UNKNOWN = "unknown"
"""The answer below a target's threshold; no label of a bundle with thresholds has this name."""
ABOVE_ALL = "above_all"
"""The threshold in ``calibration`` that no confidence reaches, 1 neither: every answer is unknown."""

_MAX_OVERLAP = 100
_MAX_TARGETS, _MAX_LABELS, _MAX_FILES = 100, 10_000, 1_000
_MAX_WINDOW = 600 * 16_000
_LONG_WINDOW = 15 * 16_000
_MAX_DIMS = 100_000
# Columns of a prediction table; a target with such a name would overwrite one.
RESERVED_NAMES = frozenset(
    {"file", "start", "end", "confidence", "duration", "warning", "error", "label", WAVEFORM, LENGTH}
)

Device = Literal["cpu", "cuda", "any"]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Window(_Strict):
    """Window and hop in samples; ``dynamic`` where shorter input needs no padding."""

    samples: int = Field(gt=0, le=_MAX_WINDOW)
    hop_samples: int = Field(gt=0, le=_MAX_WINDOW)
    dynamic: bool = False

    @property
    def spec(self) -> WindowSpec:
        """The window as ``emotions.audio.windows`` takes it."""
        return WindowSpec(self.samples, self.hop_samples, self.dynamic)

    @property
    def long(self) -> bool:
        """Whether windows are of any length up to more than 15 s, so that what a batch takes must be bounded by it."""
        return self.dynamic and self.samples > _LONG_WINDOW


class TensorSpec(_Strict):
    """One input or output of the graph: its element type and shape, a name standing for a free axis."""

    name: Name
    dtype: Annotated[str, StringConstraints(max_length=20)]
    shape: Annotated[tuple[Annotated[int, Field(ge=0, le=_MAX_WINDOW)] | Name, ...], Field(max_length=8)]


class Variant(_Strict):
    """One form of the model: its file in the bundle, the device that it is made for, and what the proof measured.

    ``max_abs_diff`` is of a probability to the torch model's, or of a value in widths of its range; ``agreement`` the
    share of clips with its label.
    """

    file: Name
    bytes: int = Field(ge=0, le=MAX_BYTES)
    sha256: Sha256
    device: Device
    max_abs_diff: float = Field(ge=0, le=1)
    agreement: float = Field(ge=0, le=1)


class Dataset(_Strict):
    """The training data: a fingerprint of the clip table (never names), its size and licence."""

    fingerprint: str
    clips: int = Field(ge=0, le=10**12)
    hours: float = Field(ge=0, le=1e9)
    license: str | None = None
    split: dict[str, Any] = {}


class Manifest(_Strict):
    """``manifest.json``. Unknown keys are refused outside ``extra``.

    Attributes:
        targets: the names of each target's outputs in their order: its labels, or its dimensions.
        ranges: the range of each target of dimensions; values may lie outside it. In the file they are in ``targets``.
        pooling: how windows become a clip, as ``window_weights`` has it; a manifest without it is of a bundle whose
            windows count equally.
    """

    format_version: Literal[1, 2] = 1
    name: Name
    created: AwareDatetime
    toolkit_version: Name
    targets: dict[Name, Annotated[list[Name], Field(min_length=1, max_length=_MAX_LABELS)]] = Field(
        min_length=1, max_length=_MAX_TARGETS
    )
    ranges: dict[Name, Range] = {}
    sample_rate: Literal[16000] = 16_000
    window: Window
    pooling: Pooling = "mean"
    inputs: list[TensorSpec] = Field(max_length=_MAX_TARGETS)
    outputs: list[TensorSpec] = Field(max_length=_MAX_TARGETS)
    model: dict[str, Any]
    metrics: dict[str, Any] = {}
    calibration: dict[str, Any] = {}
    dataset: Dataset | None = None
    encoder: dict[str, Any] | None = None
    variants: dict[Name, Variant] = Field(max_length=_MAX_TARGETS)
    files: dict[Name, Sha256] = Field(max_length=_MAX_FILES)
    extra: dict[str, Any] = {}

    @model_validator(mode="after")
    def _ranges_are_of_targets(self) -> Self:
        if unknown := [target for target in self.ranges if target not in self.targets]:
            raise ValueError(f"{unknown[0]!r} has a range and is no target")
        if (self.format_version == 2) < bool(self.ranges):
            raise ValueError("format version 1 has no targets of dimensions")
        for target, bounds in self.ranges.items():
            check_range(target, bounds)
        for target, labels in self.labels.items():
            if len(labels) < 2:
                raise ValueError(f"target {target!r} has fewer than two labels")
        return self

    @property
    def labels(self) -> dict[str, list[str]]:
        """The labels of each target that has labels, in output order."""
        return {target: names for target, names in self.targets.items() if target not in self.ranges}

    @property
    def dimensions(self) -> dict[str, list[str]]:
        """The dimensions of each target that has dimensions, in output order."""
        return {target: names for target, names in self.targets.items() if target in self.ranges}

    @model_validator(mode="after")
    def _targets_are_the_outputs(self) -> Self:
        for target, names in self.targets.items():
            if len(set(names)) != len(names):
                raise ValueError(f"target {target!r} names a {'dimension' if target in self.ranges else 'label'} twice")
            if target in RESERVED_NAMES or "." in target:
                raise ValueError(f"{target!r} cannot name a target: it is a column of prediction tables, or has a dot")
        if [tensor.name for tensor in self.outputs] != list(self.targets):
            raise ValueError("the outputs are not the targets, in their order")
        for output, labels in zip(self.outputs, self.targets.values(), strict=True):
            if output.shape[-1:] != (len(labels),):
                raise ValueError(f"output {output.name!r} has the shape {output.shape}, and {len(labels)} names")
        return self

    @model_validator(mode="after")
    def _embedding_is_another_output(self) -> Self:
        output = self.embedding
        if output is None:
            return self
        if EMBEDDING in self.targets:
            raise ValueError(f"{EMBEDDING!r} names a target and the embedding")
        dims = output.shape[1] if len(output.shape) == 2 else None
        if output.name != EMBEDDING or not isinstance(dims, int) or not 0 < dims <= _MAX_DIMS:
            raise ValueError(f"extra.{EMBEDDING} is not an output {EMBEDDING!r} of the shape (batch, dims)")
        return self

    @property
    def embedding(self) -> TensorSpec | None:
        """The optional output with the input of the output layers, float32 [batch, dims].

        It is described in ``extra``, so that readers of format 1 that do not know it ask for the targets alone.
        """
        described = self.extra.get(EMBEDDING)
        return None if described is None else TensorSpec.model_validate(described)

    @model_validator(mode="after")
    def _window_is_the_input(self) -> Self:
        widths = [tensor.shape[-1:] for tensor in self.inputs if tensor.name == WAVEFORM]
        if not self.window.dynamic and widths != [(self.window.samples,)]:
            raise ValueError(f"the window has {self.window.samples} samples, the input {WAVEFORM!r} has not")
        if not self.window.samples <= _MAX_OVERLAP * self.window.hop_samples:
            raise ValueError(f"windows overlap more than {_MAX_OVERLAP} times")
        if self.pooling == "coverage" and self.window.hop_samples > self.window.samples:
            raise ValueError(
                "by the pooling 'coverage' every sample counts, and a hop longer than the window skips some"
            )
        return self

    @model_validator(mode="after")
    def _files_are_plain_and_hashed(self) -> Self:
        if "fp32" not in self.variants:
            raise ValueError("variants lacks fp32")
        if PROBE not in self.files:
            raise ValueError(f"files lacks {PROBE}")
        for name in (*self.files, *(variant.file for variant in self.variants.values())):
            if PurePosixPath(name).name != name or name in {MANIFEST, "..", "."} or "\\" in name:
                raise ValueError(f"{name!r} is not a plain file name")
        for name, variant in self.variants.items():
            if self.files.get(variant.file) != variant.sha256:
                raise ValueError(f"variant {name} and files disagree on {variant.file}")
        return self

    @model_validator(mode="after")
    def _thresholds_are_confidences(self) -> Self:
        for target, threshold in stated_thresholds(self.calibration).items():
            known = threshold == ABOVE_ALL or (isinstance(threshold, (int, float)) and 0 <= threshold <= 1)
            if target not in self.labels or not known:
                raise ValueError(f"calibration has no confidence of a target as the threshold of {target!r}")
        return self

    @property
    def thresholds(self) -> dict[str, float]:
        """Confidence below which a target's answer is unknown, of the targets that have one; infinity: all of them."""
        stated = stated_thresholds(self.calibration)
        return {target: math.inf if found == ABOVE_ALL else found for target, found in stated.items()}


def stated_thresholds(calibration: Mapping[str, Any]) -> dict[str, Any]:
    """The thresholds that a manifest's ``calibration`` has: target -> a confidence, or ``above_all``."""
    known = {name: about for name, about in calibration.items() if isinstance(about, dict)}
    return {target: about["threshold"] for target, about in known.items() if "threshold" in about}
