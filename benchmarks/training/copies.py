"""Time and memory of the search for copies that the audit makes, with more and more clips."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from benchmarks.training.peak import forget_peak, peak_mb
from benchmarks.training.tones import tones
from training.data.checks.copies import find_matches
from training.data.checks.fingerprints import Bits, fingerprint

_FRAMES = 280


def compare_copies(sizes: Sequence[int]) -> Iterator[str]:
    """Lines with the seconds and peak memory of the search, for each kind and number of clips.

    Args:
        sizes: numbers of clips.
    """
    yield "copies sought among clips that are none (seconds, peak MB of the process, how many were taken for such)"
    for kind in _KINDS:
        for clips in sizes:
            seconds, peak, found = searched(kind, clips)
            yield f"  {clips:7d} clips  {kind:24} {seconds:9.2f} {peak:9.0f} {found:6.0f}"


def searched(kind: str, clips: int) -> list[float]:
    """What a search takes, in a process of its own: seconds, peak resident MB, matches.

    Args:
        kind: of fingerprints.
        clips: how many.
    """
    command = [sys.executable, "-m", "benchmarks.training.copies", kind, str(clips)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _of_tones(clips: int) -> list[Bits]:
    """Fingerprints that are often alike, of tones of 0.6 s."""
    return [fingerprint(wave) for wave in tones(clips)]


def _of_noise(clips: int) -> list[Bits]:
    """Fingerprints of random bits, of 2.8 s."""
    random = np.random.default_rng(0)
    return [random.integers(1, 1 << 32, _FRAMES, dtype=np.uint32) for _ in range(clips)]


_KINDS: Mapping[str, Callable[[int], list[Bits]]] = {"tones of 0.6 s": _of_tones, "random bits of 2.8 s": _of_noise}


def _measured(kind: str, clips: int) -> list[float]:
    fingerprints = _KINDS[kind](clips)
    forget_peak()
    started = time.perf_counter()
    found = find_matches(fingerprints)
    return [time.perf_counter() - started, peak_mb(), len(found)]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_measured(sys.argv[1], int(sys.argv[2]))) + "\n")
