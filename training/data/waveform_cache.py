"""Cache: every recording decoded and resampled once, kept as memory-mapped arrays.

Two files a clip: what is known of it (``facts/<key>.json``, keyed by the file's path, size and time, the clip's times
and the decoder), and its samples (``<sha256 of the samples>.npy``), shared by clips that sound the same.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import av
import soundfile
import soxr

from emotions.audio.decode import Recording, read
from emotions.audio.windows import FloatArray
from emotions.errors import AudioError, DataError
from emotions.files import atomic_file, cache_root
from training.data.array_store import ArrayStore, clear, describe, writing
from training.data.clips import Clip, ClipTable
from training.data.data_faults import printable, some
from training.data.facts import ClipInfo, measure
from training.data.progress import watched

__all__ = ["ClipInfo", "WaveformCache", "clear", "describe", "usable"]

MAX_SEC = 4 * 3600
"""Longest recording that is decoded for training, in seconds."""

_DECODER = f"1 {soundfile.__libsndfile_version__} {soxr.__version__} {av.__version__}"
_UNREADABLE = "unreadable"
_LOG = logging.getLogger(__name__)


class WaveformCache:
    """Decoded clips on disk. Picklable; any number of processes may share one folder.

    Args:
        root: the cache's folder, by default ``waveforms`` below the toolkit's cache folder; made with mode 0700.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.store = ArrayStore(root or cache_root() / "waveforms")

    def prepare(self, clips: Sequence[Clip], workers: int = 0) -> list[ClipInfo]:
        """Decode every clip that is not in the cache yet.

        Work that was interrupted goes on where it stopped.

        Args:
            clips: what to decode.
            workers: threads that decode; 0 decodes in this one.

        Returns:
            What is known of each clip, in order. A clip that cannot be used has ``error`` set and no waveform.

        Raises:
            DataError: the disk is full or cannot be written.
        """
        known = [self._known(clip) for clip in clips]
        pending: dict[Path, list[int]] = {}
        for index, (clip, facts) in enumerate(zip(clips, known, strict=True)):
            if facts is None:
                pending.setdefault(clip.file, []).append(index)
        jobs = list(pending.values())
        decoded = _in_threads(lambda job: self._decode([clips[index] for index in job]), jobs, workers)
        for job, results in zip(jobs, watched(decoded, len(jobs), "Decoding"), strict=True):
            for index, facts in zip(job, results, strict=True):
                known[index] = facts
        found = [facts for facts in known if facts is not None]
        if jobs:
            self.store.evict(keep={facts.sha256 for facts in found})
        return found

    def waveform(self, clip: Clip) -> FloatArray:
        """The samples of a clip: (samples,) float32 at 16 kHz, memory-mapped, read-only.

        Raises:
            DataError: the clip cannot be used, as its facts say.
        """
        facts = self._known(clip) or self._decode([clip])[0]
        if facts.error is not None:
            raise DataError(f"{printable(clip.name)}: {facts.error}")
        return self.load(facts, clip)

    def load(self, facts: ClipInfo, clip: Clip) -> FloatArray:
        """The samples as ``waveform`` gives them, for a clip whose facts are known: no look at the recording.

        Raises:
            DataError: the array is gone from the cache and the recording has changed since.
        """
        samples = self.store.get(facts.sha256, (facts.samples,))
        if samples is None:
            self._decode([clip])
            samples = self.store.get(facts.sha256, (facts.samples,))
        if samples is None:
            raise DataError(f"{printable(clip.name)}: the recording has changed or is gone; start again")
        return samples

    def _known(self, clip: Clip) -> ClipInfo | None:
        """The facts on disk, if they are whole and the samples that they speak of are there."""
        key = _key(clip)
        path = self._facts_path(key) if key else None
        if path is None or not path.is_file():
            return None
        try:
            facts = ClipInfo(**json.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError):
            _LOG.warning("a cached fact is damaged and will be made again (%s)", path.name)
            return None
        if facts.error is None and self.store.get(facts.sha256, (facts.samples,)) is None:
            return None
        self.store.touch(facts.sha256)
        return facts

    def _facts_path(self, key: str) -> Path:
        return self.store.root / "facts" / key[:2] / f"{key}.json"

    def _decode(self, clips: Sequence[Clip]) -> list[ClipInfo]:
        """Decode clips of one recording and keep what came of it."""
        keys = [_key(clip) for clip in clips]
        try:
            recording = read(clips[0].file, max_sec=MAX_SEC)
        except AudioError as error:
            results = [ClipInfo(error=str(error), error_code=error.code)] * len(clips)
        except OSError as error:
            return [ClipInfo(error=f"cannot be read ({error.strerror or error})", error_code=_UNREADABLE)] * len(clips)
        else:
            results = [self._keep(clip, recording) for clip in clips]
        for key, facts in zip(keys, results, strict=True):
            self._note(key, facts)
        return results

    def _keep(self, clip: Clip, recording: Recording) -> ClipInfo:
        waveform, facts = measure(clip, recording)
        if facts.error is None:
            self.store.put(facts.sha256, waveform)
        return facts

    def _note(self, key: str, facts: ClipInfo) -> None:
        if key:
            with writing(self.store.root), atomic_file(self._facts_path(key)) as temporary:
                temporary.write_text(json.dumps(asdict(facts)), encoding="ascii")


def usable(table: ClipTable, facts: Sequence[ClipInfo]) -> tuple[ClipTable, list[ClipInfo]]:
    """The clips that can be used, with their facts; the log says how many others there were and why.

    Raises:
        DataError: no clip is left, or a target has fewer than two classes left.
    """
    bad = [(clip, fact) for clip, fact in zip(table.clips, facts, strict=True) if fact.error]
    if not bad:
        return table, list(facts)
    if len(bad) == len(table):
        named = some(f"{printable(clip.name)} ({fact.error})" for clip, fact in bad)
        raise DataError(f"{table.root}: none of the {len(bad)} clips can be used: {named}")
    # File names may name people, so the log only counts.
    why = ", ".join(f"{count} {code}" for code, count in Counter(fact.error_code for _, fact in bad).items())
    _LOG.warning("%d of %d clips are left out (%s); emotions data check lists them", len(bad), len(table), why)
    good = [index for index, fact in enumerate(facts) if not fact.error]
    left = table.select(good)
    left.check_labels()
    return left, [facts[index] for index in good]


def _in_threads(
    decode: Callable[[list[int]], list[ClipInfo]], jobs: list[list[int]], workers: int
) -> Iterator[list[ClipInfo]]:
    """Results of the jobs in their order; decoding lets other threads run, so threads are enough."""
    if workers < 1:
        yield from map(decode, jobs)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        yield from pool.map(decode, jobs)
    finally:
        pool.shutdown(cancel_futures=True)


def _key(clip: Clip) -> str:
    """What a clip's facts are filed under; empty where the recording is gone."""
    try:
        file = clip.file.resolve(strict=True)
        stat = file.stat()
    except OSError:
        return ""
    parts = [str(file), stat.st_size, stat.st_mtime_ns, clip.start, clip.end, _DECODER]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
