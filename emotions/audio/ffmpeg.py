"""What FFmpeg decodes: MP4, Matroska, ADTS, Opus, and streams of which libsndfile would read a part."""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Iterator
from typing import BinaryIO

import av
import numpy as np

from emotions.audio.mpeg import mpeg_layer
from emotions.audio.packet_index import PacketIndex, own_handle, packet_index
from emotions.audio.stream import Blocks, Reader, Stream, check_shape, to_mono
from emotions.errors import NotAudio, first_line

_MAX_PLANES = 8
_Numbered = tuple[int, "av.Packet[av.AudioStream]"]
_RAW = frozenset({"aac", "mp3"})
"""Formats without a table of contents."""

# FFmpeg prints what it finds wrong in damaged input; what matters of it reaches the caller as NotAudio.
av.logging.set_level(av.logging.PANIC)


def ffmpeg(container_format: str) -> Reader:
    """A reader of one of FFmpeg's formats, by its short name; no other one is tried."""

    @contextlib.contextmanager
    def reader(file: BinaryIO) -> Iterator[Stream]:
        try:
            with av.open(file, "r", format=container_format, metadata_errors="replace") as container:
                if not container.streams.audio:
                    raise NotAudio("holds no audio track")
                context = container.streams.audio[0].codec_context
                if context is None:
                    raise NotAudio("holds a codec that we do not read")
                check_shape(context.sample_rate, context.channels)
                yield Stream(
                    context.sample_rate, context.channels, _blocks(container), functools.partial(_part, file, container)
                )
        except av.FFmpegError as error:
            raise NotAudio(f"cannot be decoded ({error.strerror or first_line(error)})") from error

    return reader


def _part(file: BinaryIO, container: av.container.InputContainer, first: int, _: int | None) -> tuple[int, Blocks]:
    """As ``Stream.part``; from the start where the place of a packet is not certain."""
    context = container.streams.audio[0].codec_context
    name = container.format.name.split(",")[0]
    index = packet_index(file, name, 0)
    settling = 0 if index is None else index.settling(first, context.sample_rate)
    if index is None or not settling:
        return 0, _blocks(container)
    begin = index.holding(first)
    packets = (
        _packets_of_rest(file, name, index, settling) if name in _RAW else _packets_from(container, index, settling)
    )
    return int(index.starts[begin]), _mono(_settled(packets, begin), context)


def _settled(packets: Iterator[_Numbered], begin: int) -> Iterator[av.AudioFrame]:
    """The frames from packet ``begin`` on; those before it only let the decoder settle."""
    for number, packet in packets:
        if number >= begin:
            yield from packet.decode()
        else:
            with contextlib.suppress(av.error.InvalidDataError):  # its bits may lie in frames before the first
                packet.decode()


def _packets_from(container: av.container.InputContainer, index: PacketIndex, settling: int) -> Iterator[_Numbered]:
    """Packets from ``settling`` or a little before, with their numbers."""
    track = container.streams.audio[0]
    container.seek(int(index.times[settling]), stream=track)
    number = len(index.times)
    for packet in container.demux(track):
        number = number + 1 if packet.pts is None else int(np.searchsorted(index.times, packet.pts))
        yield number, packet


def _packets_of_rest(file: BinaryIO, name: str, index: PacketIndex, settling: int) -> Iterator[_Numbered]:
    """As ``_packets_from``, of a format in which FFmpeg would read its way there from the start."""
    offset = int(index.offsets[settling])
    with own_handle(file) as whole, av.open(_Rest(whole, offset), "r", format=name) as container:
        for packet in container.demux(audio=0):
            at = index.offsets[-1] + 1 if packet.pos is None else packet.pos + offset
            yield int(np.searchsorted(index.offsets, at)), packet


def _blocks(container: av.container.InputContainer) -> Blocks:
    return _mono(_frames(container), container.streams.audio[0].codec_context)


def _mono(frames: Iterator[av.AudioFrame], context: av.AudioCodecContext) -> Blocks:
    rate, channels = context.sample_rate, context.channels
    # Packed, not planar: PyAV's arrays of planar frames of more than 8 channels read past the end of the planes.
    packed = av.AudioResampler(format="flt", layout=context.layout, rate=rate)

    def converted(frame: av.AudioFrame | None) -> Blocks:
        for part in packed.resample(frame):
            yield to_mono(part.to_ndarray().reshape(-1, channels).T)

    for frame in frames:
        shape = (frame.format.name, frame.sample_rate, frame.layout.nb_channels)
        if shape == ("fltp", rate, channels) and channels <= _MAX_PLANES:
            yield to_mono(frame.to_ndarray())  # what most codecs give: three times as fast as by way of the resampler
        else:
            yield from converted(frame)
    yield from converted(None)


def _frames(container: av.container.InputContainer) -> Iterator[av.AudioFrame]:
    for packet in container.demux(audio=0):
        try:
            yield from packet.decode()
        except av.error.InvalidDataError:
            # Between joined MP3 files lie tags, which FFmpeg hands over as packets of their own.
            if container.format.name != "mp3" or mpeg_layer(bytes(packet)) is not None:
                raise


class _Rest(io.RawIOBase):
    """The bytes of a file from an offset on, as a file."""

    def __init__(self, file: BinaryIO, offset: int) -> None:
        self._file, self._offset = file, offset
        file.seek(offset)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset + (self._offset if whence == io.SEEK_SET else 0), whence) - self._offset

    def tell(self) -> int:
        return self._file.tell() - self._offset
