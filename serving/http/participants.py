"""The participants of one upload: the recording as it is, or each of its channels."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import IO

from emotions.calls.call import Participant, call_summary
from emotions.calls.channels import participants
from emotions.errors import BadAudio
from serving.http.errors import Body, RequestError, to_request_error
from serving.http.query import Query
from serving.worker.engine import Engine, TimedPrediction

MAX_PARTICIPANTS = 8
"""Most channels of a recording that is split: each is decoded by itself."""


@dataclass(frozen=True)
class Part:
    """A participant, and the prediction of what is said, or why there is none."""

    speaker: str
    channel: int | None
    outcome: TimedPrediction | RequestError


@dataclass(frozen=True)
class Answer:
    """All participants of one recording, at least one of them with a prediction.

    Attributes:
        parts: a single one without a name, or one for each channel.
        query: what was asked for.
    """

    parts: tuple[Part, ...]
    query: Query

    @cached_property
    def classified(self) -> list[TimedPrediction]:
        """The predictions that there are."""
        return [each.outcome for each in self.parts if isinstance(each.outcome, TimedPrediction)]

    @cached_property
    def stages(self) -> dict[str, float]:
        """Seconds of decoding, waiting and inference, of all parts together."""
        names = {"decode": "decode_sec", "queue": "queue_sec", "inference": "inference_sec"}
        return {stage: sum(getattr(each, name) for each in self.classified) for stage, name in names.items()}

    def duration_sec(self) -> float:
        """Seconds of the recording."""
        return max(each.prediction.duration_sec for each in self.classified)

    def call(self) -> Body:
        """What the call comes to."""
        return call_summary([_participant(each) for each in self.parts]).to_dict()


def _participant(part: Part) -> Participant:
    if isinstance(part.outcome, RequestError):
        return Participant(part.speaker, part.channel, None, f"{part.outcome.code}: {part.outcome}")
    return Participant(part.speaker, part.channel, part.outcome.prediction)


async def classify_upload(
    file: IO[bytes], engine: Engine, deadline: float | None, query: Query, request_id: str
) -> Answer:
    """Classify an upload as the query says.

    Args:
        file: the recording.
        engine: what classifies it.
        deadline: the event loop's time after which the answer is of no use.
        query: what is asked for.
        request_id: id of the request.

    Raises:
        AudioError, Overloaded, TimeoutError: as ``Engine.classify``; of channels where none can be used.
        RequestError: it has too many channels.
    """
    if not query.splits:
        only = await engine.classify(file, deadline, query.segments, query.channel)
        return Answer((Part("", None, only),), query)
    parts: list[Part] = []
    for channel, speaker in await _people(file, engine, deadline, query.speakers):
        # One after the other: they share the upload's file, and no request takes more than its turn.
        try:
            outcome: TimedPrediction | BadAudio = await engine.classify(file, deadline, query.segments, channel)
        except BadAudio as error:
            outcome = error
        parts.append(Part(speaker, channel, _told(outcome, request_id)))
    if not any(isinstance(each.outcome, TimedPrediction) for each in parts):
        raise next(each.outcome for each in parts if isinstance(each.outcome, RequestError))
    return Answer(tuple(parts), query)


def _told(outcome: TimedPrediction | BadAudio, request_id: str) -> TimedPrediction | RequestError:
    return to_request_error(outcome, request_id) if isinstance(outcome, BadAudio) else outcome


async def _people(
    file: IO[bytes], engine: Engine, deadline: float | None, speakers: Sequence[str]
) -> list[tuple[int, str]]:
    """Number and name of each channel."""
    left = engine.settings.timeout_sec if deadline is None else deadline - asyncio.get_running_loop().time()
    people = participants(await engine.channels(file, left), speakers)
    if len(people) > MAX_PARTICIPANTS:
        message = f"channels=split takes recordings of at most {MAX_PARTICIPANTS} channels, this one has {len(people)}"
        raise RequestError(413, "too_many_channels", message)
    return people
