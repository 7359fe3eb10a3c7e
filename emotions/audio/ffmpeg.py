"""What FFmpeg decodes: MP4, Matroska, ADTS, Opus, and streams of which libsndfile would read a part."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import BinaryIO

import av

from emotions.audio.mpeg import mpeg_layer
from emotions.audio.stream import Blocks, Reader, Stream, check_shape, to_mono
from emotions.errors import NotAudio, first_line

_MAX_PLANES = 8

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
                yield Stream(context.sample_rate, context.channels, _blocks(container))
        except av.FFmpegError as error:
            raise NotAudio(f"cannot be decoded ({error.strerror or first_line(error)})") from error

    return reader


def _blocks(container: av.container.InputContainer) -> Blocks:
    context = container.streams.audio[0].codec_context
    rate, channels = context.sample_rate, context.channels
    # Packed, not planar: PyAV's arrays of planar frames of more than 8 channels read past the end of the planes.
    packed = av.AudioResampler(format="flt", layout=context.layout, rate=rate)

    def converted(frame: av.AudioFrame | None) -> Blocks:
        for part in packed.resample(frame):
            yield to_mono(part.to_ndarray().reshape(-1, channels).T)

    for frame in _frames(container):
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
