"""Distortions that recordings meet: noise, filters, codecs, rooms, levels. (samples,) float32 at 16 kHz in and out."""

from __future__ import annotations

import contextlib
import io
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np
import soxr

from emotions.audio.decode import SAMPLE_RATE, decode
from emotions.audio.windows import FloatArray

_STEPS = 32_768  # of 16 bits, to each side


def ratio(decibels: float) -> np.float32:
    """The factor of amplitudes that a level in decibels stands for."""
    return np.float32(10 ** (decibels / 20))


def with_noise(wave: FloatArray, noise: Any, snr_db: float) -> FloatArray:
    """Add noise, (samples,), at a signal-to-noise ratio."""
    scale = float(np.sqrt(np.mean(np.square(wave)))) / (float(np.sqrt(np.mean(np.square(noise)))) + 1e-12)
    noisy: FloatArray = np.clip(wave + noise * scale * 10 ** (-snr_db / 20), -1, 1).astype(np.float32)
    return noisy


def tone(samples: int, hz: float) -> Any:
    """A sine, (samples,) float64."""
    return np.sin(2 * np.pi * hz * np.arange(samples) / SAMPLE_RATE)


def coloured_noise(samples: int, exponent: float, random: np.random.Generator) -> Any:
    """Noise whose amplitudes fall as a power of the frequency, (samples,): 0 white, 0.5 pink, 1 brown."""
    spectrum = np.fft.rfft(random.standard_normal(samples))
    return np.fft.irfft(spectrum / np.maximum(np.arange(len(spectrum)), 1) ** exponent, samples)


def filtered(wave: FloatArray, hz: float, kind: str, order: int = 4) -> FloatArray:
    """Pass a Butterworth filter: ``kind`` is ``highpass`` or ``lowpass``."""
    from scipy.signal import butter, sosfilt  # slow to import

    passed: FloatArray = sosfilt(butter(order, hz, kind, fs=SAMPLE_RATE, output="sos"), wave).astype(np.float32)
    return passed


def resampled(wave: FloatArray, rate: int) -> FloatArray:
    """Resample to a rate and back."""
    back: Any = soxr.resample(soxr.resample(wave, SAMPLE_RATE, rate), rate, SAMPLE_RATE)
    return cast(FloatArray, back)


def faster(wave: FloatArray, factor: float) -> FloatArray:
    """Play faster, which raises the pitch, too; below 1 slower. As many samples as that takes."""
    return cast(FloatArray, soxr.resample(wave, SAMPLE_RATE * factor, SAMPLE_RATE))


def shifted_in_pitch(wave: FloatArray, semitones: float) -> FloatArray:
    """Raise the pitch and formants at the same speed: played faster, then stretched by overlapping pieces (WSOLA)."""
    factor = 2 ** (semitones / 12)
    return _at_tempo(faster(wave, factor), 1 / factor)


def _at_tempo(wave: FloatArray, factor: float) -> FloatArray:
    """Play faster at the same pitch, by FFmpeg's filter ``atempo``."""
    graph = av.filter.Graph()
    source = graph.add_abuffer(sample_rate=SAMPLE_RATE, format="flt", layout="mono", time_base=Fraction(1, SAMPLE_RATE))
    tempo, sink = graph.add("atempo", f"{factor:.6f}"), graph.add("abuffersink")
    source.link_to(tempo)
    tempo.link_to(sink)
    graph.configure()
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave, np.float32)[None], format="flt", layout="mono")
    frame.sample_rate, frame.pts = SAMPLE_RATE, 0
    graph.push(frame)
    graph.push(None)
    parts = []
    with contextlib.suppress(av.EOFError, av.BlockingIOError):
        while True:
            parts.append(graph.pull().to_ndarray()[0])
    return np.concatenate(parts).astype(np.float32) if parts else np.zeros(0, np.float32)


def quiet(wave: FloatArray, decibels: float) -> FloatArray:
    """As a recording made at a lower level is stored in 16 bits: it has fewer steps."""
    stored: FloatArray = (np.round(wave * ratio(decibels) * _STEPS) / _STEPS).astype(np.float32)
    return stored


def in_a_room(wave: FloatArray, reverberation_sec: float, direct_db: float, random: np.random.Generator) -> FloatArray:
    """Add reverberation: noise that decays by 60 dB (Polack, 1988), at the level that the recording had.

    Args:
        wave: the recording.
        reverberation_sec: time of the decay.
        direct_db: level of the direct sound over the reverberation.
        random: draws the noise.
    """
    from scipy.signal import fftconvolve  # slow to import

    time = np.arange(round(reverberation_sec * SAMPLE_RATE)) / SAMPLE_RATE
    response = random.standard_normal(len(time)) * 10 ** (-3 * time / reverberation_sec)
    response *= 10 ** (-direct_db / 20) / np.sqrt(np.square(response).sum())
    response[0] = 1.0
    echoed = fftconvolve(wave, response)[: len(wave)]
    level = np.sqrt(np.mean(np.square(wave)) / (np.mean(np.square(echoed)) + 1e-12))
    found: FloatArray = (echoed * level).astype(np.float32)
    return found


def recoded(waveform: FloatArray, container: str, codec: str, rate: int, bit_rate: int | None = None) -> FloatArray:
    """Encode a waveform with a codec and decode it again, in memory. Args as ``encoded``."""
    return decode(encoded(waveform, container, codec, rate, bit_rate))


def encoded(waveform: FloatArray, container: str, codec: str, rate: int, bit_rate: int | None = None) -> bytes:
    """Encode a waveform with a codec: the bytes of a file.

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
    return content.getvalue()
