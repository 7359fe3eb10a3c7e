"""Every exception that the toolkit raises for a user's mistake or a broken artefact.

    EmotionsError                 anything below; the CLI prints it as one line and exits with 2
    ├── ConfigError               a pipeline file, an override, a command's arguments
    ├── DataError                 a dataset: its files, labels, speakers, splits
    ├── AudioError                one recording
    │   ├── NotAudio              not a container or codec that we read
    │   │   └── IncompleteAudio   a part is missing: an error where whole recordings are asked for, else a warning
    │   │       ├── Truncated     it ends before it should
    │   │       └── Damaged       a part of it cannot be decoded
    │   ├── BadAudio              audio, but with nothing to classify
    │   │   ├── TooShort
    │   │   ├── Silent
    │   │   ├── NoChannel         asked for a channel that it has not
    │   │   ├── NoSpeech          asked for the speech of it, and there is none
    │   │   ├── NoTurns           asked for a speaker's turns, and there are none
    │   │   └── NotFinite
    │   ├── TooLong               more seconds, or samples of all channels, than the caller allows
    │   └── Crashed               its decoder died: memory, processor time, or a crash
    ├── BundleError               a bundle: missing, altered, half-written, of another format
    ├── CheckpointError           a checkpoint or run folder that cannot be used
    ├── ExportError               the exported graph does not equal the model
    ├── DeviceError               the device asked for cannot be used
    │   └── DeviceLost            it failed for good while it computed: another process may use it again
    ├── ModelError                the model failed on a batch
    │   └── NotANumber            its answer holds NaN or infinity
    ├── Overloaded                a queue is full; try again later
    │   ├── TooManyRequests       as many requests as allowed are in flight
    │   └── OutOfMemory           the device lacks memory for a single window
    ├── NotReady                  the model is not loaded yet
    ├── ServiceError              a service refused a request, or does not answer (the client's)
    ├── OutputExists              the output is there already
    ├── DiskFull                  there is no room for what is written
    └── MissingExtra              a package of an extra that is not installed

Libraries raise; only the command line and the service turn an error into words, exit codes and statuses.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_LONGEST_LINE, _LONGEST_MESSAGE = 8_000, 20_000
"""Characters. A path has at most 4,096; a message names values that somebody else chose, of any length."""


class EmotionsError(Exception):
    """Base of all errors with a message meant for the user: what, where, how to mend.

    Args:
        message: a line, and indented ones below it. What else is not printable is escaped, and what is very long cut.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(_told(message))

    @property
    def code(self) -> str:
        """Stable snake_case name of the error, as tables and HTTP answers carry it."""
        name = type(self).__name__.removesuffix("Error") or "error"
        return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


@dataclass(frozen=True)
class Fault:
    """One thing wrong in a document: what stands at a JSON path, as ``pipeline[0].name``, and how to mend it."""

    where: str
    found: str
    remedy: str

    def __str__(self) -> str:
        found = f"{self.found}; " if self.found else ""
        return f"{self.where}: {found}{self.remedy}"


class ConfigError(EmotionsError):
    """A pipeline file, an override or a command's arguments are wrong; all ``faults`` are reported at once."""

    def __init__(self, message: str, faults: Sequence[Fault] = ()) -> None:
        self.faults = tuple(faults)
        lines = [message, *(f"  {fault}" for fault in self.faults)]
        super().__init__("\n".join(lines))


class DataError(EmotionsError):
    """A dataset cannot be used as it is."""


class AudioError(EmotionsError):
    """One recording cannot be used."""


class NotAudio(AudioError):
    """The bytes are not a container or codec that we read, or nothing of them can be decoded."""


class IncompleteAudio(NotAudio):
    """A part of the recording is missing: an error where whole ones are asked for, else the text of a warning."""

    @property
    def warning(self) -> str:
        """What is missing, in words, behind its name: ``truncated: is cut off: ...``."""
        return f"{self.code}: {self}"


class Truncated(IncompleteAudio):
    """The recording ends before it should."""


class Damaged(IncompleteAudio):
    """A part of the recording cannot be decoded."""


class BadAudio(AudioError):
    """Audio that decodes but holds nothing to classify."""


class TooShort(BadAudio):
    """Fewer than 400 samples at 16 kHz."""


class Silent(BadAudio):
    """Peak below 1e-4."""


class NoChannel(BadAudio):
    """It has fewer channels than the number of the one that is asked for."""


class NoSpeech(BadAudio):
    """Only its speech was to be classified, and there is none."""


class NoTurns(BadAudio):
    """Only what a speaker says was to be classified, and nobody said where that is, or it lies behind its end."""


class NotFinite(BadAudio):
    """A sample is NaN or infinite."""


class TooLong(AudioError):
    """The recording decodes to more seconds, or more samples of all channels together, than the caller allows."""


class Crashed(AudioError):
    """The process that decoded the recording died, or was ended at a limit: memory, processor time."""


class BundleError(EmotionsError):
    """A bundle is missing, altered, half-written or of an unknown format."""


class CheckpointError(EmotionsError):
    """A checkpoint or run folder cannot be used."""


class ExportError(EmotionsError):
    """The exported graph does not equal the model, or cannot be made."""


class DeviceError(EmotionsError):
    """The device asked for cannot be used."""


class DeviceLost(DeviceError):
    """The device failed for good while it computed: this process cannot use it any more, a new one perhaps can."""


class ModelError(EmotionsError):
    """The model failed on a batch, or its answer is not a number."""


class NotANumber(ModelError):
    """The model's answer holds NaN or infinity."""


class Overloaded(EmotionsError):
    """A queue is full: nothing was computed, and the same call may be made again later."""


class TooManyRequests(Overloaded):
    """As many requests as allowed are in flight."""


class OutOfMemory(Overloaded):
    """The device has too little free memory for a single window; it may have more later."""


class NotReady(EmotionsError):
    """The model is not loaded yet."""


class ServiceError(EmotionsError):
    """A service refused a request, or does not answer.

    Args:
        message: the service's message.
        status: HTTP status; 0 where there was no answer.
        code: the error's name, as the service has it.
        request_id: the request's id in the service's log.
    """

    def __init__(self, message: str, *, status: int, code: str, request_id: str = "") -> None:
        super().__init__(message)
        self.status = status
        self._code = code
        self.request_id = request_id

    @property
    def code(self) -> str:
        """The name that the service gave."""
        return self._code


class OutputExists(EmotionsError):
    """The output is there already."""


class DiskFull(EmotionsError):
    """There is no room for what is written; what was complete before is as it was."""


class MissingExtra(EmotionsError):
    """A package is missing that comes with an optional extra, such as ``train``."""

    def __init__(self, extra: str, package: str) -> None:
        super().__init__(
            f"{package} is not installed: it comes with the extra '{extra}' (pip install 'emotions-toolkit[{extra}]')"
        )


def _told(message: str) -> str:
    """A message that can be shown: its lines are those that are indented, and none is longer than somebody reads."""
    if len(message) <= _LONGEST_LINE and message.isprintable():
        return message
    lines, told, length = re.split(r"\n(?=  )", message), list[str](), 0
    for number, line in enumerate(lines):
        line = _cut(plain(line))  # noqa: PLW2901
        length += len(line)
        if number and length > _LONGEST_MESSAGE:
            return "\n".join([*told, f"  ... and {len(lines) - number} more"])
        told.append(line)
    return "\n".join(told)


def _cut(line: str) -> str:
    """A line, without its middle where it is very long."""
    if len(line) <= _LONGEST_LINE:
        return line
    half = _LONGEST_LINE // 2
    return f"{line[:half]} ... ({len(line) - 2 * half} characters more) ... {line[-half:]}"


def first_line(error: BaseException) -> str:
    """The first line of an exception's text, without a full stop; the name of its class where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def first_part(error: BaseException) -> str:
    """The first line of an exception's text up to its remedy, which follows a semicolon."""
    return first_line(error).partition("; ")[0]


def plain(text: str) -> str:
    """A text with its control characters escaped, since names and labels from elsewhere must not steer a terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
