"""What FFmpeg decodes: everything compressed, and streams of which libsndfile would read a part."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import BinaryIO, cast

import av

from emotions.audio.ffmpeg_track import Decoding, default_track
from emotions.audio.packet_index import PacketIndex, packet_index
from emotions.audio.stream import Blocks, Reader, Section, Stream, check_shape, own_handle
from emotions.errors import IncompleteAudio, NotAudio, first_line

_RAW = frozenset({"aac", "mp3"})
"""Formats without a table of contents: FFmpeg would read its way to a place, so they are opened there."""
_LAST_PACKETS = 5

# FFmpeg's log is dropped: what matters of it reaches the caller as a flaw or NotAudio. Dropped before Python sees it:
# any level, PANIC too, calls back for each message, and an MP4 of an hour then opens in 43 ms instead of 12.
av.logging.set_level(None)


def ffmpeg(demuxer: str, least_packets: int = 0) -> Reader:
    """A reader of one of FFmpeg's formats; no other one is tried.

    Args:
        demuxer: the format's short name.
        least_packets: how many packets the file promises.
    """

    @contextlib.contextmanager
    def reader(file: BinaryIO) -> Iterator[Stream]:
        file.seek(0)
        try:
            with av.open(file, "r", format=demuxer, metadata_errors="replace") as container:
                track = default_track(container)
                context = track.codec_context
                check_shape(context.sample_rate, context.channels)
                flaws: list[IncompleteAudio] = []
                whole = Decoding(container, track, least_packets, flaws)

                def part(first: int, last: int | None) -> tuple[int, Blocks]:
                    index = packet_index(file, demuxer)
                    if index is None or index.rate != whole.rate or not index.settling(first):
                        return 0, whole.blocks()
                    begin = int(index.starts[index.holding(first)])
                    # Of the end, only the beginning of the file says how many samples are padding.
                    if demuxer in _RAW and last is not None and last < index.starts[-_LAST_PACKETS]:
                        return begin, _opened_at(file, demuxer, index, first, flaws)
                    return begin, _sought(container, index, first, flaws)

                yield Stream(whole.rate, whole.channels, whole.blocks(), flaws, part)
        except av.FFmpegError as error:
            raise NotAudio(f"cannot be decoded ({error.strerror or first_line(error)})") from error

    return reader


def _sought(
    container: av.container.InputContainer, index: PacketIndex, first: int, flaws: list[IncompleteAudio]
) -> Blocks:
    """Blocks from the packet with sample ``first`` on; packets before it let the decoder settle."""
    track, time = default_track(container), int(index.times[index.holding(first)])
    container.seek(int(index.times[index.settling(first)]), stream=track)
    return Decoding(container, track, 0, flaws, lambda packet: packet.pts is not None and packet.pts < time).blocks()


def _opened_at(file: BinaryIO, demuxer: str, index: PacketIndex, first: int, flaws: list[IncompleteAudio]) -> Blocks:
    """As ``_sought``, of a file that is opened as if it began there."""
    offset = int(index.offsets[index.settling(first)])
    begin = int(index.offsets[index.holding(first)]) - offset
    with own_handle(file) as handle:
        rest = cast(BinaryIO, Section(handle, offset, handle.seek(0, os.SEEK_END) - offset))
        with av.open(rest, "r", format=demuxer, metadata_errors="replace") as container:

            def settles(packet: av.Packet[av.AudioStream]) -> bool:
                return packet.pos is not None and packet.pos < begin

            yield from Decoding(container, default_track(container), 0, flaws, settles).blocks()
