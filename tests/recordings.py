"""Recordings as people have them, made by ffmpeg, sox and writers of bytes: every kind that the tests compare."""

from __future__ import annotations

import io
import struct
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile

from emotions.audio.decode import SAMPLE_RATE, to_model_rate
from emotions.audio.synthetic_speech import synthetic_speech
from emotions.audio.windows import FloatArray

Outcome = Literal["same", "marked", "refused"]
SEC = 1.2
_PROCESSES = 4
_TOGETHER = 16


@dataclass(frozen=True)
class Recording:
    """A file, and what is to become of it.

    Attributes:
        kind: how it was written and what it is, a row of the table.
        path: the file.
        outcome: read whole; read as far as it goes and marked; or refused with the reason.
        likes: files whose samples, as ffmpeg decodes them, are what it holds; by default itself.
        slack: samples at 16 kHz by which the count may differ: a frame of the codec's delay.
        limit: largest difference of a sample.
        rate: rate that ffmpeg is to decode to, where it changes on the way; 0 for the file's own.
        joint: samples at 16 kHz around the places where ``likes`` meet that are not compared.
    """

    kind: str
    path: Path
    outcome: Outcome = "same"
    likes: Sequence[Path] = field(default=())
    slack: int = 0
    limit: float = 1e-3
    joint: int = 0
    rate: int = 0

    def expected(self) -> list[FloatArray]:
        """Its samples in the parts of ``likes``: mono, 16 kHz, by ffmpeg, our downmix and our resampler."""
        return [by_ffmpeg(path, self.rate) for path in self.likes or (self.path,)]


@cache
def by_ffmpeg(path: Path, rate: int = 0) -> FloatArray:
    """The samples that ffmpeg decodes, at ``rate`` if one is given; then mono, at 16 kHz: (samples,)."""
    decoded = path.with_name(f"{path.name}.decoded")
    if decoded.exists():  # together with others, by ``decode_together``
        return _waveform(decoded.read_bytes())
    command = ("ffmpeg", "-v", "quiet", "-i", path, "-vn", *(("-ar", rate) if rate else ()), *_DECODED, "-")
    return _waveform(subprocess.run([*map(str, command)], capture_output=True, check=False).stdout)


def decode_together(paths: Sequence[Path]) -> None:
    """Let one ffmpeg decode several files, which takes less time than one each."""
    inputs = [argument for path in paths for argument in ("-i", path)]
    outputs = [
        argument
        for number, path in enumerate(paths)
        for argument in ("-map", f"{number}:a:0", *_DECODED, path.with_name(f"{path.name}.decoded"))
    ]
    _run("ffmpeg", "-v", "quiet", *inputs, *outputs)


_DECODED = ("-c:a", "pcm_f32le", "-f", "wav")


def _waveform(wav: bytes) -> FloatArray:
    if len(wav) < 100:
        return np.zeros(0, np.float32)
    samples, rate = soundfile.read(io.BytesIO(bytearray(wav)), dtype="float32", always_2d=True)
    return to_model_rate(np.clip(samples.mean(axis=1, dtype=np.float32), -1, 1), rate)


# Ending, ffmpeg's codec, rates, numbers of channels.
_ENCODED: tuple[tuple[str, str, tuple[int, ...], tuple[int, ...]], ...] = (
    *(("wav", f"pcm_{name}", (8_000, 44_100), (1, 2)) for name in ("s16le", "s24le", "f32le", "alaw")),
    *(("wav", f"pcm_{name}", (16_000,), (1,)) for name in ("u8", "s32le", "f64le", "mulaw", "s64le")),
    *(("wav", name, (16_000, 44_100), (1, 2)) for name in ("adpcm_ms", "adpcm_ima_wav", "libmp3lame")),
    *(("wav", name, (16_000,), (1, 2)) for name in ("g722", "adpcm_yamaha")),
    *(("wav", name, (44_100,), (2,)) for name in ("wmav2", "ac3", "mp2")),
    ("wav", "libgsm_ms", (8_000,), (1,)),
    ("wav", "g726", (8_000,), (1,)),
    ("w64", "pcm_s16le", (16_000, 44_100), (1, 2)),
    ("aiff", "pcm_s16be", (16_000, 44_100), (1, 2)),
    ("aifc", "pcm_alaw", (8_000,), (1,)),
    ("au", "pcm_s16be", (16_000, 44_100), (1, 2)),
    ("au", "pcm_mulaw", (8_000,), (1,)),
    ("caf", "pcm_s16be", (16_000, 44_100), (1, 2)),
    ("caf", "alac", (16_000,), (1, 2)),
    ("caf", "adpcm_ima_qt", (16_000,), (1,)),
    ("flac", "flac", (8_000, 16_000, 44_100), (1, 2)),
    ("mp3", "libmp3lame", (8_000, 16_000, 44_100, 48_000), (1, 2)),
    ("mp2", "mp2", (16_000, 44_100), (1, 2)),
    ("aac", "aac", (16_000, 44_100), (1, 2)),
    ("m4a", "aac", (8_000, 16_000, 44_100, 48_000), (1, 2)),
    ("m4a", "alac", (16_000, 44_100), (1, 2)),
    ("m4b", "aac", (22_050,), (1,)),
    ("3gp", "aac", (16_000,), (1,)),
    ("mov", "pcm_s16le", (44_100,), (1, 2)),
    ("mp4", "libmp3lame", (44_100,), (1, 2)),
    ("ogg", "libvorbis", (16_000, 44_100), (1, 2)),
    ("oga", "flac", (16_000, 44_100), (1, 2)),
    ("opus", "libopus", (16_000, 48_000), (1, 2)),
    ("spx", "libspeex", (8_000, 16_000), (1, 2)),
    ("webm", "libopus", (16_000, 48_000), (1, 2)),
    ("webm", "libvorbis", (44_100,), (1, 2)),
    ("mkv", "libopus", (48_000,), (1,)),
    *(("mka", name, (44_100,), (1, 2)) for name in ("pcm_s16le", "flac", "libmp3lame", "aac")),
    ("wma", "wmav1", (16_000, 44_100), (1, 2)),
    ("wma", "wmav2", (16_000, 44_100), (1, 2)),
    ("gsm", "libgsm", (8_000,), (1,)),
)
_PIPES = {  # ending -> how ffmpeg calls the format
    **{ending: ending for ending in ("wav", "flac", "mp3", "mp2", "ogg", "opus", "webm", "caf", "au", "gsm")},
    "mka": "matroska",
    "aac": "adts",
    "wma": "asf",
    "oga": "ogg",
    "spx": "ogg",
    "m4a": "mp4",
}
_INDEX_AT_END = (".m4a", ".m4b", ".3gp", ".mov", ".mp4")
_OGG = ("ogg", "oga", "opus", "spx")
_SHORT_PAGES = ("-page_duration", "200000")
_UNTOLD = ("au", "caf", "wma")
"""Endings of streams whose headers, from a pipe, tell nothing of the length."""
_SOX = ("wav", "au", "aiff", "w64", "flac", "ogg", "gsm", "mp3", "amr-nb", "caf")
_FRAGMENTS = ("-movflags", "frag_keyframe+empty_moov")
# ffmpeg's releases differ in the rounding of this decoder; Opus forgets what was before the joint slowly.
_LIMITS = {"adpcm_ima_wav": 3e-3, "opus": 1e-2, "webm": 1e-2, "mkv": 1e-2}


class Workshop:
    """Makes recordings in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        random = np.random.default_rng(0)
        both = [synthetic_speech(int(SEC * SAMPLE_RATE), random) for _ in range(2)]
        self.mono, self.stereo = self._path("mono.wav"), self._path("stereo.wav")
        soundfile.write(self.mono, both[0], SAMPLE_RATE)
        soundfile.write(self.stereo, np.stack(both, axis=1), SAMPLE_RATE)

    def all(self) -> list[Recording]:
        """Every recording, in the order of the kinds."""
        jobs: list[Callable[[], list[Recording]]] = [
            *(lambda some=some: self._encoded(some) for some in _batched([*_files()])),
            *(lambda ending=ending: [self._piped(ending)] for ending in _PIPES),
            *(lambda kind=kind: [self._by_sox(kind)] for kind in _SOX),
            self._tracks,
            self._wrong_wav,
            self._before_mpeg,
            self._changing,
        ]
        with ThreadPoolExecutor(_PROCESSES) as pool:
            whole = [each for made in pool.map(lambda job: job(), jobs) for each in made]
        return [*whole, *self._cut(whole), *self._joined(whole)]

    def _path(self, name: str) -> Path:
        return self.folder / name

    def _base(self, channels: int) -> Path:
        return self.mono if channels == 1 else self.stereo

    def _encoded(self, files: Sequence[tuple[str, str, int, int]]) -> list[Recording]:
        arguments: list[object] = ["-i", self.mono, "-i", self.stereo]
        found = []
        for ending, codec, rate, channels in files:
            path = self._path(f"{codec}_{rate}_{channels}.{ending}")
            options = ("-b:a", "32k") if codec in ("libspeex", "libopus") else ()
            pages = _SHORT_PAGES if ending in _OGG else ()
            arguments += ["-map", f"{channels - 1}:a", "-ar", rate, "-c:a", codec, *options, *pages, path]
            found.append(Recording(f"file  {ending} {codec}", path, limit=_LIMITS.get(codec, 1e-3)))
        _ffmpeg(*arguments)
        decode_together([each.path for each in found])
        return found

    def _piped(self, ending: str) -> Recording:
        path = self._path(f"pipe.{ending}")
        codec = {"oga": "flac", "spx": "libspeex", "m4a": "aac", "webm": "libopus", "mka": "flac"}.get(ending)
        options = [*(("-c:a", codec) if codec else ()), *(_FRAGMENTS if ending == "m4a" else ())]
        options += _SHORT_PAGES if ending in _OGG else ()
        rate = 8_000 if ending == "gsm" else 48_000 if ending in ("opus", "webm") else SAMPLE_RATE
        command = ("ffmpeg", "-v", "error", "-i", self.mono, "-ar", rate, *options, "-f", _PIPES[ending], "-")
        path.write_bytes(subprocess.run([*map(str, command)], stdout=subprocess.PIPE, check=True).stdout)
        return Recording(f"pipe  {ending}", path)

    def _by_sox(self, kind: str) -> Recording:
        path = self._path(f"sox.{'amr' if kind == 'amr-nb' else kind}")
        rate = ("-r", "8000") if kind in ("amr-nb", "gsm") else ()
        _run("sox", "-V1", self.mono, *rate, "-t", kind, path)
        # The tail of Vorbis is kept that ffmpeg drops: a block.
        return Recording(f"sox   {kind}", path, limit=_LIMITS.get(kind, 1e-3), slack=1_024 if kind == "ogg" else 0)

    def _tracks(self) -> list[Recording]:
        found = []
        for ending, codec in (("mkv", "pcm_s16le"), ("m4a", "aac"), ("mka", "libvorbis")):
            for default in (0, 1):
                path = self._path(f"tracks_{default}.{ending}")
                chosen = ("-disposition:a", "0", f"-disposition:a:{default}", "default")
                both = ("-i", self.mono, "-i", self.stereo, "-map", "0", "-map", "1")
                _ffmpeg(*both, "-c:a", codec, *chosen, path)
                found.append(Recording(f"tracks {ending}", path))
        video = ("-f", "lavfi", "-i", f"testsrc=d={SEC}:r=10:s=64x64", "-i", self.mono)
        for name, codecs in (
            ("theora.ogv", ("libtheora", "libvorbis")),
            ("video.mp4", ("mpeg4", "aac")),
            ("video.webm", ("libvpx", "libopus")),
        ):
            path = self._path(name)
            _ffmpeg(*video, "-c:v", codecs[0], "-c:a", codecs[1], path)
            found.append(Recording("video " + name.partition(".")[2], path))
        return found

    def _wrong_wav(self) -> list[Recording]:
        return [
            self._write(f"wav_{name}.wav", content, kind="header wav", outcome=outcome, likes=(self.mono,))
            for name, content, outcome in wrong_wavs(soundfile.read(self.mono, dtype="int16")[0].tobytes())
        ]

    def _before_mpeg(self) -> list[Recording]:
        mp3, aac = self._path("plain.mp3"), self._path("plain.aac")
        for path in (mp3, aac):
            _ffmpeg("-i", self.mono, path)
        junk = np.random.default_rng(1).integers(0, 250, 5_000, np.uint8).tobytes()
        id3 = b"ID3\4\0\0\0\0\2\0" + bytes(256)
        heads = {"zeros": bytes(3_000), "junk": junk, "id3": id3, "no_id3": b"ID3\4\0\0\0\0\0\0", "two_id3": id3 * 2}
        found = [
            self._write(
                f"{name}{path.suffix}", head + path.read_bytes(), kind=f"before {path.suffix[1:]}", likes=(path,)
            )
            for path in (mp3, aac)
            for name, head in heads.items()
        ]
        half = mp3.read_bytes()[600:]
        data = mp3.read_bytes()
        at = data.index(b"Info") + 8
        fewer = data[:at] + struct.pack(">I", 5) + data[at + 4 :]
        more = data[:at] + struct.pack(">I", 9_000) + data[at + 4 :]
        return [
            *found,
            self._write("half.mp3", half, kind="before mp3"),
            self._write("fewer.mp3", fewer, kind="header mp3"),
            self._write("more.mp3", more, kind="header mp3", outcome="marked", likes=(mp3,), slack=1_200),
            self._write("trailer.mp3", data + b"TAG" + bytes(125), kind="header mp3", likes=(mp3,)),
        ]

    def _changing(self) -> list[Recording]:
        """Streams whose channels or rate change on the way."""
        mono, stereo, fast, slow = (self._path(name) for name in ("m.aac", "s.aac", "fast.mp3", "slow.mp3"))
        # Without the noise that the decoder makes up, whose state goes on in a joined stream.
        for path, base in ((mono, self.mono), (stereo, self.stereo)):
            _ffmpeg("-i", base, "-aac_pns", "0", path)
        for path, rate in ((fast, 44_100), (slow, 22_050)):
            _ffmpeg("-i", self.mono, "-ar", rate, path)
        return [
            self._write(
                f"changing_{one.stem}{other.name}",
                one.read_bytes() + other.read_bytes(),
                kind=f"changing {one.suffix[1:]}",
                likes=(one, other) if one.suffix == ".aac" else (),
                slack=1_200,
                joint=2_400,
                rate=22_050 if one.suffix == ".mp3" else 0,
            )
            for one, other in ((mono, stereo), (stereo, mono), (slow, fast))
        ]

    def _cut(self, whole: Sequence[Recording]) -> Iterator[Recording]:
        """The first of each file's kind, cut somewhere in the middle, and a few bytes before the end."""
        for each in _first_of_each(whole):
            data = each.path.read_bytes()
            for name, end in (("middle", len(data) * 61 // 100 | 1), ("end", len(data) - 7)):
                ending = each.path.suffix
                # An index at the end is lost; and whatever was cut is marked.
                lost = ending in _INDEX_AT_END and name == "middle" and "pipe" not in each.kind

                untold = ending[1:] in _UNTOLD and "pipe" in each.kind and (name, ending) != ("middle", ".wma")
                yield self._write(
                    f"cut_{name}_{each.path.name}",
                    data[:end],
                    kind=f"cut   {ending[1:]}",
                    outcome="refused" if lost else "same" if untold else "marked",
                    limit=each.limit,
                )

    def _joined(self, whole: Sequence[Recording]) -> Iterator[Recording]:
        """The first of each file's kind, twice in one file."""
        for each in _first_of_each(whole):
            ending = each.path.suffix[1:]
            decoded = ending in ("flac", "mp3", "mp2", "aac", "ogg", "oga", "opus", "spx", "gsm", "webm", "mkv", "mka")
            untold = ending in (*_UNTOLD, "wav") and "pipe" in each.kind
            yield self._write(
                f"joined_{each.path.name}",
                each.path.read_bytes() * 2,
                kind=f"joined {ending}",
                outcome="same" if decoded or untold else "refused",
                likes=() if untold or ending in ("gsm", "aac") else (each.path, each.path),
                slack=3_200,
                limit=_LIMITS.get(ending, each.limit),
                joint=6_400 if ending in _LIMITS else 2_400,
            )

    def _write(
        self,
        name: str,
        content: bytes,
        *,
        kind: str,
        outcome: Outcome = "same",
        likes: Sequence[Path] = (),
        slack: int = 0,
        limit: float = 1e-3,
        joint: int = 0,
        rate: int = 0,
    ) -> Recording:
        path = self._path(name)
        path.write_bytes(content)
        return Recording(kind, path, outcome, likes, slack, limit, joint, rate)


def wrong_wavs(pcm: bytes) -> Iterator[tuple[str, bytes, Outcome]]:
    """WAV files of 16 bit samples, mono, 16 kHz, whose headers recorders and streams write: name, content, outcome."""
    fmt = _chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, SAMPLE_RATE, 2 * SAMPLE_RATE, 2, 16))
    guid = b"\1\0\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"
    wide = _chunk(b"fmt ", struct.pack("<HHIIHHHHI", 0xFFFE, 1, SAMPLE_RATE, 2 * SAMPLE_RATE, 2, 16, 22, 16, 4) + guid)
    data = _chunk(b"data", pcm)
    note = b"LIST" + struct.pack("<I", 5) + b"INFOx"

    def sized(size: int) -> bytes:
        return b"data" + struct.pack("<I", size) + pcm

    def long(name: bytes, size: int) -> bytes:
        sizes = _chunk(b"ds64", struct.pack("<QQQI", 0, size, len(pcm) // 2, 0))
        return name + b"\xff\xff\xff\xffWAVE" + sizes + fmt + sized(0xFFFFFFFF)

    yield "plain", _riff(fmt + data), "same"
    yield "extensible", _riff(wide + data), "same"
    for name, size in (("zero", 0), ("open", 0xFFFFFFFF), ("signed", 0x7FFFFFFF), ("near", 0xFFFFFFFF - 44)):
        yield name, _riff(fmt + sized(size)), "same"
    yield "riff_zero", _riff(fmt + sized(0), size=0), "same"
    for more in (2, 36, 100_000):
        yield f"{more}_too_many", _riff(fmt + sized(len(pcm) + more)), "marked"
    yield "padded", _riff(note + b"\0" + fmt + data), "same"
    yield "unpadded", _riff(note + fmt + data), "same"
    yield "unpadded_zero", _riff(note + fmt + sized(0)), "same"
    yield "behind", _riff(fmt + data + note + b"\0"), "same"
    yield "zeros_behind", _riff(fmt + data) + bytes(512), "same"
    yield "rf64", long(b"RF64", len(pcm)), "same"
    yield "rf64_open", long(b"RF64", 2**64 - 1), "same"
    yield "rf64_zero", long(b"RF64", 0), "same"
    yield "rf64_cut", long(b"RF64", len(pcm) + 5_000), "marked"
    yield "bw64", long(b"BW64", len(pcm)), "same"
    swapped = np.frombuffer(pcm, "<i2").astype(">i2").tobytes()
    big = b"fmt " + struct.pack(">IHHIIHH", 16, 1, 1, SAMPLE_RATE, 2 * SAMPLE_RATE, 2, 16)
    for name, size in (("rifx", len(pcm)), ("rifx_zero", 0)):
        yield name, b"RIFX" + struct.pack(">I", 0) + b"WAVE" + big + b"data" + struct.pack(">I", size) + swapped, "same"


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _riff(content: bytes, size: int | None = None) -> bytes:
    return b"RIFF" + struct.pack("<I", len(content) + 4 if size is None else size) + b"WAVE" + content


def _files() -> Iterator[tuple[str, str, int, int]]:
    for ending, codec, rates, channels in _ENCODED:
        for rate, count in product(rates, channels):
            yield ending, codec, rate, count


def _batched(files: Sequence[tuple[str, str, int, int]]) -> list[Sequence[tuple[str, str, int, int]]]:
    return [files[at : at + _TOGETHER] for at in range(0, len(files), _TOGETHER)]


def _first_of_each(whole: Sequence[Recording]) -> list[Recording]:
    """The first recording of each ending, as a file and as it comes from a pipe."""
    found: dict[tuple[str, bool], Recording] = {}
    for each in whole:
        if each.kind.startswith(("file", "pipe")):
            found.setdefault((each.path.suffix, each.kind.startswith("pipe")), each)
    return [*found.values()]


def _ffmpeg(*arguments: object) -> None:
    _run("ffmpeg", "-v", "error", "-y", *arguments)


def _run(*command: object, check: bool = True) -> None:
    subprocess.run([*map(str, command)], check=check, capture_output=True)
