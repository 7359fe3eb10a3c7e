"""Folders at scale, in one run: speed against the bare session, the cost of broken files, memory and time by size.

python -m benchmarks.serving folder --bundle bundles/mine --data recordings --files 20000

The recordings are listed again and again until there are enough. Rounds of every measurement are interleaved, so that
a machine that drifts drifts for all; memory and time by size are those of processes of their own.
"""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from emotions.files.atomic import scratch_folder
from emotions.folder.predict_files import open_parallel
from emotions.inputs.discovery import find_files
from emotions.inputs.input_file import InputFile
from emotions.predictor import load
from serving.benchmark.driver.clips import make_broken, read_clips
from serving.benchmark.driver.interleaved import interleaved
from serving.benchmark.layers.layers import predict_to_csv, session_layers

_CLIPS = 400
_LEAST_ROUNDS = 3
_BROKEN_IN = 100
_CHILD = """
import json, sys
from pathlib import Path
from serving.batch.options import Options
from serving.batch.predict import predict_to_table
listed, bundle, output, threads = sys.argv[1:]
options = Options(lists=[listed], quiet=True, log_format="json", threads=int(threads) or None, device="cpu")
totals = predict_to_table([], Path(bundle), Path(output), options)
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(json.dumps({"files": totals.files, "sec": totals.wall_sec, "peak_mb": int(status["VmHWM"].split()[0]) / 1024}))
"""


def repeated(files: Sequence[InputFile], count: int) -> list[InputFile]:
    """``count`` files: the given ones again and again."""
    return [*itertools.islice(itertools.cycle(files), count)]


def with_broken(files: Sequence[InputFile], broken: Sequence[InputFile]) -> list[InputFile]:
    """The same number of files, one in a hundred of them broken, of each kind in turn."""
    kinds = itertools.cycle(broken)
    return [next(kinds) if at % _BROKEN_IN == _BROKEN_IN // 2 else file for at, file in enumerate(files)]


def _costs(run: Callable[[], object]) -> tuple[float, float]:
    """Seconds, and CPU seconds of this process, that something takes."""
    started, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - started, time.process_time() - cpu


def _speeds(bundle: Path, data: Path, count: int, threads: int | None, scratch: Path) -> dict[str, float]:
    """Clips/s of the bare session at its best batch and files/s of a folder, whole and with broken files."""
    predictor = load(bundle, device="cpu", threads=threads)
    folder = open_parallel(bundle, device="cpu", threads=threads)
    clips, _ = read_clips(predictor, data, _CLIPS)
    layers = session_layers(predictor, clips)
    bare = min(layers, key=lambda layer: (layer.run(), layer.run().wall_sec)[1])
    files = [clip.file for clip in clips]
    mixed = with_broken(files, make_broken(scratch / "broken"))
    table = scratch / "table.csv"
    candidates: dict[str, Callable[[], tuple[float, float]]] = {
        "bare": lambda: _costs(bare.run),
        "folder": lambda: _costs(lambda: predict_to_csv(*folder, files, table)),
        "broken": lambda: _costs(lambda: predict_to_csv(*folder, mixed, table)),
    }
    costs = interleaved(candidates, max(_LEAST_ROUNDS, count // len(files)), warm_up=False)
    measured = {name: [len(files) / seconds for seconds, _ in rounds] for name, rounds in costs.items()}
    cpu_sec = [
        (whole + with_some) / (2 * len(files))
        for (_, whole), (_, with_some) in zip(costs["folder"], costs["broken"], strict=True)
    ]
    ratios = [folder / alone for folder, alone in zip(measured["folder"], measured["bare"], strict=True)]
    losses = [broken / folder for broken, folder in zip(measured["broken"], measured["folder"], strict=True)]
    return {
        "batch": float(bare.name.rpartition(" ")[2]),
        "bare_clips_per_sec": statistics.median(measured["bare"]),
        "folder_cpu_ms_a_file": 1000 * statistics.median(cpu_sec),
        "folder_files_per_sec": statistics.median(measured["folder"]),
        "of_bare": statistics.median(ratios),
        "of_bare_lowest": min(ratios),
        "of_bare_highest": max(ratios),
        "with_broken_of_whole": statistics.median(losses),
    }


def _by_size(bundle: Path, data: Path, count: int, threads: int, scratch: Path) -> list[dict[str, float]]:
    """Files, seconds and peak memory of processes that classify a tenth of the files, and all of them."""
    files = find_files([data.absolute()]).files
    measured = []
    for size in (count // 10, count):
        listed = scratch / f"{size}.txt"
        listed.write_text("\n".join(str(file.source) for file in repeated(files, size)))
        command = [sys.executable, "-c", _CHILD, str(listed), str(bundle), str(scratch / f"{size}.csv"), str(threads)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        measured.append(json.loads(done.stdout.splitlines()[-1]))
    return measured


def measure(bundle: Path, data: Path, files: int, threads: int) -> dict[str, object]:
    """Speed, the cost of broken files, and memory and time by size.

    Args:
        bundle: the bundle.
        data: folder of recordings.
        files: how many to classify in all.
        threads: CPU threads; 0 for one a core.
    """
    with scratch_folder("emotions-benchmark") as scratch:
        report: dict[str, object] = dict(_speeds(bundle, data, files, threads or None, scratch))
        small, large = _by_size(bundle, data, files, threads, scratch)
    report |= {"by_size": [small, large], "memory_growth": large["peak_mb"] / small["peak_mb"] - 1}
    report["time_growth_per_file"] = large["sec"] / large["files"] / (small["sec"] / small["files"]) - 1
    return report
