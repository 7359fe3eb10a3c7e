"""Cache of decoded recordings: each is decoded and resampled once, and kept as a memory-mapped array.

Two files a clip: its properties (``facts/<key>.json``, keyed by the file's path, size and times, the clip's times
and the decoder), and its samples (``<sha256 of the samples>.npy``), shared by clips with the same samples. Both have
checksums, which are verified when a process first prepares them; what was altered is made again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import av
import numpy as np
import soundfile
import soxr

from emotions.audio.containers import AudioSource
from emotions.audio.decode import SAMPLE_RATE, ReadOptions, Recording, checked
from emotions.audio.decoders.read import read
from emotions.audio.windows import FloatArray
from emotions.errors import AudioError, DataError
from emotions.files import atomic_file, cache_root, is_own_file, private_folder, remove_left_over
from emotions.inputs.parquet_audio import table_of
from emotions.inputs.remote import fetch
from training.data.array_store import ArrayStore, writing
from training.data.clips import Clip, ClipTable
from training.data.data_faults import printable, some
from training.data.progress import watched
from training.data.speech_measure import SpeechMeasure, measure_speech

MAX_SEC = 3600
"""Longest clip that is decoded for training, in seconds: 230 MB of samples. Silence of days fits into a small file."""

_DECODER = f"3 {soundfile.__libsndfile_version__} {soxr.__version__} {av.__version__}"
_UNREADABLE = "unreadable"
_FACTS = "facts"
_LOG = logging.getLogger(__name__)
_CLIPPED_PEAK = 0.999  # samples of this magnitude or more count as clipped


@dataclass(frozen=True)
class ClipInfo:
    """Properties of a decoded clip.

    Attributes:
        sha256: hash of the decoded samples, the clip's key in the cache; empty where ``error`` is set.
        rate: sampling rate of the recording, in Hz; 0 where the recording cannot be decoded.
        channels: channels of the recording; 0 likewise.
        clipped: share of samples whose magnitude is 0.999 or more.
        warnings: what is missing in the clip, as ``Recording.warnings``.
        beyond_sec: seconds of the clip that lie after its recording's end.
        level_db: level of what is loud in the clip, in dB below full scale.
        active_sec, voiced_sec: seconds that are loud, and of these periodic as a voice is (``speech_measure``).
        error: why the clip cannot be used, or None.
        error_code: stable name of the error, such as ``too_short``, or None.
    """

    sha256: str = ""
    samples: int = 0
    duration_sec: float = 0.0
    rate: int = 0
    channels: int = 0
    peak: float = 0.0
    clipped: float = 0.0
    warnings: Sequence[str] = ()
    beyond_sec: float = 0.0
    level_db: float = 0.0
    active_sec: float = 0.0
    voiced_sec: float = 0.0
    error: str | None = None
    error_code: str | None = None


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
            known = list(watched(checkers.map(self._intact, clips), len(clips), "Checking recordings"))
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
            raise DataError(f"{printable(clip.name)}: {facts.error}")
        return self.load(facts, clip)

    def load(self, facts: ClipInfo, clip: Clip) -> FloatArray:
        """The samples as ``waveform`` gives them, without a look at the recording.

        Args:
            facts: of the clip, as ``prepare`` gives them.
            clip: decoded again if its array is gone.
        """
        samples = self.store.get(facts.sha256, (facts.samples,))
        if samples is None:
            self._decode([clip])
            samples = self.store.get(facts.sha256, (facts.samples,))
        if samples is None:
            raise DataError(f"{printable(clip.name)}: the recording has changed or is gone; start again")
        return samples

    def _known(self, clip: Clip) -> ClipInfo | None:
        """The stored properties, or None where they or the samples are missing or damaged."""
        key = _key(clip)
        path = self._facts_path(key) if key else None
        if path is None or not path.is_file():
            return None
        try:
            facts = _from_json(key, path.read_bytes()) if is_own_file(path) else None
        except OSError:
            facts = None
        if facts is None:
            _LOG.warning("a cached fact is damaged and will be made again (%s)", path.name)
            return None
        if facts.error is None and self.store.get(facts.sha256, (facts.samples,)) is None:
            return None
        self.store.touch(facts.sha256)
        return facts

    def _intact(self, clip: Clip) -> ClipInfo | None:
        """The stored properties as ``_known`` gives them, but None also where the samples were altered."""
        facts = self._known(clip)
        if facts is None or facts.error is not None or facts.sha256 in self._checked:
            return facts
        if self.store.get(facts.sha256, (facts.samples,), check=True) is None:
            return None
        self._checked.add(facts.sha256)
        return facts

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
                with writing(self.store.root), atomic_file(self._facts_path(key)) as temporary:
                    temporary.chmod(0o600)
                    temporary.write_text(_to_json(key, facts), encoding="ascii")
        return results

    def _stored(self, source: AudioSource, clip: Clip) -> ClipInfo:
        try:
            recording = read(source, ReadOptions(max_sec=MAX_SEC, start=clip.start, end=clip.end))
        except AudioError as error:
            return ClipInfo(error=str(error), error_code=error.code)
        facts = _measured(clip, recording)
        if facts.error is None and self.store.get(facts.sha256, recording.waveform.shape) is None:
            self.store.put(facts.sha256, recording.waveform)
        return facts


def _to_json(key: str, facts: ClipInfo) -> str:
    """Properties as JSON, with a hash of them and of the key that they are kept by. Args as ``_from_json``."""
    content = asdict(facts)
    return json.dumps({"facts": content, "sha256": _hash_of(key, content)})


def _from_json(key: str, text: bytes) -> ClipInfo | None:
    """The properties in a file; None where they were altered, or are those of another key.

    Args:
        key: of the clip.
        text: the file's content.
    """
    try:
        found = json.loads(text)
        if found["sha256"] != _hash_of(key, found["facts"]):
            return None
        facts = ClipInfo(**found["facts"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return replace(facts, warnings=tuple(facts.warnings))


def _hash_of(key: str, content: object) -> str:
    return hashlib.sha256(json.dumps([key, content], sort_keys=True).encode()).hexdigest()


def usable(table: ClipTable, facts: Sequence[ClipInfo], *, strict: bool = False) -> tuple[ClipTable, list[ClipInfo]]:
    """Select the clips that can be used, and their facts; the number of others is logged with the reasons.

    Args:
        table: the clips.
        facts: of each clip, as ``WaveformCache.prepare`` gives them.
        strict: leave out clips of which a part is missing, too.

    Raises:
        DataError: no clip is left, or a target has fewer than two classes left.
    """
    _tell_of_missing_parts(facts, strict=strict)
    facts = [_refused(fact) for fact in facts] if strict else facts
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


def _tell_of_missing_parts(facts: Sequence[ClipInfo], *, strict: bool) -> None:
    missing = sum(bool(fact.warnings) and not fact.error for fact in facts)
    if missing and not strict:
        line = "%d of %d clips are cut off or damaged and used as far as they go (dataset.strict leaves them out)"
        _LOG.warning(line + "; emotions data check lists them", missing, len(facts))


def _refused(fact: ClipInfo) -> ClipInfo:
    """The facts of a clip, an error where a part of it is missing."""
    if fact.error or not fact.warnings:
        return fact
    code, _, message = fact.warnings[0].partition(": ")
    return replace(fact, error=message, error_code=code)


def _measured(clip: Clip, recording: Recording) -> ClipInfo:
    """Measure a clip, (samples,) float32 at 16 kHz."""
    waveform = recording.waveform
    wanted = 0 if clip.end is None else round(clip.end * SAMPLE_RATE) - round((clip.start or 0.0) * SAMPLE_RATE)
    fault: AudioError | None = None
    try:
        checked(waveform)
    except AudioError as error:
        fault = error
    speech = measure_speech(waveform) if fault is None else SpeechMeasure()
    peak = float(max(waveform.max(initial=0.0), -waveform.min(initial=0.0)))
    clipped = np.count_nonzero(waveform >= _CLIPPED_PEAK) + np.count_nonzero(waveform <= -_CLIPPED_PEAK)
    return ClipInfo(
        sha256="" if fault else hashlib.sha256(np.ascontiguousarray(waveform).data).hexdigest(),
        samples=len(waveform),
        duration_sec=len(waveform) / SAMPLE_RATE,
        rate=recording.rate,
        channels=recording.channels,
        peak=peak if math.isfinite(peak) else 0.0,
        warnings=recording.warnings if clip.end is None or len(waveform) < wanted else (),
        clipped=clipped / len(waveform) if len(waveform) else 0.0,
        beyond_sec=max(0, wanted - len(waveform)) / SAMPLE_RATE,
        **asdict(speech),
        error=str(fault) if fault else None,
        error_code=fault.code if fault else None,
    )


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
