"""Recordings that are small and cost much, built by code: claims that are not true, and silence that is."""

from __future__ import annotations

import io
import struct
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile


def m4a(sec: float = 2.0) -> bytes:
    """An honest one."""
    return _encoded("ipod", "aac", 44_100, "mono", sec)


def m4a_that_claims(samples: int, padding: int = 0) -> bytes:
    """An M4A whose tables count so many samples of one byte; ``padding`` makes it as large as a true one."""
    data = bytearray(m4a())
    at = data.index(b"stsz")
    struct.pack_into(">II", data, at + 8, 1, samples)
    at = data.index(b"stts")
    struct.pack_into(">I", data, at + 12, samples)
    at = data.index(b"stsc")
    struct.pack_into(">I", data, at + 16, samples)
    return bytes(data) + struct.pack(">I4s", 8 + padding, b"free") + bytes(padding)


def fragments_that_claim(samples: int) -> bytes:
    """A fragmented MP4 whose fragment counts so many samples, each as large as the default."""
    trun = _box(b"trun", struct.pack(">II", 0, samples))
    tfhd = _box(b"tfhd", struct.pack(">III", 0x20010, 1, 1))
    return m4a() + _box(b"moof", _box(b"mfhd", bytes(8)) + _box(b"traf", tfhd + trun)) + _box(b"mdat", bytes(64))


def vorbis_silence(channels: int, rate: int, sec: float, long_blocks: bool = False) -> bytes:
    """Vorbis whose packets of silence go on for so many seconds; a quarter of them where blocks are of the most."""
    file = io.BytesIO()
    soundfile.write(file, np.zeros((rate // 2, channels), np.float32), rate, format="OGG", subtype="VORBIS")
    head, *packets = _ogg_packets(file.getvalue())
    if long_blocks:
        head = head[:28] + bytes([13 << 4 | head[28] & 15]) + head[29:]  # 2 ** 13 samples
    samples = (1 << (head[28] >> 4)) // 2
    return _ogg([head, *packets[:2], *[packets[-3]] * int(sec * rate / samples)], 3, samples)


def opus_silence(sec: float) -> bytes:
    """Opus of eight channels whose packets of silence go on for so many seconds."""
    packets = _ogg_packets(_encoded("ogg", "libopus", 48_000, "7.1", 1.0))
    return _ogg([*packets[:2], *[packets[-3]] * int(sec * 50)], 2, 960)


def flac_silence(channels: int, rate: int, sec: float) -> bytes:
    """FLAC of silence: a few bytes for each 65,535 samples."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", rate, channels, format="FLAC", subtype="PCM_16") as sound:
        for _ in range(int(sec)):
            sound.write(np.zeros((rate, channels), np.int16))
    return file.getvalue()


def matroska_silence(sec: float) -> bytes:
    """Matroska with eight channels of Opus; its header does not say how many samples it has."""
    return _encoded("matroska", "libopus", 48_000, "7.1", sec)


def caf_that_claims(packets: int) -> bytes:
    """A CAF with ALAC whose table counts so many packets."""
    file = io.BytesIO()
    soundfile.write(file, np.zeros(44_100, np.float32), 44_100, format="CAF", subtype="ALAC_16")
    data = bytearray(file.getvalue())
    struct.pack_into(">q", data, data.index(b"pakt") + 12, packets)
    return bytes(data)


def wav_that_claims(size: int) -> bytes:
    """A WAV with 255 channels whose header counts so many bytes of samples, and which has 4 kB."""
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, 3, 255, 655_350, 668_457_000, 1020, 32)
    return struct.pack("<4sI4s", b"RIFF", size, b"WAVE") + head + struct.pack("<4sI", b"data", size - 44) + bytes(4080)


def wav_of_bytes(rate: int, sec: float) -> bytes:
    """A WAV of 8 bits: a sample in each byte, all silent."""
    size = int(rate * sec)
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate, 1, 8) + struct.pack("<4sI", b"data", size)
    return struct.pack("<4sI4s", b"RIFF", size + 36, b"WAVE") + head + b"\x80" * size


def wavpack() -> bytes:
    """The head of a WavPack file, a format that is not read."""
    return struct.pack("<4sIHBBIIIII", b"wvpk", 1 << 30, 0x410, 0, 0, 1 << 31, 0, 1 << 31, 0x04000005, 0) + bytes(64)


@cache
def hostile_files() -> dict[str, bytes]:
    """One of each kind by its file name."""
    return {
        "claims.m4a": m4a_that_claims(85_000_000),
        "claims_padded.m4a": m4a_that_claims(24_000_000, padding=24_000_000),
        "fragments.mp4": fragments_that_claim(85_000_000),
        # Three times the processor time that a folder's file may take.
        "silence.ogg": vorbis_silence(64, 192_000, 900.0, long_blocks=True),
        "silence.opus": opus_silence(1500.0),  # as samples more than 2 GB
        "silence.flac": flac_silence(8, 192_000, 60.0),
        "silence.mkv": matroska_silence(60.0),
        "claims.caf": caf_that_claims(1 << 40),
        "head.wav": wavpack(),
    }


def write_hostile(folder: Path) -> list[Path]:
    """All of them as files in a folder."""
    for name, content in hostile_files().items():
        (folder / name).write_bytes(content)
    return [folder / name for name in hostile_files()]


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


def _encoded(container: str, codec: str, rate: int, layout: str, sec: float) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream: Any = output.add_stream(codec, rate=rate)
        stream.layout = layout
        samples = np.zeros((1, stream.layout.nb_channels * (rate // 10)), np.int16)
        resampler = av.AudioResampler(format=stream.format, layout=layout, rate=rate)
        for number in range(round(sec * 10)):
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout=layout)
            frame.sample_rate, frame.pts = rate, number * (rate // 10)
            for each in resampler.resample(frame):
                output.mux(stream.encode(each))
        output.mux(stream.encode(None))
    return file.getvalue()


def _ogg_packets(data: bytes) -> list[bytes]:
    packets, part, at = [], b"", 0
    while at < len(data):
        sizes = data[at + 27 : at + 27 + data[at + 26]]
        at += 27 + len(sizes)
        for size in sizes:
            part += data[at : at + size]
            at += size
            if size < 255:
                packets.append(part)
                part = b""
    return packets


def _ogg(packets: list[bytes], heads: int, samples: int) -> bytes:
    """Packets in pages; the first ``heads`` hold no samples, each of the others so many."""
    pages, done = bytearray(), 0
    groups = [packets[:1], packets[1:heads]]
    groups += [packets[at : at + 50] for at in range(heads, len(packets), 50)]
    for number, group in enumerate(groups):
        laces = b"".join(b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in group)
        content = b"".join(group)
        assert len(laces) <= 255
        done += samples * len(group) * (number > 1)
        flags = 2 * (number == 0) + 4 * (number == len(groups) - 1)
        page = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, done, 1, number, 0, len(laces)) + laces + content
        pages += page[:22] + struct.pack("<I", _crc(page)) + page[26:]
    return bytes(pages)


def with_page_checksums(data: bytes) -> bytes:
    """Ogg with the checksum of each page that can be found; without, a page that was changed is passed over."""
    found, at = bytearray(data), data.find(b"OggS")
    while at >= 0 and len(data) >= at + 27:
        size = 27 + data[at + 26] + sum(data[at + 27 : at + 27 + data[at + 26]])
        page = data[at : at + 22] + bytes(4) + data[at + 26 : at + size]
        found[at + 22 : at + 26] = struct.pack("<I", _crc(page))
        at = data.find(b"OggS", at + size)
    return bytes(found)


@cache
def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
        table.append(value)
    return table


def _crc(data: bytes) -> int:
    value, table = 0, _crc_table()
    for byte in data:
        value = (value << 8 & 0xFFFFFFFF) ^ table[value >> 24 ^ byte]
    return value
