"""A folder and the service on the GPU against the bare session, and the service drained and restarted under load."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import emotions
from benchmarks.gpu.sessions import timed
from benchmarks.gpu.step import Bench, Figures, Skipped
from benchmarks.gpu.steps.bundles import BASE
from emotions.folder.predict_files import open_parallel
from emotions.predictor import Predictor
from serving.benchmark.driver.clips import Clip, make_clips, read_clips
from serving.benchmark.layers.layers import predict_to_csv, stacked

_FAKE = "benchmarks.gpu.fake_service:EmotionService"
_OK, _LEAVING = 200, 503


def folder(bench: Bench) -> Figures:
    """Files a second from disk to a table against windows a second of the model alone, one window a file."""
    predictor, clips = _clips(bench)
    bare = _bare(bench, predictor, clips)
    yield "bare session, windows/s", bare
    model, runs = open_parallel(bench.bundle(BASE), device="cuda", variant="fp16")
    files = [clip.file for clip in clips] * (1 if bench.dry else 4)
    table = bench.scratch / "table.csv"
    taken = timed(lambda: predict_to_csv(model, runs, files, table), bench.measured_sec)
    yield "folder, files/s", len(files) / taken
    yield "of the bare session", len(files) / taken / bare
    results = predict_to_csv(model, runs, files, table)
    yield "errors", sum(result.prediction is None for result in results)


def service(bench: Bench) -> Figures:
    """Requests a second over HTTP against windows a second of the model alone, and the latency of one caller.

    Raises:
        Skipped: BentoML is not installed.
    """
    _need_bentoml()
    from serving.benchmark.driver.load_generator import Job
    from serving.benchmark.driver.target import OURS, driven

    predictor, clips = _clips(bench)
    bare = _bare(bench, predictor, clips)
    yield "bare session, windows/s", bare
    began = time.perf_counter()
    with _running(bench, "service") as server, driven(server, OURS, clips) as target:
        yield "ready after, s", server.ready - began
        yield "first answer, ms", 1000 * float(target.run(Job(count=1))[0].latency[0])
        yield "one caller, ms", target.run(Job(count=len(clips)))[0].latency_ms()
        seconds = 0.3 if bench.dry else 3.0
        best = 0.0
        for streams in (8, 64, 128):
            target.run(Job(streams=streams, count=streams))
            trace = target.run(Job(streams=streams, seconds=seconds))[0]
            found = {"requests/s": trace.goodput, **trace.latency_ms(), "not answered": trace.error_share}
            best = max(best, trace.goodput)
            yield f"{streams} callers", {**found, "largest difference": trace.max_abs_diff}
        yield "of the bare session", best / bare
        yield "memory, MB", server.memory_bytes() / 1e6


def drain(bench: Bench) -> Figures:
    """SIGTERM under load: what was in flight is answered; then a new start, under load as well.

    Raises:
        Skipped: BentoML is not installed.
        RuntimeError: a request that was sent before the signal was lost.
    """
    _need_bentoml()
    _, clips = _clips(bench)
    lost = 0
    for start in ("first start", "second start"):
        began = time.perf_counter()
        with _running(bench, start.replace(" ", "-")) as server:
            ready = server.ready - began
            found = _drained(bench, server, clips)
        yield start, {"ready after, s": ready, **found}
        lost += int(found["lost"])
    if lost:
        raise RuntimeError(f"{lost} requests that were sent before SIGTERM were neither answered nor refused")


def _drained(bench: Bench, server: Any, clips: list[Clip]) -> dict[str, float]:
    from serving.benchmark.driver.load_generator import Client, Job, Record
    from serving.benchmark.driver.target import OURS

    records: list[Record] = []
    load_sec = 1.5 if bench.dry else 3.0
    with Client(server.port, [OURS.request(clip.content) for clip in clips]) as client:
        load = threading.Thread(target=lambda: records.append(client.run(Job(streams=16, seconds=load_sec))))
        load.start()
        time.sleep(load_sec / 2)
        signalled = time.perf_counter()
        server.process.terminate()
        server.process.wait(30)
        ended = time.perf_counter() - signalled
        load.join()
    record = records[0]
    after = signalled - record.started
    before = Counter(reply.status for query in record.queries if query.sent < after for _, reply in query.replies)
    return {
        "answered": before[_OK],
        "refused": before[_LEAVING],
        "lost": before.total() - before[_OK] - before[_LEAVING],
        "ended after, s": ended,
    }


def _need_bentoml() -> None:
    for name in ("bentoml", "psutil"):
        if find_spec(name) is None:
            raise Skipped(f"{name} is not installed; pip install 'emotions-toolkit[serve]'")


@contextlib.contextmanager
def _running(bench: Bench, name: str) -> Iterator[Any]:
    """The service on the GPU, on the base-size bundle in fp16, until the block ends."""
    from serving.benchmark.driver.server_process import running
    from serving.serve_command import TARGET

    settings = {
        "EMOTIONS_BUNDLE": str(bench.bundle(BASE)),
        "EMOTIONS_DEVICE": "cuda",
        "EMOTIONS_VARIANT": "fp16",
        "EMOTIONS_WORKERS": "1",
        "EMOTIONS_CACHE": os.environ.get("EMOTIONS_CACHE", ""),
    }
    log = bench.folder / "logs" / f"{name}.log"
    with running(
        {key: value for key, value in settings.items() if value}, log, _FAKE if bench.dry else TARGET
    ) as server:
        yield server


def _clips(bench: Bench) -> tuple[Predictor, list[Clip]]:
    """The model on the GPU, and recordings of one window each."""
    predictor = emotions.load(bench.bundle(BASE), device="cuda", variant="fp16")
    recordings = bench.scratch / "recordings"
    if not recordings.exists():
        unfinished = Path(f"{recordings}.unfinished")
        unfinished.mkdir(exist_ok=True)
        make_clips(unfinished, 8 if bench.dry else 128, 0, f"{bench.window_sec}-{bench.window_sec}")
        unfinished.rename(recordings)
    return predictor, read_clips(predictor, recordings, 1000)[0]


def _bare(bench: Bench, predictor: Predictor, clips: list[Clip]) -> float:
    """Windows a second of the toolkit's session at its best size of a batch, from memory."""
    samples, lengths = stacked([clip.windows for clip in clips])
    best = 0.0
    for size in bench.batches:
        batch = samples[:size], lengths[:size]
        taken = timed(partial(predictor.session.run, *batch), bench.measured_sec)
        best = max(best, len(batch[1]) / taken)
    return best
