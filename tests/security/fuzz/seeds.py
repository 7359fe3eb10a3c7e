"""Small valid recordings of every container, which the fuzz targets start from."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import soundfile

from emotions.audio.windows import FloatArray
from tests.emotions.audio.test_decode import by_ffmpeg, by_libsndfile
from tests.hostile_audio import caf_that_claims, fragments_that_claim, m4a_that_claims, wavpack

_SEC = 0.25
_LIBSNDFILE = (
    ("WAV", "PCM_16", 16_000), ("WAV", "FLOAT", 8_000), ("WAV", "ULAW", 8_000), ("WAV", "IMA_ADPCM", 16_000),
    ("WAV", "PCM_24", 44_100), ("RF64", "PCM_16", 16_000), ("W64", "PCM_16", 16_000), ("FLAC", "PCM_16", 16_000),
    ("AIFF", "PCM_16", 22_050), ("AU", "PCM_16", 16_000), ("CAF", "PCM_16", 16_000), ("CAF", "ALAC_16", 44_100),
    ("OGG", "VORBIS", 16_000), ("MP3", "MPEG_LAYER_III", 16_000),
)  # fmt: skip
_FFMPEG = (
    ("ogg", "libopus", 48_000), ("webm", "libopus", 48_000), ("matroska", "aac", 16_000), ("ipod", "aac", 16_000),
    ("ipod", "alac", 16_000), ("mov", "pcm_s16le", 16_000), ("adts", "aac", 16_000), ("asf", "pcm_s16le", 16_000),
    ("mp2", "mp2", 16_000), ("matroska", "pcm_s16le", 16_000),
)  # fmt: skip


def sound(rate: int, channels: int = 1) -> FloatArray:
    """A tone with noise: (samples, channels), the same each time."""
    time = np.arange(round(_SEC * rate)) / rate
    noise = np.random.default_rng(0).normal(0, 0.02, len(time))
    return np.stack([0.3 * np.sin(2 * np.pi * 330 * time) + noise] * channels, axis=1).astype(np.float32)


@cache
def recordings() -> dict[str, bytes]:
    """Name -> content of each, none of more than 30 kB."""
    found = {f"{kind}-{codec}": by_libsndfile(sound(rate), rate, kind, codec) for kind, codec, rate in _LIBSNDFILE}
    found |= {f"{kind}-{codec}": by_ffmpeg(sound(rate)[:, 0], rate, kind, codec) for kind, codec, rate in _FFMPEG}
    found["WAV-stereo"] = by_libsndfile(sound(16_000, 2), 16_000, "WAV", "PCM_16")
    found["FLAC-stereo"] = by_libsndfile(sound(16_000, 2), 16_000, "FLAC", "PCM_16")
    claims = {
        "m4a": m4a_that_claims(85_000_000),
        "mp4": fragments_that_claim(85_000_000),
        "caf": caf_that_claims(1 << 40),
    }
    return found | {f"claims.{kind}": content for kind, content in claims.items()} | {"wavpack": wavpack()}


def good_wav() -> bytes:
    """A second that every model takes."""
    file = io.BytesIO()
    soundfile.write(file, np.tile(sound(16_000)[:, 0], 4), 16_000, format="WAV", subtype="PCM_16")
    return file.getvalue()
