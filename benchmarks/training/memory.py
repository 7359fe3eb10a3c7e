"""Peak memory of filling the feature cache and training from it, with more and more clips."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from benchmarks.training.corpus import IMAGE_SIZE, batches, read_images, synthesise, untrained
from benchmarks.training.peak import peak_mb
from benchmarks.training.timing import trained

FACTOR = 4
SHARE = 0.1
_SEC = 2.0
_BATCH = 32


def compare_memory(clips: int) -> list[str]:
    """Lines that compare the peak memory of a process for ``clips`` clips and for ``FACTOR`` times as many."""
    few, many = peak(clips), peak(FACTOR * clips)
    added = (FACTOR - 1) * clips * (round(_SEC * 16_000) * 4 + IMAGE_SIZE * IMAGE_SIZE * 4) / 1e6
    return [
        f"peak memory: decoding, filling the cache and an epoch from it, clips of {_SEC:g} s",
        f"  {clips:7d} clips               {few:9.1f} MB",
        f"  {FACTOR * clips:7d} clips               {many:9.1f} MB",
        f"  growth / data added         {(many - few) / added:9.3f}   (of {added:.0f} MB; wanted: at most {SHARE:g})",
    ]


def peak(clips: int) -> float:
    """Peak resident memory in MB of a process of its own that trains an epoch on so many clips."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.training.memory", folder, str(clips)]
        settings = {**os.environ, "EMOTIONS_CACHE": str(Path(folder) / "cache")}
        done = subprocess.run(command, env=settings, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.splitlines()[-1])


def _measured(folder: Path, clips: int) -> float:
    images = read_images(synthesise(folder / "data", clips, _SEC), clips, _SEC, "test_efficientnet")
    trained(untrained(images.model, images.windows), batches(images.features, _BATCH), 1)
    return peak_mb()


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.stdout.write(f"{_measured(Path(sys.argv[1]), int(sys.argv[2]))}\n")
