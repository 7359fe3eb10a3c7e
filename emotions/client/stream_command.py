"""``emotions stream``: a recording or the microphone to a service, a line for each thing that it says."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emotions.errors import ConfigError, MissingExtra, plain

if TYPE_CHECKING:
    from emotions.audio.windows import FloatArray
    from emotions.client.messages import Json
    from emotions.client.stream_options import Block

MICROPHONE = "mic"
_RATE = 16_000
_BLOCK = _RATE // 10
_MOST_SHOWN = 3
"""Labels of a target in a line."""


def stream(
    source: Annotated[str, typer.Argument(metavar="FILE|mic", help="A recording, or mic for the microphone.")],
    url: Annotated[str, typer.Option(help="Address of the service.")] = "http://127.0.0.1:3000",
    key_env: Annotated[
        str, typer.Option("--key-env", metavar="NAME", help="Variable with the API key, where one is needed.")
    ] = "EMOTIONS_API_KEY",
    interval_ms: Annotated[
        int, typer.Option("--interval", min=100, max=60_000, metavar="MS", help="Between two measurements.")
    ] = 1000,
    all_audio: Annotated[bool, typer.Option("--all", help="Classify all of the audio, not its speech alone.")] = False,
    realtime: Annotated[bool, typer.Option("--realtime", help="Send a file as slowly as it plays.")] = False,
) -> None:
    """Classify live: a line a measurement, and in the end one a segment. Ctrl-C ends the microphone."""
    from emotions.client.client import Client

    ended = threading.Event()
    audio = _until(ended, _microphone() if source == MICROPHONE else _recording(Path(source), realtime=realtime))
    before = signal.signal(signal.SIGINT, lambda *_: ended.set())
    try:
        with Client(url, os.environ.get(key_env)) as client:
            options: dict[str, Any] = {"interval_ms": interval_ms, "vad": not all_audio}
            for message in client.stream(audio, rate=_RATE, encoding="pcm_f32le", **options):
                for line in lines(message):
                    typer.echo(line)
    finally:
        signal.signal(signal.SIGINT, before)


def lines(message: Json) -> list[str]:
    """What to show of a message of the service: nothing of some.

    Args:
        message: as ``Client.stream`` gives it.
    """
    kind = message["type"]
    if kind in ("speech.started", "speech.stopped"):
        at = message["audio_start_ms" if kind == "speech.started" else "audio_end_ms"]
        return [f"{_seconds(at)}  {kind.replace('.', ' ')}"]
    if kind == "measurement":
        return [f"{_seconds(message['audio_end_ms'])}  {_answer(message)}"]
    if kind == "error":
        return [plain(f"{message['code']}: {message['message']}")]
    if kind == "session.closed":
        segments = message["segments"]
        return [f"{message['audio_ms'] / 1000:.1f} s of audio, {len(segments)} segments", *map(_segment, segments)]
    return []


def _segment(segment: Json) -> str:
    return f"{_seconds(segment['audio_start_ms'])} - {_seconds(segment['audio_end_ms'])}  {_answer(segment)}"


def _seconds(ms: float) -> str:
    return f"{ms / 1000:7.2f} s"


def _answer(answer: Json) -> str:
    """The most probable labels of each target, and values."""
    best = [
        sorted(scores.items(), key=lambda item: -item[1])[:_MOST_SHOWN] for scores in answer["probabilities"].values()
    ]
    values = [[*scores.items()] for scores in answer.get("values", {}).values()]
    told = [" ".join(f"{name} {score:.2f}" for name, score in scores) for scores in best + values]
    unsure = "  (unknown)" if answer.get("unknown") else ""
    return plain(" | ".join(told) + unsure)


def _recording(path: Path, *, realtime: bool) -> Iterator[FloatArray]:
    """The blocks of a file, mono at 16 kHz, as a folder run reads it; ``realtime``: as slowly as it plays."""
    from emotions.audio.decode import ReadOptions
    from emotions.audio.decoders.read import open_waveform

    if not path.is_file():
        raise ConfigError(f"{path}: is no file")
    started, samples = time.monotonic(), 0
    with open_waveform(path, ReadOptions()) as opened:
        for part in (block[at : at + _BLOCK] for block in opened.blocks for at in range(0, len(block), _BLOCK)):
            samples += len(part)
            if realtime:
                time.sleep(max(0.0, started + samples / _RATE - time.monotonic()))
            yield part


def _microphone() -> Iterator[Block]:
    """Blocks of 100 ms of the default microphone, without end."""
    import numpy as np

    try:
        import sounddevice
    except ImportError as error:
        raise MissingExtra("mic", "sounddevice") from error
    except OSError as error:  # its library is not on this system
        raise ConfigError(f"the microphone needs the library PortAudio ({error})") from error
    try:
        with sounddevice.RawInputStream(samplerate=_RATE, channels=1, dtype="int16", blocksize=_BLOCK) as opened:
            while True:
                yield np.frombuffer(opened.read(_BLOCK)[0], np.int16)
    except sounddevice.PortAudioError as error:
        raise ConfigError(f"the microphone cannot be used ({error})") from error


def _until(ended: threading.Event, blocks: Iterator[Any]) -> Iterator[Any]:
    for block in blocks:
        if ended.is_set():
            return
        yield block
