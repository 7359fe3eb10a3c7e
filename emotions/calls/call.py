"""A call: its participants' speech, and what all of it comes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from emotions.audio.speech.level import level_dbfs
from emotions.audio.speech.segmenter import SegmentOptions
from emotions.calls.averages import Average, Named, average, quarters, units
from emotions.calls.conversation import interruptions, overlap, overlap_of, silence
from emotions.calls.spans import Span, shortened, total
from emotions.runtime.prediction import Prediction

PAD_SEC = SegmentOptions().pad_sec
"""Seconds that are added at both ends to speech that is found."""
_DIGITS = 6


@dataclass(frozen=True)
class Participant:
    """Somebody in a call.

    Attributes:
        speaker: the name; empty where the recording is not divided.
        channel: number of the channel, from 1; None where it is not that which tells them apart.
        prediction: of the speech alone; None where there is none.
        error: why there is none.
    """

    speaker: str
    channel: int | None
    prediction: Prediction | None
    error: str | None = None

    @property
    def spans(self) -> list[Span]:
        """Where this participant speaks."""
        return [(each.start, each.end) for each in self.prediction.segments] if self.prediction else []


@dataclass(frozen=True)
class ParticipantSummary:
    """What one participant did.

    Attributes:
        speaker: the name; None where the recording is not divided. ``channel``: its number.
        talk_sec: seconds of speech, and its share of the speech of all, ``talk_share``, in ``segments``.
        overlap_sec: seconds of it in which somebody else spoke, too.
        interruptions: how often this participant interrupted another, and was ``interrupted``.
        level_dbfs: mean power of the speech in dB below full scale; None without any.
        shares: target -> label -> share of the speech of which it is the most probable label; empty without speech.
        probabilities: target -> label -> mean probability, weighted by speech; ``values`` of dimensions likewise.
        quarters: the same in each quarter of the call.
        error: why there is no speech.
    """

    speaker: str | None
    channel: int | None
    talk_sec: float
    talk_share: float
    segments: int
    overlap_sec: float
    interruptions: int
    interrupted: int
    level_dbfs: float | None
    shares: Named
    probabilities: Named
    values: Named
    quarters: tuple[Average, ...]
    error: str | None


@dataclass(frozen=True)
class CallSummary:
    """What a call comes to.

    Attributes:
        duration_sec: of the recording.
        talk_sec: seconds in which somebody speaks; in those of ``silence_sec`` nobody does.
        overlap_sec: seconds in which two or more speak at once.
        interruptions: of all participants.
        participants: in the order of their channels or names.
    """

    duration_sec: float
    talk_sec: float
    silence_sec: float
    overlap_sec: float
    interruptions: int
    participants: tuple[ParticipantSummary, ...]

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON, figures to six digits behind the point."""
        rounded: dict[str, Any] = _rounded(asdict(self))
        return rounded


def call_summary(participants: Sequence[Participant], pad_sec: float = PAD_SEC) -> CallSummary:
    """Sum a call up.

    Args:
        participants: all of one recording.
        pad_sec: seconds by which segments are longer at both ends than the speech that was found. Without them it is
            seen who speaks over whom: else two who follow each other closely would overlap.
    """
    predictions = [each.prediction for each in participants if each.prediction is not None]
    duration = max((each.duration_sec for each in predictions), default=0.0)
    speech = [each.spans for each in participants]
    found = [shortened(spans, pad_sec) for spans in speech]
    taken = interruptions(found)
    talk = sum(map(total, speech))

    def summary(number: int, each: Participant) -> ParticipantSummary:
        parts = units(each.prediction) if each.prediction else []
        whole = average(parts, 0.0, duration)
        seconds = total(speech[number])
        return ParticipantSummary(
            speaker=each.speaker or None,
            channel=each.channel,
            talk_sec=seconds,
            talk_share=seconds / talk if talk else 0.0,
            segments=len(speech[number]),
            overlap_sec=overlap_of(found, number),
            interruptions=sum(one.by == number for one in taken),
            interrupted=sum(one.of == number for one in taken),
            level_dbfs=_level(each.prediction),
            shares=whole.shares,
            probabilities=whole.probabilities,
            values=whole.values,
            quarters=quarters(parts, duration),
            error=each.error,
        )

    silent = silence(speech, duration)
    return CallSummary(
        duration_sec=duration,
        talk_sec=duration - silent,
        silence_sec=silent,
        overlap_sec=overlap(found),
        interruptions=len(taken),
        participants=tuple(summary(number, each) for number, each in enumerate(participants)),
    )


def _level(prediction: Prediction | None) -> float | None:
    """The mean power of all segments together, each by its length."""
    segments = prediction.segments if prediction else ()
    energies = [
        (each.end - each.start) * 10 ** (each.level_dbfs / 10) for each in segments if each.level_dbfs is not None
    ]
    return level_dbfs(sum(energies) / total((each.start, each.end) for each in segments)) if energies else None


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return round(value, _DIGITS) if isinstance(value, float) else value
