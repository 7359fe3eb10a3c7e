"""ClipInfo: what is known of a clip once it was decoded."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np

from emotions.audio.decode import SAMPLE_RATE, Recording, checked
from emotions.audio.windows import FloatArray
from emotions.errors import AudioError, TooShort
from training.data.clips import Clip

CLIPPED_PEAK = 0.999
"""Samples of this magnitude or more count as clipped."""


@dataclass(frozen=True)
class ClipInfo:
    """What is known of a clip once it was decoded.

    Attributes:
        sha256: hash of the decoded samples, the clip's key in the cache; empty where ``error`` is set.
        samples: samples at 16 kHz.
        duration_sec: the same in seconds.
        rate: samples per second as recorded; 0 where the recording cannot be decoded.
        channels: channels as recorded; 0 likewise.
        peak: largest magnitude.
        clipped: share of samples whose magnitude is ``CLIPPED_PEAK`` or more.
        error: why the clip cannot be used, or None.
        error_code: stable name of the error, such as ``too_short``, or None.
    """

    sha256: str = ""
    samples: int = 0
    duration_sec: float = 0.0
    rate: int = 0
    channels: int = 0
    peak: float = 0.0
    clipped: float = 0.0
    error: str | None = None
    error_code: str | None = None


def measure(clip: Clip, recording: Recording) -> tuple[FloatArray, ClipInfo]:
    """Cut a clip out of its recording, (samples,) float32 at 16 kHz, and say what there is in it."""
    first = round((clip.start or 0.0) * SAMPLE_RATE)
    last = None if clip.end is None else round(clip.end * SAMPLE_RATE)
    waveform = recording.waveform[first:last]
    try:
        if not len(waveform) and first:
            raise TooShort(f"starts at {clip.start:g} s, where the recording has ended")
        checked(waveform)
    except AudioError as error:
        return waveform, _measure(waveform, recording, error)
    return waveform, _measure(waveform, recording, None)


def _measure(waveform: FloatArray, recording: Recording, error: AudioError | None) -> ClipInfo:
    magnitude = np.abs(waveform)
    peak = float(magnitude.max(initial=0.0))
    return ClipInfo(
        sha256="" if error else hashlib.sha256(waveform.tobytes()).hexdigest(),
        samples=len(waveform),
        duration_sec=len(waveform) / SAMPLE_RATE,
        rate=recording.rate,
        channels=recording.channels,
        peak=peak if math.isfinite(peak) else 0.0,
        clipped=float((magnitude >= CLIPPED_PEAK).mean()) if len(waveform) else 0.0,
        error=str(error) if error else None,
        error_code=error.code if error else None,
    )
