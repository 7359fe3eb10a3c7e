"""Cache of decoded recordings: each is decoded and resampled once, and kept as a memory-mapped array.

Two files a clip: its properties (``facts/<key>.json``, keyed by the file's path, size and times, the clip's times
and the decoder), and its samples (``<sha256 of the samples>.npy``), shared by clips with the same samples. Both have
checksums, which are verified when a process first prepares them; what was altered is made again.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import soundfile
import soxr

from emotions.audio.containers import AudioSource
from emotions.audio.decode import ReadOptions
from emotions.audio.decoders.read import read
from emotions.audio.windows import FloatArray
from emotions.errors import AudioError, DataError, plain
from emotions.files.atomic import atomic_file, remove_left_over
from emotions.files.cache import cache_root, is_own_file, private_folder
from emotions.inputs.parquet_audio import table_of
from emotions.inputs.remote import fetch
from training.data.clips import Clip
from training.data.progress import watched
from training.data.waveforms.altered import AlteredInfo, altered
from training.data.waveforms.array_store import ArrayStore, writing
from training.data.waveforms.clip_info import ClipInfo, from_json, measured, to_json

MAX_SEC = 3600
"""Longest clip that is decoded for training, in seconds: 230 MB of samples. Silence of days fits into a small file."""

_DECODER = f"3 {soundfile.__libsndfile_version__} {soxr.__version__} {av.__version__}"
_CHECKED_AT_ONCE = 64
"""Clips that a thread checks before it gives on what it found: one by one, that took longer than the checks."""
_UNREADABLE = "unreadable"
_FACTS = "facts"
_LOG = logging.getLogger(__name__)


class WaveformCache:
    """Decoded clips on disk. Picklable; any number of processes may share one folder.

    Args:
        root: the cache's folder, by default ``waveforms`` below the toolkit's cache folder; made with mode 0700.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.store = ArrayStore(root or cache_root() / "waveforms")
        private_folder(self.store.root / _FACTS)
        self._checked: set[str] = set()

    def prepare(self, clips: Sequence[Clip], workers: int = 0) -> list[ClipInfo]:
        """Decode every clip that is not in the cache yet, and give the properties of each, in order.

        A clip that cannot be used has ``error`` set and no waveform. Interrupted work resumes.

        Args:
            clips: what to decode.
            workers: number of decoding threads, at least one.
        """
        with ThreadPoolExecutor(max(1, workers), thread_name_prefix="check") as checkers:
            parts = [clips[start : start + _CHECKED_AT_ONCE] for start in range(0, len(clips), _CHECKED_AT_ONCE)]
            checked = watched(checkers.map(self._intact, parts), len(parts), "Checking recordings")
            known = [facts for part in checked for facts in part]
        pending: dict[Path | str, list[int]] = {}
        for index, (clip, facts) in enumerate(zip(clips, known, strict=True)):
            if facts is None:
                pending.setdefault(clip.file, []).append(index)
        jobs = list(pending.values())
        # Decoding releases the interpreter lock, so that threads are enough.
        pool = ThreadPoolExecutor(max(1, workers), thread_name_prefix="decode")
        try:
            decoded = pool.map(lambda job: self._decode([clips[index] for index in job]), jobs)
            for job, results in zip(jobs, watched(decoded, len(jobs), "Decoding"), strict=True):
                for index, facts in zip(job, results, strict=True):
                    known[index] = facts
        finally:
            pool.shutdown(cancel_futures=True)
        found = [facts for facts in known if facts is not None]
        if jobs:
            for folder in (self.store.root / _FACTS).glob("??"):
                remove_left_over(folder)
            self.store.evict(keep={facts.sha256 for facts in found})
        return found

    def waveform(self, clip: Clip) -> FloatArray:
        """The samples of a clip: (samples,) float32 at 16 kHz, memory-mapped, read-only. Raises DataError."""
        facts = self._known(clip) or self._decode([clip])[0]
        if facts.error is not None:
            raise DataError(f"{plain(clip.name)}: {facts.error}")
        return self.load(facts, clip)

    def load(self, facts: ClipInfo, clip: Clip) -> FloatArray:
        """The samples as ``waveform`` gives them, without a look at the recording.

        Args:
            facts: of the clip, as ``prepare`` gives them, or of an altered copy of it.
            clip: decoded again if its array is gone.
        """
        if isinstance(facts, AlteredInfo):
            return altered(self.load(facts.original, clip), facts)
        samples = self.store.get(facts.sha256, (facts.samples,))
        if samples is None:
            self._decode([clip])
            samples = self.store.get(facts.sha256, (facts.samples,))
        if samples is None:
            raise DataError(f"{plain(clip.name)}: the recording has changed or is gone; start again")
        return samples

    def _known(self, clip: Clip, *, check: bool = False) -> ClipInfo | None:
        """The stored properties, or None where they or the samples are missing or damaged.

        Args:
            clip: whose.
            check: look whether the samples were altered, unless this has.
        """
        key = _key(clip)
        path = self._facts_path(key) if key else None
        if path is None or not path.is_file():
            return None
        try:
            facts = from_json(key, path.read_bytes()) if is_own_file(path) else None
        except OSError:
            facts = None
        if facts is None:
            _LOG.warning("a cached fact is damaged and will be made again (%s)", path.name)
            return None
        if facts.error is not None:
            return facts
        check &= facts.sha256 not in self._checked
        if self.store.get(facts.sha256, (facts.samples,), check=check) is None:
            return None
        if check:
            self._checked.add(facts.sha256)
        self.store.touch(facts.sha256)
        return facts

    def _intact(self, clips: Sequence[Clip]) -> list[ClipInfo | None]:
        return [self._known(clip, check=True) for clip in clips]

    def _facts_path(self, key: str) -> Path:
        return self.store.root / _FACTS / key[:2] / f"{key}.json"

    def _decode(self, clips: Sequence[Clip]) -> list[ClipInfo]:
        """Decode clips of one recording and store them: it as a whole once, its segments each by themselves."""
        keys = [_key(clip) for clip in clips]
        whole: ClipInfo | None = None
        results = []
        try:
            file = clips[0].file
            source = fetch(file) if isinstance(file, str) else file
            for clip in clips:
                if clip.start is not None or clip.end is not None:
                    results.append(self._stored(source, clip))
                else:
                    whole = whole or self._stored(source, clip)
                    results.append(whole)
        except OSError as error:
            return [ClipInfo(error=f"cannot be read ({error.strerror or error})", error_code=_UNREADABLE)] * len(clips)
        for key, facts in zip(keys, results, strict=True):
            if key:
                with writing(self.store.root), atomic_file(self._facts_path(key), durable=False) as temporary:
                    temporary.chmod(0o600)
                    temporary.write_text(to_json(key, facts), encoding="ascii")
        return results

    def _stored(self, source: AudioSource, clip: Clip) -> ClipInfo:
        try:
            recording = read(source, ReadOptions(max_sec=MAX_SEC, start=clip.start, end=clip.end))
        except AudioError as error:
            return ClipInfo(error=str(error), error_code=error.code)
        facts = measured(clip, recording)
        # Another clip with the same samples may have left them, and they may have been altered since.
        if facts.error is None and self.store.get(facts.sha256, recording.waveform.shape, check=True) is None:
            self.store.put(facts.sha256, recording.waveform)
        return facts


def _key(clip: Clip) -> str:
    """Key of a clip's properties; empty where the recording is gone."""
    try:
        name = clip.file if isinstance(clip.file, str) else str(clip.file.resolve(strict=True))
        stat = (table_of(clip.file) if isinstance(clip.file, str) else clip.file).stat()
    except OSError:
        return ""
    # The time of change cannot be set: a recording that was replaced while the clock was set back has another one.
    parts = [name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, clip.start, clip.end, _DECODER]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
