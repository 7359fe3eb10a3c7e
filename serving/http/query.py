"""What the query of a request to ``/v1/predict`` asks for."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from emotions.audio.speech.network import speech_network
from emotions.audio.speech.windows import Segments
from emotions.calls.channels import Channels, channels_of, one_channel, speakers_of
from emotions.errors import ConfigError
from serving.http.errors import RequestError

_TRUE = frozenset({"1", "true", "yes"})


@dataclass(frozen=True)
class Query:
    """What is asked for.

    Attributes:
        windows: what the model says of each window.
        segments: what of a recording is classified.
        channel: the one that is classified, from 1; None for the mean of all.
        splits: whether each channel is classified by itself instead.
        speakers: names of the channels, where each is a participant.
        calls: what the call comes to.
    """

    windows: bool = False
    segments: Segments = "windows"
    channel: int | None = None
    splits: bool = False
    speakers: tuple[str, ...] = ()
    calls: bool = False


def read_query(request: Request) -> Query:
    """Read the query of a request; others' keys are passed over.

    Raises:
        RequestError: a value is none of ours, or speech cannot be found here.
    """
    given = request.query_params
    if not given:
        return Query()
    calls = _is_set(request, "calls")
    try:
        channels = channels_of(given.get("channels", "mix"))
    except ConfigError as error:
        raise RequestError(400, "bad_request", str(error)) from error
    speakers = _speakers(given.get("speakers", ""), channels)
    splits = channels == "split"
    channel = None if splits else one_channel(channels)
    return Query(_is_set(request, "windows"), _segments(request, calls=calls), channel, splits, speakers, calls)


def _speakers(written: str, channels: Channels) -> tuple[str, ...]:
    """Names of the channels of a call; not 400, as no schema can say which of them fit."""
    try:
        speakers = speakers_of(written)
    except ConfigError as error:
        raise RequestError(422, "bad_speakers", str(error)) from error
    if speakers and channels != "split":
        raise RequestError(422, "bad_speakers", "speakers: they name the channels of channels=split")
    return speakers


def _is_set(request: Request, name: str) -> bool:
    return request.query_params.get(name, "").lower() in _TRUE


def _segments(request: Request, *, calls: bool) -> Segments:
    """What of a recording is to be classified: of calls their speech."""
    asked = request.query_params.get("segments", "windows")
    if asked not in ("windows", "speech"):
        raise RequestError(400, "bad_request", "segments is windows or speech")
    if asked == "windows" and not calls:
        return "windows"
    try:
        speech_network()
    except ConfigError as error:
        raise RequestError(501, "not_installed", str(error)) from error
    return "speech"
