"""Folders at scale, in one run: speed against the bare session, the cost of broken files, memory and time by size.

python -m serving.benchmark.scenarios.folder_scale --bundle bundles/mine --data recordings --files 20000

The recordings are listed again and again until there are enough. Rounds of every measurement are interleaved, so that
a machine that drifts drifts for all; memory and time by size are those of processes of their own.
"""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import soundfile
import typer

from emotions.folder.predict_files import ParallelRuns, open_parallel, predict_files
from emotions.inputs.discovery import find_files
from emotions.inputs.input_file import InputFile
from emotions.predictor import Predictor, load
from serving.benchmark.driver.clips import read_clips
from serving.benchmark.layers.layers import session_layers
from serving.tables.columns import columns
from serving.tables.writer import open_part, rows

_CLIPS = 400
_LEAST_ROUNDS = 3
_BROKEN_IN = 100
_CHILD = """
import json, sys
from pathlib import Path
from serving.batch.predict import Options, predict_to_table
listed, bundle, output, threads = sys.argv[1:]
options = Options(lists=[listed], quiet=True, log_format="json", threads=int(threads) or None, device="cpu")
totals = predict_to_table([], Path(bundle), Path(output), options)
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(json.dumps({"files": totals.files, "sec": totals.wall_sec, "peak_mb": int(status["VmHWM"].split()[0]) / 1024}))
"""


def make_broken(folder: Path) -> list[InputFile]:
    """Write files that cannot be classified, of ten kinds, and name them."""
    folder.mkdir()
    contents = {"empty.wav": b"", "text.wav": b"no audio " * 99, "archive.mp3": b"PK\3\4" + bytes(999)}
    contents |= {"header.flac": b"fLaC", "random.ogg": b"OggS" + bytes(range(256))}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    noise = np.random.default_rng(0).normal(0, 0.1, 32_000)
    soundfile.write(folder / "cut.wav", noise, 16_000)
    (folder / "cut.wav").write_bytes((folder / "cut.wav").read_bytes()[:9_000])
    soundfile.write(folder / "silent.wav", 0 * noise, 16_000)
    soundfile.write(folder / "short.wav", noise[:99], 16_000)
    soundfile.write(folder / "nan.wav", np.full(9_000, np.nan), 16_000, subtype="FLOAT")
    names = [*contents, "cut.wav", "silent.wav", "short.wav", "nan.wav", "gone.wav"]
    return [InputFile(folder / name, name) for name in names]


def repeated(files: Sequence[InputFile], count: int) -> list[InputFile]:
    """``count`` files: the given ones again and again."""
    return [*itertools.islice(itertools.cycle(files), count)]


def with_broken(files: Sequence[InputFile], broken: Sequence[InputFile]) -> list[InputFile]:
    """The same number of files, one in a hundred of them broken, of each kind in turn."""
    kinds = itertools.cycle(broken)
    return [next(kinds) if at % _BROKEN_IN == _BROKEN_IN // 2 else file for at, file in enumerate(files)]


def _timed(run: Callable[..., object], *arguments: object) -> float:
    started = time.perf_counter()
    run(*arguments)
    return time.perf_counter() - started


def _to_table(predictor: Predictor, parallel_batches: ParallelRuns, files: Sequence[InputFile], path: Path) -> None:
    names = columns(predictor.manifest.targets)
    template = dict.fromkeys(names)
    with open_part(path, names) as write:
        for result in predict_files(predictor, files, parallel_batches=parallel_batches):
            for cells in rows(result, template):
                write(cells)


def speeds(bundle: Path, data: Path, count: int, threads: int | None, scratch: Path) -> dict[str, float]:
    """Clips/s of the bare session at its best batch and files/s of a folder, whole and with broken files."""
    predictor = load(bundle, device="cpu", threads=threads)
    folder = open_parallel(bundle, device="cpu", threads=threads)
    clips, _ = read_clips(predictor, data, _CLIPS)
    layers = session_layers(predictor, clips)
    bare = min(layers, key=lambda layer: (layer.run(), layer.run().wall_sec)[1])
    files = [clip.file for clip in clips]
    mixed = with_broken(files, make_broken(scratch / "broken"))
    measured: dict[str, list[float]] = {"bare": [], "folder": [], "broken": []}
    cpu_sec = []
    for _ in range(max(_LEAST_ROUNDS, count // len(files))):
        measured["bare"].append(len(files) / _timed(bare.run))
        cpu = time.process_time()
        for name, listed in (("folder", files), ("broken", mixed)):
            seconds = _timed(_to_table, *folder, listed, scratch / "table.csv")
            measured[name].append(len(listed) / seconds)
        cpu_sec.append((time.process_time() - cpu) / (len(files) + len(mixed)))
    ratios = [folder / alone for folder, alone in zip(measured["folder"], measured["bare"], strict=True)]
    losses = [mixed / folder for mixed, folder in zip(measured["broken"], measured["folder"], strict=True)]
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


def by_size(bundle: Path, data: Path, count: int, threads: int, scratch: Path) -> list[dict[str, float]]:
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


def main(
    bundle: Annotated[Path, typer.Option(metavar="DIR", help="The bundle.")],
    data: Annotated[Path, typer.Option(metavar="FOLDER", help="Recordings.")],
    files: Annotated[int, typer.Option(min=100, help="Files to classify in all.")] = 2_000,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 for one a core.")] = 0,
) -> None:
    """Measure and print JSON."""
    with tempfile.TemporaryDirectory(prefix="emotions-benchmark-") as scratch:
        report: dict[str, object] = dict(speeds(bundle, data, files, threads or None, Path(scratch)))
        small, large = by_size(bundle, data, files, threads, Path(scratch))
    report |= {"by_size": [small, large], "memory_growth": large["peak_mb"] / small["peak_mb"] - 1}
    report["time_growth_per_file"] = large["sec"] / large["files"] / (small["sec"] / small["files"]) - 1
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    typer.run(main)
