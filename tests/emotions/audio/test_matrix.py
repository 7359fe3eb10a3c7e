"""Every kind of recording, equal to ffmpeg's samples or refused with its reason; ``pytest -s`` prints the table.

The count is exact, or within a frame of the codec's delay where ``Recording.slack`` says so: for streams that are
joined or change on the way, and for the tail of Vorbis, which libvorbis keeps and ffmpeg drops.
"""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from emotions.audio import decode
from emotions.audio.windows import FloatArray
from emotions.errors import AudioError, IncompleteAudio, NotAudio
from tests.conftest import needs
from tests.recordings import Recording, Workshop

LEAST_FILES = 200


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Recording]:
    needs(bool(shutil.which("ffmpeg") and shutil.which("sox")), "ffmpeg and sox are needed as commands")
    return Workshop(tmp_path_factory.mktemp("recordings")).all()


def test_every_kind_is_read_as_ffmpeg_does_or_refused(recordings: list[Recording]) -> None:
    with ThreadPoolExecutor(4) as pool:
        results = [*pool.map(outcome, recordings)]
    table: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for recording, (got, _) in zip(recordings, results, strict=True):
        table[recording.kind][got] += 1
    print("\n".join(["", *(f"{kind:<28}{_counted(counts)}" for kind, counts in sorted(table.items()))]))
    wrong = [
        f"{recording.kind}: {recording.path.name}: {got}, not {recording.outcome} ({why})"
        for recording, (got, why) in zip(recordings, results, strict=True)
        if got != recording.outcome
    ]
    assert not wrong, "\n".join(wrong)
    assert len(recordings) >= LEAST_FILES


def outcome(recording: Recording) -> tuple[str, str]:
    """What became of a recording, and why."""
    try:
        got = decode.read(recording.path)
    except NotAudio as error:
        return ("refused", str(error)) if len(str(error)) > 10 else ("unexplained", str(error))
    if difference := compared(got.waveform, recording):
        return "other", difference
    if not got.flaws:
        return "same", ""
    with pytest.raises(IncompleteAudio, match=r"."):
        decode.read(recording.path, strict=True)
    return ("marked", "") if got.flaws[0].code == "truncated" else (got.flaws[0].code, str(got.flaws[0]))


def compared(waveform: FloatArray, recording: Recording) -> str:
    """How samples (samples,) differ from those that are expected; empty where they do not."""
    parts = recording.expected()
    expected = np.concatenate(parts)
    if not len(expected):
        return f"ffmpeg reads nothing, we {len(waveform)}"
    if abs(len(waveform) - len(expected)) > recording.slack:
        return f"{len(waveform)} samples, ffmpeg has {len(expected)}"
    # Each part is compared from its own end of the recording, so that a delay at the joint shifts nothing.
    first, last = parts[0], parts[-1]
    head = len(first) - recording.joint if len(parts) > 1 else min(len(first), len(waveform))
    worst = float(np.abs(waveform[:head] - first[:head]).max(initial=0))
    if len(parts) > 1:
        worst = max(
            worst, min(_at(waveform, last, shift, recording) for shift in _shifts(waveform, parts, recording.slack))
        )
    return "" if worst <= recording.limit else f"differs by {worst:.1e}"


def _shifts(waveform: FloatArray, parts: list[FloatArray], slack: int) -> range:
    """Where the last part may begin: a codec's delay around the joint, to the sample."""
    middle = len(parts[0])
    return range(max(0, middle - slack), min(len(waveform), middle + slack))


def _at(waveform: FloatArray, part: FloatArray, shift: int, recording: Recording) -> float:
    inner = part[recording.joint : -recording.joint]
    there = waveform[shift + recording.joint :][: len(inner)]
    return float(np.abs(there - inner).max(initial=0)) if len(there) == len(inner) else 1.0


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


def test_a_file_that_is_cut_inside_its_header_is_refused_or_marked(recordings: list[Recording], tmp_path: Path) -> None:
    for recording in recordings:
        if recording.kind.startswith("file"):
            path = tmp_path / recording.path.name
            path.write_bytes(recording.path.read_bytes()[:40])
            with pytest.raises(AudioError, match=r"."):
                decode.checked(decode.read(path, strict=True).waveform)
