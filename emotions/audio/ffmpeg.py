"""What FFmpeg decodes: everything compressed, and streams of which libsndfile would read a part."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, cast

import av

from emotions.audio.ffmpeg_track import Decoding, default_track
from emotions.audio.packet_index import PacketIndex, packet_index
from emotions.audio.stream import Blocks, Reader, Section, Stream, check_shape, own_handle, place_of
from emotions.errors import IncompleteAudio, NotAudio, first_line

_RAW = frozenset({"aac", "mp3"})
"""Formats without a table of contents: FFmpeg would read its way to a place, so they are opened there."""
_LAST_PACKETS = 5

# FFmpeg's log is dropped: what matters of it reaches the caller as a flaw or NotAudio. Dropped before Python sees it:
# any level, PANIC too, calls back for each message, and an MP4 of an hour then opens in 43 ms instead of 12.
av.logging.set_level(None)


@dataclass(frozen=True)
class _Open:
    """A recording that is open at FFmpeg; closing ``resources`` closes it."""

    container: av.container.InputContainer
    rate: int
    channels: int
    resources: contextlib.ExitStack


class _LastSeeked(threading.local):
    """What this thread read a part of last stays open: of an MP4 of an hour, opening takes longer than a segment."""

    key: tuple[object, ...] | None = None
    opened: _Open | None = None

    def take(self, key: tuple[object, ...]) -> _Open | None:
        """The recording, if it is this one; another one is closed."""
        opened, found = self.opened, self.key == key
        self.key = self.opened = None
        if opened is not None and not found:
            opened.resources.close()
        return opened if found else None

    def put(self, key: tuple[object, ...], opened: _Open) -> None:
        """Leave a recording open until another one is taken."""
        self.key, self.opened = key, opened


_LAST = _LastSeeked()
_Made = Callable[..., Decoding]


def ffmpeg(demuxer: str, least_packets: int = 0, channel: int | None = None) -> Reader:
    """A reader of one of FFmpeg's formats; no other one is tried.

    Args:
        demuxer: the format's short name.
        least_packets: how many packets the file promises.
        channel: the one to read, from 1; None for the mean of all.
    """
    made = functools.partial(Decoding, channel=channel)

    @contextlib.contextmanager
    def reader(file: BinaryIO) -> Iterator[Stream]:
        place = place_of(file)
        # A process that was forked shares the file's position with its parent: it opens its own.
        key = (os.getpid(), place, demuxer)
        opened = _LAST.take(key) if place else None
        flaws: list[IncompleteAudio] = []
        try:
            if opened is None:
                opened, blocks = _opened(own_handle(file) if place else file, demuxer, made, least_packets, flaws)
            else:
                blocks = _from_the_start(file, demuxer, made, least_packets, flaws)
            with contextlib.ExitStack() as stack:
                stack.push(opened.resources)
                seeks = False

                def part(first: int, last: int | None) -> tuple[int, Blocks]:
                    nonlocal seeks
                    index = packet_index(file, demuxer)
                    if index is None or index.rate != opened.rate or not index.settling(first):
                        return 0, blocks
                    seeks = True
                    begin = int(index.starts[index.holding(first)])
                    # Of the end, only the beginning of the file says how many samples are padding.
                    if demuxer in _RAW and last is not None and last < index.starts[-_LAST_PACKETS]:
                        return begin, _opened_at(file, demuxer, made, index, first, flaws)
                    return begin, _sought(opened.container, made, index, first, flaws)

                yield Stream(opened.rate, opened.channels, blocks, flaws, part)
                if seeks and place:
                    stack.pop_all()
                    _LAST.put(key, opened)
        except MemoryError:  # of FFmpeg, too
            raise
        except av.FFmpegError as error:
            raise NotAudio(f"cannot be decoded ({error.strerror or first_line(error)})") from error

    return reader


def _opened(
    file: BinaryIO, demuxer: str, made: _Made, least_packets: int, flaws: list[IncompleteAudio]
) -> tuple[_Open, Blocks]:
    """A recording, and its blocks from the start."""
    file.seek(0)
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.closing(file) if place_of(file) else contextlib.nullcontext())
        container = stack.enter_context(av.open(file, "r", format=demuxer, metadata_errors="replace"))
        track = default_track(container)
        check_shape(track.codec_context.sample_rate, track.codec_context.channels)
        whole = made(container, track, least_packets, flaws)
        return _Open(container, whole.rate, whole.channels, stack.pop_all()), whole.blocks()


def _from_the_start(
    file: BinaryIO, demuxer: str, made: _Made, least_packets: int, flaws: list[IncompleteAudio]
) -> Blocks:
    """Blocks of all of a recording that is opened once more for them."""
    opened, blocks = _opened(own_handle(file), demuxer, made, least_packets, flaws)
    with opened.resources:
        yield from blocks


def _sought(
    container: av.container.InputContainer, made: _Made, index: PacketIndex, first: int, flaws: list[IncompleteAudio]
) -> Blocks:
    """Blocks from the packet with sample ``first`` on; packets before it let the decoder settle."""
    track, time = default_track(container), int(index.times[index.holding(first)])
    container.seek(int(index.times[index.settling(first)]), stream=track)
    return made(container, track, 0, flaws, lambda packet: packet.pts is not None and packet.pts < time).blocks()


def _opened_at(
    file: BinaryIO, demuxer: str, made: _Made, index: PacketIndex, first: int, flaws: list[IncompleteAudio]
) -> Blocks:
    """As ``_sought``, of a file that is opened as if it began there."""
    offset = int(index.offsets[index.settling(first)])
    begin = int(index.offsets[index.holding(first)]) - offset
    with own_handle(file) as handle:
        rest = cast(BinaryIO, Section(handle, offset, handle.seek(0, os.SEEK_END) - offset))
        with av.open(rest, "r", format=demuxer, metadata_errors="replace") as container:

            def settles(packet: av.Packet[av.AudioStream]) -> bool:
                return packet.pos is not None and packet.pos < begin

            yield from made(container, default_track(container), 0, flaws, settles).blocks()
