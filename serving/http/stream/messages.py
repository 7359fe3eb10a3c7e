"""The messages of a stream: what a client sends, checked strictly, and the bodies of what it gets."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from emotions.audio.decode import SAMPLE_RATE
from emotions.errors import ConfigError
from emotions.files.json_text import parse_json
from serving.http.errors import Body

Encoding = Literal["pcm_s16le", "pcm_f32le"]
MAX_CHANNELS = 8
_MAX_TEXT = 64 << 10
"""Characters of a message in JSON."""
_Targets = Annotated[list[Annotated[str, Field(max_length=256)]], Field(min_length=1, max_length=64)]


class StreamError(Exception):
    """What ends a stream, or, where it is an invalid frame, only drops the frame.

    Args:
        code: its code in the message ``error``.
        message: what was wrong, for the client.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def body(self) -> Body:
        """The message ``error``."""
        return {"type": "error", "code": self.code, "message": str(self)}


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class StreamConfig(_Message):
    """How the audio of a stream is written, and what is to be said of it.

    Attributes:
        rate: samples per second of each channel.
        encoding: of a sample; the channels are interleaved.
        channels: each is a stream of speech of its own.
        interval_ms: milliseconds of audio between two measurements.
        vad: find speech, and classify it alone; else all of the audio.
        targets: of the model that are wanted; None for all.
    """

    rate: Annotated[int, Field(ge=1000, le=192_000)] = SAMPLE_RATE
    encoding: Encoding = "pcm_s16le"
    channels: Annotated[int, Field(ge=1, le=MAX_CHANNELS)] = 1
    interval_ms: Annotated[int, Field(ge=100, le=60_000)] = 1000
    vad: bool = True
    targets: _Targets | None = None

    @property
    def sample_bytes(self) -> int:
        """Bytes of a sample of one channel."""
        return 2 if self.encoding == "pcm_s16le" else 4

    @property
    def second_bytes(self) -> int:
        """Bytes of a second of all channels."""
        return self.rate * self.channels * self.sample_bytes

    def check_targets(self, known: Collection[str]) -> None:
        """Refuse targets that the model does not have as StreamError."""
        if unknown := [name for name in self.targets or () if name not in known]:
            raise StreamError("config_invalid", f"no target {unknown[0]!r}; there are: {', '.join(known)}")


class Update(_Message):
    """The first message of a client. ``key`` is an API key, where none came with the request."""

    type: Literal["session.update"]
    session: StreamConfig
    key: Annotated[str, Field(max_length=256, repr=False)] = ""


class Command(_Message):
    """A message without content."""

    type: Literal["flush", "keep_alive", "session.close"]


_READER: TypeAdapter[Update | Command] = TypeAdapter(Annotated[Update | Command, Field(discriminator="type")])


def read_message(text: str) -> Update | Command:
    """Read a message in JSON.

    Raises:
        StreamError: ``config_invalid``, it is no JSON or no message of a client.
    """
    if len(text) > _MAX_TEXT:
        raise StreamError("config_invalid", f"a message in JSON has at most {_MAX_TEXT} characters")
    try:
        return _READER.validate_python(parse_json(text, "message"))
    except ConfigError as error:
        raise StreamError("config_invalid", str(error)) from error
    except ValidationError as error:
        raise StreamError("config_invalid", _fault(error)) from error


def _fault(error: ValidationError) -> str:
    """The first fault, without what was sent: that may be an API key."""
    fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(map(str, fault["loc"]))
    return f"{place}: {fault['msg']}" if place else str(fault["msg"])


def config_body(config: StreamConfig) -> dict[str, Any]:
    """The message ``session.updated``."""
    return {"type": "session.updated", "session": config.model_dump(exclude_none=True)}
