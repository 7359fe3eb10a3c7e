"""Live streams beside uploads: how long after it was spoken something is measured, and what that costs the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from emotions.audio.decode import SAMPLE_RATE
from emotions.audio.decoders.read import read
from emotions.audio.speech.detector import SpeechDetector
from emotions.audio.speech.network import speech_network
from emotions.audio.windows import FloatArray
from emotions.errors import ConfigError
from serving.benchmark.driver.clips import Clip
from serving.benchmark.driver.load_generator import Job
from serving.benchmark.driver.server_process import memory_watched
from serving.benchmark.driver.stream_clients import Received, StreamClients, StreamJob, StreamRecord
from serving.benchmark.driver.target import Target
from serving.benchmark.driver.trace import poisson
from serving.benchmark.scenarios.profile import BenchmarkProfile
from serving.benchmark.scenarios.scenarios import Figures, growth

STREAMS = 20
UPLOADS_PER_SEC = 4.0
_FAST_STREAMS = 8
_ALONE_SEC = 60.0
"""Most seconds for which uploads are measured alone."""
_PAUSE_SEC = 1.0
_QUANTILES = {"p50": 50, "p95": 95, "p99": 99, "max": 100}
_BEHIND_SEC = 1.0
"""A stream whose last measurements lag by more has fallen behind."""


def streams(target: Target, clips: Sequence[Clip], profile: BenchmarkProfile) -> Figures:
    """Uploads alone, then beside paced streams, then streams as fast as the service reads.

    Args:
        target: the service.
        clips: recordings, which streams repeat with pauses between them.
        profile: length of the run; streams are as long as a soak.
    """
    seconds = profile.soak_times * profile.seconds
    audio = [_talk(clips, number, seconds) for number in range(STREAMS)]
    vad = _speech_in(audio[0])
    seed = profile.seeds(9)[0]
    with StreamClients(target.server.port, [_pcm(each) for each in audio]) as clients:
        clients.run(StreamJob(1, paced=False, vad=vad))  # warms up
        alone, _ = target.run(Job(schedule=poisson(UPLOADS_PER_SEC, min(seconds, _ALONE_SEC), seed)))
        cpu = target.server.cpu_sec()
        with memory_watched(target.server) as memory, ThreadPoolExecutor(1) as pool:
            paced = pool.submit(clients.run, StreamJob(STREAMS, paced=True, vad=vad))
            beside, _ = target.run(Job(schedule=poisson(UPLOADS_PER_SEC, seconds, seed)))
            records = paced.result()
        cores = (target.server.cpu_sec() - cpu) / seconds
        fast = clients.run(StreamJob(_FAST_STREAMS, paced=False, vad=vad))
    before, after = alone.latency_ms(), beside.latency_ms()
    return {
        "streams": STREAMS,
        "seconds": seconds,
        "vad": vad,
        "uploads_per_sec": UPLOADS_PER_SEC,
        "uploads_alone_ms": before,
        "uploads_beside_ms": after,
        "uploads_p99_ratio": after["p99"] / before["p99"],
        "uploads_lost": beside.failed + beside.shed,
        **paced_figures(records),
        "server_cores": cores,
        "streams_per_core": STREAMS / cores,
        "memory_growth": growth(memory),
        "fast_streams": _FAST_STREAMS,
        "fast_audio_per_sec": sum(each.audio_sec for each in fast) / max(each.seconds for each in fast),
        "fast_errors": sum(bool(each.error) for each in fast),
    }


def paced_figures(records: Sequence[StreamRecord]) -> Figures:
    """Delays of the messages of paced streams, each from the moment at which the audio that it is about was spoken.

    Args:
        records: one a stream.
    """
    received = [each for record in records for each in record.received]
    interval = [each.at - each.end_sec for each in received if each.trigger == "interval"]
    stopped = [each.at - each.end_sec for each in received if each.trigger == "speech_stopped"]
    first = [delay for record in records for delay in _first_measurements(record.received)]
    late = [sec for record in records for sec in record.late_sec]
    return {
        "lag_ms": _quantiles(interval),
        "started_to_measurement_ms": _quantiles(first),
        "stopped_to_measurement_ms": _quantiles(stopped),
        "measurements": len(interval) + len(stopped),
        "behind": sum(_lags_at_end(record) > _BEHIND_SEC for record in records),
        "errors": sum(bool(record.error) for record in records),
        "slip_p99_ms": 1000 * float(np.percentile(late or [0.0], 99)),
    }


def _first_measurements(received: Sequence[Received]) -> Iterator[float]:
    """Seconds from the begin of each utterance to its first measurement."""
    begin: float | None = None
    for each in received:
        if each.kind == "speech.started":
            begin = each.start_sec
        elif each.kind == "measurement" and begin is not None:
            yield each.at - begin
            begin = None


def _lags_at_end(record: StreamRecord) -> float:
    lags = [each.at - each.end_sec for each in record.received if each.trigger == "interval"]
    return float(np.median(lags[-5:] or [0.0]))


def _quantiles(seconds: Sequence[float]) -> dict[str, float]:
    return {name: 1000 * float(np.percentile(seconds, share)) for name, share in _QUANTILES.items()} if seconds else {}


def _talk(clips: Sequence[Clip], first: int, seconds: float) -> FloatArray:
    """Recordings with pauses between them, (samples,) at 16 kHz, for so many seconds."""
    parts, samples, at = list[FloatArray](), 0, first
    pause = np.zeros(int(_PAUSE_SEC * SAMPLE_RATE), np.float32)
    while samples < seconds * SAMPLE_RATE:
        parts += [read(clips[at % len(clips)].content).waveform, pause]
        samples += len(parts[-2]) + len(pause)
        at += 1
    return np.concatenate(parts)[: int(seconds * SAMPLE_RATE)]


def _pcm(samples: FloatArray) -> bytes:
    return np.round(samples * 32_767).astype("<i2").tobytes()


def _speech_in(samples: FloatArray) -> bool:
    """Whether speech is found: in synthetic recordings there is none."""
    try:
        detector = SpeechDetector(speech_network())
    except ConfigError:
        return False
    return bool(detector.push(samples) + detector.finish())
