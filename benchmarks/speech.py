"""Speech found and missed: ``python -m benchmarks.speech FOLDER [MINUTES]``.

Recordings of speech below FOLDER (16 kHz) are joined with pauses of silence, tones, noise at 10 dB and music-like
signals; printed are the seconds of speech that were found and missed, and those that were found where none is. The
truth is the clip as a whole less what is below 1 % of its peak at both ends, so that pauses inside a sentence count as
missed. Then the time and memory of the detector for so many minutes (60), on one thread.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from emotions.audio.decode import SAMPLE_RATE, decode
from emotions.audio.speech.detector import SpeechDetector
from emotions.audio.speech.network import speech_network
from emotions.audio.speech.segmenter import SpeechSpan
from emotions.audio.windows import FloatArray

_PAUSE = 3 * SAMPLE_RATE
_CLIPS = 60
_SNR_DB = 10.0
_TIME = np.arange(_PAUSE) / SAMPLE_RATE


def _tone(random: np.random.Generator) -> FloatArray:
    return (0.2 * np.sin(2 * np.pi * random.uniform(100, 3_000) * _TIME)).astype(np.float32)


def _noise(random: np.random.Generator) -> FloatArray:
    return random.normal(0, 0.05, _PAUSE).astype(np.float32)


def _music(random: np.random.Generator) -> FloatArray:
    """Chords of three notes with harmonics, vibrato and decay, two a second, and a drum."""
    notes = 110 * 2 ** (random.integers(0, 36, (3, 6)) / 12)
    beat = _TIME % 0.5
    phases = 2 * np.pi * np.cumsum(np.repeat(notes, _PAUSE // 6, axis=1), axis=1) / SAMPLE_RATE
    phases += 0.5 * np.sin(2 * np.pi * 5.5 * _TIME)
    harmonics = np.stack([np.sin(number * phases) / number for number in range(1, 9)])
    chords = harmonics.sum(axis=(0, 1)) * np.exp(-3 * beat)
    drum = random.normal(0, 1, _PAUSE) * np.exp(-30 * beat)
    music: FloatArray = (0.08 * chords + 0.1 * drum).astype(np.float32)
    return music


def _melody(random: np.random.Generator) -> FloatArray:
    """One voice of six notes, each an instrument of its own: vibrato, glides, harmonics below moving resonances."""
    position = _TIME * 2
    notes = 110 * 2 ** (random.integers(0, 30, 7) / 12)
    glide = np.interp(position % 1, [0, random.uniform(0.02, 0.3)], [0, 1])
    before, after = notes[position.astype(int)], notes[np.minimum(position.astype(int) + 1, 6)]
    vibrato = 2 ** (random.uniform(0.1, 1.0) / 12 * np.sin(2 * np.pi * random.uniform(4.5, 7) * _TIME))
    pitch = (before + (after - before) * (1 - glide)) * vibrato
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    voice = np.zeros(_PAUSE)
    resonances = random.uniform(300, 3_000, 3)
    for number in range(1, 20):
        near = sum(1 / (1 + ((number * pitch - each) / 150) ** 2) for each in resonances)
        voice += (0.1 / number + near) * np.sin(number * phase) * (number * pitch < 7_500)
    loud = np.minimum(1, (position % 1) * random.uniform(3, 20)) * np.exp(-random.uniform(0, 3) * (position % 1))
    made: FloatArray = (0.2 * voice * loud / np.abs(voice).max()).astype(np.float32)
    return made


_PAUSES = {
    "silence": lambda _: np.zeros(_PAUSE, np.float32),
    "tones": _tone,
    "noise": _noise,
    "music": _music,
    "melodies": _melody,
}


def _joined(clips: list[FloatArray], kind: str, random: np.random.Generator) -> tuple[FloatArray, list[SpeechSpan]]:
    """Clips with pauses between them, and where they are."""
    parts, truth, at = [np.zeros(SAMPLE_RATE, np.float32)], [], SAMPLE_RATE
    for clip in clips:
        loud = np.flatnonzero(np.abs(clip) > 0.01 * np.abs(clip).max())
        truth.append(SpeechSpan(at + int(loud[0]), at + int(loud[-1])))
        parts += [clip, _PAUSES[kind](random)]
        at += len(clip) + _PAUSE
    return np.concatenate(parts), truth


def _at_snr(samples: FloatArray, truth: list[SpeechSpan], random: np.random.Generator) -> FloatArray:
    power = np.mean(np.concatenate([samples[span.begin : span.end] for span in truth]) ** 2)
    noise = random.normal(0, np.sqrt(power / 10 ** (_SNR_DB / 10)), len(samples))
    return (samples + noise).astype(np.float32)


def _mask(spans: list[SpeechSpan], samples: int) -> np.typing.NDArray[np.bool_]:
    mask = np.zeros(samples, bool)
    for span in spans:
        mask[span.begin : span.end] = True
    return mask


def _found(samples: FloatArray) -> list[SpeechSpan]:
    detector = SpeechDetector(speech_network())
    return [*detector.push(samples), *detector.finish()]


def _row(name: str, samples: FloatArray, truth: list[SpeechSpan]) -> str:
    wanted, found = _mask(truth, len(samples)), _mask(_found(samples), len(samples))
    counts = (wanted.sum(), (wanted & found).sum(), (wanted & ~found).sum(), (~wanted).sum(), (found & ~wanted).sum())
    seconds = "".join(f"{count / SAMPLE_RATE:9.1f}" for count in counts)
    return f"{name:28}{seconds}"


def _cases(clips: list[FloatArray], random: np.random.Generator) -> Iterator[tuple[str, FloatArray, list[SpeechSpan]]]:
    for kind in _PAUSES:
        samples, truth = _joined(clips, kind, random)
        yield f"speech and {kind}", samples, truth
        yield f"speech and {kind}, 10 dB", _at_snr(samples, truth, random), truth
    for kind, make in _PAUSES.items():
        yield f"{kind} alone", np.concatenate([make(random) for _ in range(60)]), []


def _measure(clips: list[FloatArray], minutes: int) -> str:
    """The time and memory of a recording of so many minutes, in blocks of 10 s."""
    speech = np.concatenate(clips)
    block, network = np.resize(speech, 10 * SAMPLE_RATE), speech_network()
    detector = SpeechDetector(network)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started, cpu = time.perf_counter(), time.process_time()
    for _ in range(6 * minutes):
        detector.push(block)
    detector.finish()
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return (
        f"{minutes} minutes on one thread: {wall:.1f} s, {cpu:.1f} s of processor time, {more:.0f} MB more at the peak"
    )


def main(folder: Path, minutes: int) -> None:
    """Print the table and the time."""
    paths = sorted(folder.rglob("*.wav"))
    clips = [decode(path) for path in paths[:: max(1, len(paths) // _CLIPS)]][:_CLIPS]
    print(f"{'seconds':28}{'speech':>9}{'found':>9}{'missed':>9}{'other':>9}{'wrong':>9}")
    for name, samples, truth in _cases(clips, np.random.default_rng(0)):
        print(_row(name, samples, truth))
    print(_measure(clips, minutes))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 60)
