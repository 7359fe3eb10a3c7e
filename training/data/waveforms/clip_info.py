"""Properties of a decoded clip: measured, and as the JSON that the cache keeps."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from emotions.audio.decode import SAMPLE_RATE, Recording, checked
from emotions.errors import AudioError
from training.data.clips import Clip
from training.data.waveforms.speech_measure import SpeechMeasure, measure_speech

_CLIPPED_PEAK = 0.999  # samples of this magnitude or more count as clipped


@dataclass(frozen=True)
class ClipInfo:
    """Properties of a decoded clip.

    Attributes:
        sha256: hash of the decoded samples, the clip's key in the cache; empty where ``error`` is set.
        rate: sampling rate of the recording, in Hz; 0 where the recording cannot be decoded.
        channels: channels of the recording; 0 likewise.
        clipped: share of samples whose magnitude is 0.999 or more.
        warnings: what is missing in the clip, as ``Recording.warnings``.
        beyond_sec: seconds of the clip that lie after its recording's end.
        level_db: level of what is loud in the clip, in dB below full scale.
        active_sec, voiced_sec: seconds that are loud, and of these periodic as a voice is (``speech_measure``).
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
    warnings: Sequence[str] = ()
    beyond_sec: float = 0.0
    level_db: float = 0.0
    active_sec: float = 0.0
    voiced_sec: float = 0.0
    error: str | None = None
    error_code: str | None = None


def measured(clip: Clip, recording: Recording) -> ClipInfo:
    """Measure a clip, (samples,) float32 at 16 kHz."""
    waveform = recording.waveform
    wanted = 0 if clip.end is None else round(clip.end * SAMPLE_RATE) - round((clip.start or 0.0) * SAMPLE_RATE)
    fault: AudioError | None = None
    try:
        checked(waveform)
    except AudioError as error:
        fault = error
    speech = measure_speech(waveform) if fault is None else SpeechMeasure()
    peak = float(max(waveform.max(initial=0.0), -waveform.min(initial=0.0)))
    clipped = np.count_nonzero(waveform >= _CLIPPED_PEAK) + np.count_nonzero(waveform <= -_CLIPPED_PEAK)
    return ClipInfo(
        sha256="" if fault else hashlib.sha256(np.ascontiguousarray(waveform).data).hexdigest(),
        samples=len(waveform),
        duration_sec=len(waveform) / SAMPLE_RATE,
        rate=recording.rate,
        channels=recording.channels,
        peak=peak if math.isfinite(peak) else 0.0,
        warnings=recording.warnings if clip.end is None or len(waveform) < wanted else (),
        clipped=clipped / len(waveform) if len(waveform) else 0.0,
        beyond_sec=max(0, wanted - len(waveform)) / SAMPLE_RATE,
        **asdict(speech),
        error=str(fault) if fault else None,
        error_code=fault.code if fault else None,
    )


def to_json(key: str, facts: ClipInfo) -> str:
    """Properties as JSON, with a hash of them and of the key that they are kept by. Args as ``from_json``."""
    content = asdict(facts)
    return json.dumps({"facts": content, "sha256": _hash_of(key, content)})


def from_json(key: str, text: bytes) -> ClipInfo | None:
    """The properties in a file; None where they were altered, or are those of another key.

    Args:
        key: of the clip.
        text: the file's content.
    """
    try:
        found = json.loads(text)
        if found["sha256"] != _hash_of(key, found["facts"]):
            return None
        facts = ClipInfo(**found["facts"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return replace(facts, warnings=tuple(facts.warnings))


def _hash_of(key: str, content: object) -> str:
    return hashlib.sha256(json.dumps([key, content], sort_keys=True).encode()).hexdigest()
