"""The channels of a recording: one of them, all as one, or each as a participant of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from typing import Literal

from emotions.audio.containers import AudioSource
from emotions.audio.decode import ReadOptions
from emotions.audio.decoders.read import open_waveform
from emotions.errors import AudioError, ConfigError
from emotions.folder.windows_of_file import content_of
from emotions.inputs.input_file import InputFile
from emotions.runtime.cores import available_cores

Channels = Literal["mix", "first", "split"] | int
"""What of a recording with several channels is classified: their mean, the first, each by itself, or one by number."""
MAX_CHANNELS = 64
"""Of a recording that is read."""
_LONGEST_NAME = 100


def channels_of(text: str) -> Channels:
    """Read how channels are treated: ``mix``, ``first``, ``split`` or a number from 1.

    Args:
        text: as on the command line.

    Raises:
        ConfigError: it is none of these.
    """
    words: dict[str, Channels] = {"mix": "mix", "first": "first", "split": "split"}
    if text in words:
        return words[text]
    if text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= MAX_CHANNELS:
        return int(text)
    raise ConfigError(f"channels: got {text[:50]!r}; mix, first, split, or a number from 1 to {MAX_CHANNELS}")


def one_channel(channels: Channels) -> int | None:
    """The number of the channel to read, from 1; None for the mean of all. ConfigError where each is asked for."""
    if channels == "split":
        raise ConfigError("channels: split makes several predictions of a recording, and here there is one")
    return None if channels == "mix" else 1 if channels == "first" else channels


def speakers_of(text: str) -> tuple[str, ...]:
    """Read names of channels, with commas between them. Raises as ``check_speakers``."""
    return check_speakers([name.strip() for name in text.split(",")]) if text else ()


def check_speakers(names: Sequence[str]) -> tuple[str, ...]:
    """Refuse names of channels that cannot be told apart or printed.

    Args:
        names: of channel 1, 2 and so on.

    Raises:
        ConfigError: one is empty, stands twice, is too long or not printable, or there are too many.
    """
    if len(names) > MAX_CHANNELS:
        raise ConfigError(f"speakers: a recording has at most {MAX_CHANNELS} channels, these are {len(names)} names")
    for name in names:
        if not name or not name.isprintable() or len(name) > _LONGEST_NAME:
            raise ConfigError(f"speakers: got {name[:50]!r}; a name has 1 to {_LONGEST_NAME} printable characters")
        if names.count(name) > 1:
            raise ConfigError(f"speakers: {name} stands twice; each channel has a name of its own")
    return tuple(names)


def speaker_name(channel: int, speakers: Sequence[str] = ()) -> str:
    """The name of a channel, from 1: the one that was given, else ``channel 1`` and so on."""
    return speakers[channel - 1] if channel <= len(speakers) else f"channel {channel}"


def by_channel(files: Sequence[InputFile], channels: Channels, speakers: Sequence[str] = ()) -> tuple[InputFile, ...]:
    """The files with the channels that are to be read; with ``split`` each channel is a file of its own.

    Args:
        files: recordings or segments of them.
        channels: what is read of each.
        speakers: names of channels 1, 2 and so on, for ``split``. A recording that has fewer channels has files for the
            others all the same, which say so when they are read; one that cannot be opened has one for each name.
    """
    if channels != "split":
        number = one_channel(channels)
        return tuple(files) if number is None else tuple(replace(file, channel=number) for file in files)
    with ThreadPoolExecutor(available_cores(), thread_name_prefix="channels") as pool:
        counts = pool.map(channel_count, files)
        return tuple(chain.from_iterable(_split(*pair, speakers) for pair in zip(files, counts, strict=True)))


def _split(file: InputFile, count: int, speakers: Sequence[str]) -> Iterator[InputFile]:
    for channel, speaker in participants(count, speakers):
        yield replace(file, channel=channel, speaker=speaker)


def participants(count: int, speakers: Sequence[str] = ()) -> list[tuple[int, str]]:
    """Number and name of each channel of a recording.

    Args:
        count: channels that it has.
        speakers: names of channels 1, 2 and so on; more than it has channels are participants all the same.
    """
    numbers = range(1, max(1, count, len(speakers)) + 1)
    return [(number, speaker_name(number, speakers)) for number in numbers]


def channel_count(file: InputFile) -> int:
    """How many channels a recording has, by what is read of its beginning; 0 where it cannot be opened."""
    try:
        return channels_in(content_of(file))
    except (AudioError, OSError):
        return 0


def channels_in(source: AudioSource) -> int:
    """How many channels a recording has. Raises AudioError or OSError where it cannot be opened.

    Args:
        source: path of a file, or the file's bytes.
    """
    with open_waveform(source, ReadOptions()) as stream:
        return stream.channels
