"""Corruptions of a waveform that should not change a prediction, or should cost little accuracy.

The small changes and their limits are those of audEERING's ser-tests; telephone, codecs and resampling are our own.
Each takes and returns (samples,) float32 at 16 kHz.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import av
import numpy as np
import soxr
from scipy.signal import butter, sosfilt

from emotions.audio.decode import SAMPLE_RATE, decode
from emotions.audio.windows import FloatArray

Change = Callable[[FloatArray, np.random.Generator], FloatArray]
Kind = Literal["small change", "noise", "channel"]


@dataclass(frozen=True)
class Corruption:
    """One test.

    Attributes:
        kind: a small change must leave 95 % of the predictions unchanged; noise and channels may cost 0.05 of UAR.
    """

    name: str
    kind: Kind
    change: Change


def corruptions(voices: Sequence[FloatArray]) -> list[Corruption]:
    """All tests; babble noise is mixed from the waveforms ``voices``."""
    small: dict[str, Change] = {
        "append zeros": lambda wave, random: np.pad(wave, (0, _some(random))),
        "prepend zeros": lambda wave, random: np.pad(wave, (_some(random), 0)),
        "gain +2 dB": lambda wave, _: np.clip(wave * _ratio(2), -1, 1),
        "gain -2 dB": lambda wave, _: wave * _ratio(-2),
        "16 bits at -20 dB": lambda wave, _: _quiet(wave, -20),
        "16 bits at -30 dB": lambda wave, _: _quiet(wave, -30),
        "16 bits at -40 dB": lambda wave, _: _quiet(wave, -40),
        "crop the beginning": lambda wave, random: wave[min(_some(random), len(wave) // 4) :],
        "crop the end": lambda wave, random: wave[: -min(_some(random), len(wave) // 4)],
        "clip 0.1 % of the samples": _clip,
        "fade in": lambda wave, _: _fade(wave),
        "fade out": lambda wave, _: _fade(wave[::-1])[::-1],
        "high-pass 50 Hz": lambda wave, _: _filter(wave, 50, "highpass"),
        "low-pass 7.5 kHz": lambda wave, _: _filter(wave, 7_500, "lowpass"),
        "tone of 1 kHz, 40 dB below": lambda wave, _: _add(wave, _tone(len(wave), 1_000), 40),
        "white noise, 40 dB below": lambda wave, random: _add(wave, random.standard_normal(len(wave)), 40),
        "polarity": lambda wave, _: -wave,
        "44.1 kHz and back": lambda wave, _: _resampled(wave, 44_100),
    }
    noise: dict[str, Change] = {
        "white noise, 20 dB below": lambda wave, random: _add(wave, random.standard_normal(len(wave)), 20),
        "pink noise, 20 dB below": lambda wave, random: _add(wave, _pink(len(wave), random), 20),
        "mains hum, 20 dB below": lambda wave, _: _add(wave, _tone(len(wave), 50) + _tone(len(wave), 150) / 2, 20),
        "babble, 20 dB below": lambda wave, random: _add(wave, _babble(len(wave), voices, random), 20),
    }
    channel: dict[str, Change] = {
        "telephone band": lambda wave, _: _filter(_filter(wave, 300, "highpass"), 3_400, "lowpass"),
        "8 kHz and back": lambda wave, _: _resampled(wave, 8_000),
        "G.711 (mu-law, 8 kHz)": lambda wave, _: recoded(wave, "wav", "pcm_mulaw", 8_000),
        "MP3, 32 kbit/s": lambda wave, _: recoded(wave, "mp3", "libmp3lame", 16_000, 32_000),
        "Opus, 16 kbit/s": lambda wave, _: recoded(wave, "ogg", "libopus", 16_000, 16_000),
        "AAC, 32 kbit/s": lambda wave, _: recoded(wave, "adts", "aac", 16_000, 32_000),
    }
    kinds: dict[Kind, dict[str, Change]] = {"small change": small, "noise": noise, "channel": channel}
    return [Corruption(name, kind, change) for kind, each in kinds.items() for name, change in each.items()]


def recoded(waveform: FloatArray, container: str, codec: str, rate: int, bit_rate: int | None = None) -> FloatArray:
    """Encode a waveform with a codec and decode it again, in memory.

    Args:
        waveform: (samples,) float32 at 16 kHz.
        container: name of the FFmpeg muxer.
        codec: name of the FFmpeg encoder.
        rate: sampling rate of the encoder, in Hz.
        bit_rate: in bit/s; None for the encoder's default.
    """
    content = io.BytesIO()
    samples = np.clip(soxr.resample(waveform, SAMPLE_RATE, rate), -1, 1)
    with av.open(content, "w", format=container) as out:
        stream: Any = out.add_stream(codec, rate=rate)
        stream.codec_context.layout = "mono"
        if bit_rate is not None:
            stream.codec_context.bit_rate = bit_rate
        pcm = np.round(samples * 32_767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm), format="s16", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        resampler = av.AudioResampler(
            stream.codec_context.format, "mono", rate, frame_size=stream.codec_context.frame_size
        )
        for ready in [*resampler.resample(frame), *resampler.resample(None)]:
            out.mux(stream.encode(ready))
        out.mux(stream.encode(None))
    return decode(content.getvalue())


def _some(random: np.random.Generator) -> int:
    return int(random.integers(100, 1001))


def _ratio(decibels: float) -> np.float32:
    return np.float32(10 ** (decibels / 20))


def _quiet(wave: FloatArray, decibels: float) -> FloatArray:
    """As a recording made at a lower level is stored: it has fewer steps."""
    stored: FloatArray = (np.round(wave * _ratio(decibels) * 32_768) / 32_768).astype(np.float32)
    return stored


def _resampled(wave: FloatArray, rate: int) -> FloatArray:
    back: Any = soxr.resample(soxr.resample(wave, SAMPLE_RATE, rate), rate, SAMPLE_RATE)
    return cast(FloatArray, back)


def _clip(wave: FloatArray, _: np.random.Generator) -> FloatArray:
    limit = float(np.quantile(np.abs(wave), 0.999))
    clipped: FloatArray = np.clip(wave, -limit, limit)
    return clipped


def _fade(wave: FloatArray) -> FloatArray:
    count = min(SAMPLE_RATE // 20, len(wave) // 4)
    faded = wave.copy()
    faded[:count] *= np.linspace(0, 1, count, dtype=np.float32)
    return faded


def _filter(wave: FloatArray, hz: float, kind: str) -> FloatArray:
    filtered: FloatArray = sosfilt(butter(4, hz, kind, fs=SAMPLE_RATE, output="sos"), wave).astype(np.float32)
    return filtered


def _tone(samples: int, hz: float) -> Any:
    return np.sin(2 * np.pi * hz * np.arange(samples) / SAMPLE_RATE)


def _pink(samples: int, random: np.random.Generator) -> Any:
    spectrum = np.fft.rfft(random.standard_normal(samples))
    return np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 1)), samples)


def _babble(samples: int, voices: Sequence[FloatArray], random: np.random.Generator) -> Any:
    """Sum of seven voices."""
    chosen = random.choice(len(voices), min(7, len(voices)), replace=False)
    return sum(np.resize(voices[index], samples) / (np.std(voices[index]) + 1e-9) for index in chosen)


def _add(wave: FloatArray, noise: Any, snr_db: float) -> FloatArray:
    """Add noise at a signal-to-noise ratio."""
    scale = float(np.sqrt(np.mean(np.square(wave)))) / (float(np.sqrt(np.mean(np.square(noise)))) + 1e-12)
    noisy: FloatArray = np.clip(wave + noise * scale * 10 ** (-snr_db / 20), -1, 1).astype(np.float32)
    return noisy
