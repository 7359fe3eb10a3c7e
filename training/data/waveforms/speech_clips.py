"""Recordings cut to their speech: each segment is a clip, with the labels of its recording."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import numpy as np

from emotions.audio.decode import SAMPLE_RATE
from emotions.audio.speech.detector import SpeechDetector
from emotions.audio.speech.network import PACKAGE, speech_network
from emotions.audio.speech.segmenter import SegmentOptions, SpeechSpan
from emotions.audio.windows import FloatArray
from emotions.errors import DataError
from emotions.files.cache import cache_root
from training.data.clips import Clip, ClipTable
from training.data.progress import watched
from training.data.waveforms.array_store import ArrayStore
from training.data.waveforms.clip_info import ClipInfo
from training.data.waveforms.waveform_cache import WaveformCache

_LOG = logging.getLogger(__name__)
_OPTIONS = SegmentOptions()
_BLOCK = 60 * SAMPLE_RATE
_KIND = "int64"


def speech_clips(table: ClipTable, facts: Sequence[ClipInfo], workers: int) -> tuple[ClipTable, list[ClipInfo]]:
    """Cut usable clips to the segments of speech that a folder run with ``--segments speech`` classifies.

    What is found is cached; a clip without speech is left out, and their number logged.

    Args:
        table: usable clips.
        facts: properties of each, as ``usable`` gives them.
        workers: number of threads, at least one.

    Returns:
        The segments, and the properties of each; one that cannot be used has its error set.

    Raises:
        ConfigError: the network that finds speech is not installed.
        DataError: no clip has speech, or a target has fewer than two classes left.
    """
    finder = _Finder()
    with ThreadPoolExecutor(max(1, workers), thread_name_prefix="speech") as pool:
        spans = list(watched(pool.map(finder.spans, facts, table.clips), len(table), "Finding speech"))
    finder.finish()
    silent = sum(not found for found in spans)
    if silent == len(table):
        raise DataError(f"{table.root}: none of the {silent} clips has speech (dataset.segments)")
    cut = replace(table, clips=tuple(_parts(table.clips, spans)))
    if silent:
        line = "%d of %d clips have no speech and are left out; emotions data check lists them"
        _LOG.warning(line, silent, len(table))
        cut.check_labels()
    return cut, WaveformCache().prepare(cut.clips, workers)


def without_speech(table: ClipTable, facts: Sequence[ClipInfo]) -> list[Clip]:
    """The usable clips that have no speech.

    Args:
        table: usable clips.
        facts: properties of each.
    """
    finder = _Finder()
    return [clip for clip, fact in zip(table.clips, facts, strict=True) if not finder.spans(fact, clip)]


def _parts(clips: Sequence[Clip], spans: Sequence[Sequence[SpeechSpan]]) -> Iterator[Clip]:
    for clip, found in zip(clips, spans, strict=True):
        first = clip.start or 0.0
        for span in found:
            yield replace(clip, start=first + span.begin / SAMPLE_RATE, end=first + span.end / SAMPLE_RATE)


class _Finder:
    """Finds the speech in decoded clips, once for all runs."""

    def __init__(self) -> None:
        self._network = speech_network()
        self._waveforms, self._found = WaveformCache(), ArrayStore(cache_root() / "speech")
        self._used: set[str] = set()

    def spans(self, facts: ClipInfo, clip: Clip) -> list[SpeechSpan]:
        """The segments of speech in a clip, in order."""
        key = hashlib.sha256(json.dumps([PACKAGE, asdict(_OPTIONS), facts.sha256]).encode()).hexdigest()
        known = self._found.get(key, kinds=(_KIND,), check=True)
        self._used.add(key)
        if known is None:
            spans = self._spans(self._waveforms.load(facts, clip))
            # The first row keeps the array from being empty, which cannot be mapped.
            known = np.array([(0, facts.samples), *((span.begin, span.end) for span in spans)], np.int64)
            self._found.put(key, known)
        return [SpeechSpan(int(begin), int(end)) for begin, end in known[1:]]

    def finish(self) -> None:
        """Keep the cache within its limit."""
        self._found.evict(keep=self._used)

    def _spans(self, waveform: FloatArray) -> list[SpeechSpan]:
        detector, found = SpeechDetector(self._network, _OPTIONS), list[SpeechSpan]()
        for at in range(0, len(waveform), _BLOCK):
            found += detector.push(np.asarray(waveform[at : at + _BLOCK]))
        return [*found, *detector.finish()]
