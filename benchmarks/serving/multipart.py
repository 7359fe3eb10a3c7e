"""What a form costs: CPU of the service for ``multipart/form-data`` over that for a body which is the file.

python -m benchmarks.serving multipart --bundle bundles/mine --data recordings
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

import emotions
from emotions.files.atomic import scratch_folder
from serving.benchmark.driver.clips import Clip, read_clips
from serving.benchmark.driver.interleaved import interleaved
from serving.benchmark.driver.load_generator import Job
from serving.benchmark.driver.server_process import started
from serving.benchmark.driver.target import OURS, Target, driven
from serving.benchmark.driver.trace import OK

_CONNECTIONS = 16
_TOLERANCE = 1e-4
_BOUNDARY = "e3b0c44298fc1c149afbf4c8996fb924"


def _form(content: bytes) -> bytes:
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="clip.wav"\r\n'
    return f"{head}Content-Type: audio/wav\r\n\r\n".encode() + content + f"\r\n--{_BOUNDARY}--\r\n".encode()


FORM = replace(OURS, content_type=f"multipart/form-data; boundary={_BOUNDARY}", body=_form)
"""The service, asked by a form."""


def form_cost(bundle: Path, data: Path, clips: int, rounds: int) -> tuple[float, float, float]:
    """Milliseconds of CPU that a form takes over the file as the body, at 16 connections: median, lowest, highest.

    Args:
        bundle: the bundle.
        data: folder of recordings.
        clips: how many of them, evenly spread, a round sends.
        rounds: of both, in turns.
    """
    sent, _ = read_clips(emotions.load(bundle, device="cpu"), data, clips)
    serve = [str(Path(sys.executable).with_name("emotions")), "serve", "--bundle", str(bundle.resolve()), "--port"]
    with scratch_folder("emotions-benchmark") as scratch, ExitStack() as stack:
        server = stack.enter_context(started(serve, {"EMOTIONS_DEVICE": "cpu"}, scratch / "log", "/readyz"))
        targets = {
            name: stack.enter_context(driven(server, api, sent)) for name, api in {"file": OURS, "form": FORM}.items()
        }
        costs = interleaved({name: partial(_cost, target, sent) for name, target in targets.items()}, rounds)
    found = [form - file for form, file in zip(costs["form"], costs["file"], strict=True)]
    return median(found), min(found), max(found)


def _cost(target: Target, clips: Sequence[Clip]) -> float:
    """Milliseconds of CPU a request; RuntimeError where one was not answered as it should be."""
    trace, cpu_sec = target.run(Job(streams=_CONNECTIONS, count=len(clips)))
    if trace.statuses[OK] < len(clips) or trace.max_abs_diff > _TOLERANCE:
        raise RuntimeError(f"answers: {trace.statuses}, off by {trace.max_abs_diff}")
    return 1_000 * cpu_sec / len(clips)
