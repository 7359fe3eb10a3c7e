"""The Python face: ``emotions.load("bundle").predict("clip.wav")``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from emotions.audio import decode
from emotions.audio.windows import FloatArray, Windows, pool, split
from emotions.bundle.manifest import Bundle, Manifest, read_bundle
from emotions.errors import AudioError, ModelError
from emotions.runtime.session import DeviceChoice, Probabilities, Session, open_session

if TYPE_CHECKING:
    from emotions.folder.predict_files import FileResult

Clip = Path | str | bytes | npt.NDArray[Any] | tuple[npt.NDArray[Any], int]
"""A path, a file's bytes, a mono waveform (samples,) at 16 kHz, or (waveform, samples per second)."""


@dataclass(frozen=True)
class WindowPrediction:
    """What the model says of one window: ``start`` and ``end`` in seconds, ``probabilities[target][label]``."""

    start: float
    end: float
    probabilities: dict[str, dict[str, float]]


@dataclass(frozen=True)
class Prediction:
    """What the model says of one clip.

    Attributes:
        probabilities: ``probabilities[target][label]``, the mean over the clip's windows.
        windows: the same for each window, in order.
        duration_sec: seconds of audio.
        thresholds: confidence below which a target's answer is unknown, of the targets that the bundle has one for.
    """

    probabilities: dict[str, dict[str, float]]
    windows: tuple[WindowPrediction, ...]
    duration_sec: float
    thresholds: Mapping[str, float] = field(default_factory=dict, compare=False, kw_only=True)

    @property
    def labels(self) -> dict[str, str]:
        """The most probable label of each target."""
        return {target: max(scores, key=scores.__getitem__) for target, scores in self.probabilities.items()}

    @property
    def label(self) -> str:
        """The most probable label of the first target."""
        return next(iter(self.labels.values()))

    @property
    def unknown(self) -> dict[str, bool]:
        """Whether the model is too unsure of each target that has a threshold; ``labels`` are there all the same."""
        return {target: max(self.probabilities[target].values()) < least for target, least in self.thresholds.items()}

    @property
    def confidence(self) -> float:
        """The probability of ``label``."""
        return max(next(iter(self.probabilities.values())).values())


class Predictor:
    """A loaded classifier. Made by ``load``; safe to use from several threads."""

    def __init__(self, bundle: Bundle, session: Session) -> None:
        self.bundle = bundle
        self.session = session

    def __repr__(self) -> str:
        targets = ", ".join(f"{name}: {'|'.join(labels)}" for name, labels in self.manifest.targets.items())
        where = f"{self.session.variant} on {self.session.device}"
        return f"<Predictor {self.bundle.id} ({where}; window {self.window_sec:g} s; {targets})>"

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest."""
        return self.bundle.manifest

    @property
    def window_sec(self) -> float:
        """Seconds of one window."""
        return self.manifest.window.samples / decode.SAMPLE_RATE

    def predict(self, clip: Clip) -> Prediction:
        """Classify one clip.

        Args:
            clip: a path, a file's bytes, a mono waveform (samples,) at 16 kHz, or (waveform, samples per second).

        Raises:
            AudioError: the recording cannot be used.
            OSError: the file cannot be read.
        """
        windows = self.split(to_waveform(clip))
        return self.prediction(windows, self.session.run(windows.samples, windows.lengths))

    def split(self, waveform: FloatArray) -> Windows:
        """Cut a waveform (samples,) at 16 kHz into this model's windows."""
        return split(waveform, self.manifest.window_spec)

    def prediction(self, windows: Windows, probabilities: Probabilities) -> Prediction:
        """Pool what the model said of a clip's windows, target -> (windows, classes), into its prediction.

        Raises:
            ModelError: it said something that is not a number.
        """
        if not all(np.isfinite(values).all() for values in probabilities.values()):
            raise ModelError("the model's answer is not a number")
        targets = self.manifest.targets
        clip = {name: _named(labels, pool(probabilities[name])) for name, labels in targets.items()}
        parts = tuple(
            WindowPrediction(
                start / decode.SAMPLE_RATE,
                (start + length) / decode.SAMPLE_RATE,
                {name: _named(labels, probabilities[name][index]) for name, labels in targets.items()},
            )
            for index, (start, length) in enumerate(zip(windows.starts.tolist(), windows.lengths.tolist(), strict=True))
        )
        return Prediction(clip, parts, parts[-1].end, thresholds=self.manifest.thresholds)

    def predict_folder(self, *inputs: Path | str) -> Iterator[FileResult]:
        """Classify every recording below a folder, in the order of their names; one result a file, errors included.

        Args:
            inputs: folders, files, patterns, tables of segments or URLs, as ``emotions predict`` takes them.

        Raises:
            DataError: an input does not exist.
        """
        from emotions.folder.predict_files import find_files, predict_files

        return predict_files(self, find_files(inputs).files)


def load(
    bundle: Path | str,
    *,
    device: DeviceChoice = "auto",
    variant: str | None = None,
    threads: int | None = None,
    device_id: int = 0,
    embedding: bool = False,
) -> Predictor:
    """Open a bundle, check its files, load its model and replay the probe.

    Args:
        bundle: the bundle's folder.
        device: ``auto`` takes a usable GPU, else the CPU.
        variant: form of the model, ``fp32``, ``fp16`` or ``int8``; by default, or for ``auto``, the one that suits the
            device: fp16 on a GPU, int8 on a CPU where the bundle has it, else fp32.
        threads: CPU threads of one run; by default the cores of this process.
        device_id: which GPU.
        embedding: the results of a folder hold each window's embedding, too, where the bundle answers one.

    Raises:
        BundleError: the bundle is missing, altered or broken, or does not answer as it did at export.
        DeviceError: the device asked for cannot be used.

    Example:
        >>> import emotions
        >>> emotions.load("bundles/demo").predict("clip.wav").label  # doctest: +SKIP
        'joy'
    """
    opened = read_bundle(bundle)
    session = open_session(
        opened, device=device, variant=variant, threads=threads, device_id=device_id, embedding=embedding
    )
    return Predictor(opened, session)


def to_waveform(clip: Clip) -> FloatArray:
    """Any form of a clip to a waveform (samples,) at 16 kHz that is fit to be classified. Raises as ``decode``."""
    if isinstance(clip, (str, Path, bytes)):
        return decode.decode(clip)
    samples, rate = clip if isinstance(clip, tuple) else (clip, decode.SAMPLE_RATE)
    if not isinstance(samples, np.ndarray):
        raise AudioError(f"a clip is a path, bytes, an array or (array, rate), got {type(samples).__name__}")
    if samples.ndim != 1 or not np.issubdtype(samples.dtype, np.floating):
        raise AudioError(f"a waveform is a (samples,) array of floats, got {samples.shape} of {samples.dtype}")
    if rate < 1:
        raise AudioError(f"samples per second must be positive, got {rate}")
    waveform = np.ascontiguousarray(samples, np.float32)
    return decode.checked(decode.to_model_rate(waveform, rate))


def _named(labels: list[str], values: FloatArray) -> dict[str, float]:
    return dict(zip(labels, values.tolist(), strict=True))
