"""One track that FFmpeg decodes: which of several, its packets and what is missing of them, as mono blocks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain

import av
import numpy as np
from av.stream import Disposition

from emotions.audio.mpeg import frame_bytes, mpeg_layer
from emotions.audio.stream import Blocks, to_mono
from emotions.audio.windows import FloatArray
from emotions.errors import Damaged, IncompleteAudio, NotAudio, Truncated

_Shape = tuple[str, int, int]

_MAX_PLANES = 7
_GATHERED = 1 << 15  # samples: what one array costs weighs little, and it stays in the cache
# FFmpeg's decoders of AMR refuse the comfort noise between words: the frame type of it, and the samples that it lasts.
_COMFORT_NOISE = {"amrnb": (8, 160), "amrwb": (9, 320)}
_SPEEX_HEAD = b"Speex   "
_SCALES = {"u8": 2.0**-7, "s16": 2.0**-15, "s32": 2.0**-31, "flt": 1.0, "dbl": 1.0}
# Between joined MP3 files lie tags, which FFmpeg hands over as packets of their own.
_TAGS_BETWEEN = ("mp3", "aac")


def default_track(container: av.container.InputContainer) -> av.AudioStream:
    """The track that a player plays: the default one; of several, as FFmpeg, the first with the most channels."""
    if not container.streams.audio:
        raise NotAudio("holds no audio track")
    tracks = [track for track in container.streams.audio if track.codec_context is not None]
    if not tracks:
        raise NotAudio("holds a codec that we do not read")
    return max(tracks, key=lambda track: (bool(track.disposition & Disposition.default), track.channels))


@dataclass
class Decoding:
    """One track being decoded, and how many of its packets were.

    Attributes:
        container: open, at the place to decode from.
        track: of it.
        least_packets: how many packets the file promises.
        flaws: where to note what is missing.
        settles: whether a packet only lets the decoder settle, after a seek; its samples are dropped.
        delay_left: samples at the beginning that are no audio, and still to be dropped.
    """

    container: av.container.InputContainer
    track: av.AudioStream
    least_packets: int
    flaws: list[IncompleteAudio]
    settles: Callable[[av.Packet[av.AudioStream]], bool] | None = None
    channel: int | None = None
    packets: int = 0
    lost: int = 0
    lost_at_end: int = 0
    delay_left: int = 0
    rate: int = field(init=False)
    channels: int = field(init=False)
    frames: Iterator[av.AudioFrame] = field(init=False)

    def __post_init__(self) -> None:
        context = self.track.codec_context
        self.rate, self.channels = context.sample_rate, context.channels
        # Those of the first frame count: the context has those of the last one that FFmpeg looked at.
        decoded = self._decoded()
        for first in decoded:
            self.rate, self.channels = first.sample_rate, first.layout.nb_channels
            self.frames = chain((first,), decoded)
            return
        self.frames = iter(())

    def blocks(self) -> Blocks:
        """Mono samples of all packets that can be decoded; raises NotAudio where most cannot."""
        for frame in self._fitting():
            block = _mono(frame, self.channel)
            skipped = min(self.delay_left, len(block))
            self.delay_left -= skipped
            yield block[skipped:]
        self._conclude()

    def _conclude(self) -> None:
        """Note what is missing, now that all is read."""
        if self.lost > self.packets - self.lost:
            raise NotAudio(f"cannot be decoded ({self.lost} of its {self.packets} packets are damaged)")
        if self.lost > self.lost_at_end:
            self.flaws.append(Damaged(f"{self.lost} of its {self.packets} packets cannot be decoded"))
        elif self.lost:
            self.flaws.append(Truncated("is cut off: its last packet is not whole"))
        elif (missing := self.least_packets - self.packets) > 0 and not self.flaws:
            self.flaws.append(Truncated(f"is cut off: {missing} of the {self.least_packets} frames are missing"))

    def _fitting(self) -> Iterator[av.AudioFrame]:
        """Long frames; those that change the rate in mid-stream at that of the beginning."""
        resampler: av.AudioResampler | None = None
        shape: _Shape | None = None
        for frame in self._gathered():
            fits = frame.sample_rate == self.rate and not _is_unfit(frame)
            if shape != (shape := None if fits else _shape(frame)):
                yield from resampler.resample(None) if resampler else ()
                resampler = None if fits else av.AudioResampler(format="flt", layout=frame.layout, rate=self.rate)
            frame.pts = None
            yield from resampler.resample(frame) if resampler else (frame,)
        yield from resampler.resample(None) if resampler else ()

    def _gathered(self) -> Iterator[av.AudioFrame]:
        """The frames joined to longer ones, each of one shape: an array a packet would take most of the time."""
        joined, shape = av.AudioFifo(), None
        for frame in self.frames:
            if shape != (shape := _shape(frame)):
                yield from _all_of(joined)
                joined = av.AudioFifo()
            frame.pts = None
            joined.write(frame)
            if joined.samples >= _GATHERED:
                yield from _all_of(joined)
        yield from _all_of(joined)

    def _decoded(self) -> Iterator[av.AudioFrame]:
        """Frames of all packets that can be decoded; counts the others."""
        decoder = self.track.codec_context
        delay = None if self.settles else self._opus_delay()
        for packet in self._demuxed():
            if self.settles and self.settles(packet):
                with contextlib.suppress(av.FFmpegError):  # its bits may lie in packets before the first
                    decoder.decode(packet)
                continue
            try:
                frames = decoder.decode(packet)
            except MemoryError:  # of FFmpeg, too
                raise
            except av.FFmpegError:
                frames = self._pause(packet)
                if not frames:
                    self._lose(packet)
                    continue
            if packet.size:
                self.packets, self.lost_at_end = self.packets + 1, 0
            if delay is not None:
                delay -= self._samples(packet)
                if frames:  # without what the container calls the delay, which may be less than the codec's
                    self.delay_left, delay = max(0, delay + frames[0].samples), None
            yield from frames

    def _demuxed(self) -> Iterator[av.Packet[av.AudioStream]]:
        last: av.Packet[av.AudioStream] | None = None
        try:
            for packet in self.container.demux(self.track):
                last = packet if packet.size else last
                yield packet
        except (av.error.InvalidDataError, av.error.EOFError):
            self._lose(None)
        else:
            has_frames = self.container.format.name in _TAGS_BETWEEN
            if has_frames and last is not None and frame_bytes(bytes(last)[:6]) > last.size:
                self.flaws.append(Truncated("is cut off: its last frame is not whole"))

    def _lose(self, packet: av.Packet[av.AudioStream] | None) -> None:
        head = bytes(packet)[:8] if packet else b""
        if packet and self.container.format.name in _TAGS_BETWEEN and mpeg_layer(head) is None:
            return
        if head == _SPEEX_HEAD:  # of the second of two streams that are joined
            return
        self.packets, self.lost, self.lost_at_end = self.packets + 1, self.lost + 1, self.lost_at_end + 1

    def _pause(self, packet: av.Packet[av.AudioStream]) -> list[av.AudioFrame]:
        """Silence in place of the comfort noise of AMR; nothing for other packets."""
        kind, samples = _COMFORT_NOISE.get(self.track.codec_context.name, (-1, 0))
        if not packet.size or bytes(packet)[0] >> 3 & 0xF != kind:
            return []
        frame = av.AudioFrame.from_ndarray(np.zeros((1, samples), np.float32), format="fltp", layout="mono")
        frame.sample_rate = self.rate
        return [frame]

    def _opus_delay(self) -> int | None:
        """Samples that an Opus stream in WebM starts with and that are no audio (RFC 7845); None for others."""
        head = self.track.codec_context.extradata or b""
        is_webm = self.container.format.name.startswith("matroska")
        return int.from_bytes(head[10:12], "little") if is_webm and head[:8] == b"OpusHead" else None

    def _samples(self, packet: av.Packet[av.AudioStream]) -> int:
        return round((packet.duration or 0) * packet.time_base * self.rate) if packet.time_base else 0


def _shape(frame: av.AudioFrame) -> _Shape:
    return frame.format.name, frame.layout.nb_channels, frame.sample_rate


def _is_unfit(frame: av.AudioFrame) -> bool:
    """Whether PyAV cannot make an array of a frame: those of 8 planes and more read past the end of them."""
    planar = frame.format.is_planar
    return frame.format.packed.name not in _SCALES or (planar and frame.layout.nb_channels > _MAX_PLANES)


def _all_of(joined: av.AudioFifo) -> Iterator[av.AudioFrame]:
    frame = joined.read() if joined.samples else None
    if frame is not None:
        yield frame


def _mono(frame: av.AudioFrame, channel: int | None) -> FloatArray:
    """A frame (channels, samples), of integers too, as mono samples of one channel, or of all."""
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    scale = _SCALES[frame.format.packed.name]
    if samples.dtype == np.uint8:
        return to_mono((samples.astype(np.float32) - 128) * np.float32(scale), channel)
    return to_mono(samples if scale == 1 else np.multiply(samples, np.float32(scale), dtype=np.float32), channel)
