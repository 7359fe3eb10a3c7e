"""What a decoder costs a recording: ``python -m benchmarks.decoders [REPEATS]``.

Clips of 3 s in several formats are decoded in turn by the thread alone and as the service does, interleaved; printed
are the medians in milliseconds.
"""

from __future__ import annotations

import io
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import soundfile

from emotions.audio import decode
from emotions.audio.decoders.read import read

KINDS = (("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"))
RATE = 16_000


def main(repeats: int) -> None:
    """Print the medians of so many repeats."""
    noise = np.random.default_rng(0).normal(0, 0.1, 3 * RATE).astype(np.float32)
    print("format                thread  as served  more (ms)")
    for container, subtype in KINDS:
        file = io.BytesIO()
        soundfile.write(file, noise, RATE, format=container, subtype=subtype)
        content = file.getvalue()
        ways: tuple[Callable[[bytes], object], ...] = (decode.read, read)
        took = [[_timed(way, content) for way in ways] for _ in range(repeats + 10)][10:]
        before, after = (1000 * statistics.median(column) for column in zip(*took, strict=True))
        print(f"{container + ' ' + subtype:20} {before:7.2f} {after:10.2f} {after - before:10.2f}")


def _timed(work: Callable[[bytes], object], content: bytes) -> float:
    started = time.perf_counter()
    work(content)
    return time.perf_counter() - started


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
