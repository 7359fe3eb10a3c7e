"""Embeddings of the voices of clips, computed once and kept beside the other caches."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emotions.audio.windows import FloatArray
from emotions.files.cache import cache_root
from training.data.clips import Clip
from training.data.progress import watched
from training.data.waveforms.array_store import ArrayStore
from training.data.waveforms.clip_info import ClipInfo
from training.data.waveforms.waveform_cache import WaveformCache

ENOUGH = 32
"""Clips that make up the voice of a name: more of them hardly change it, and cost as much each."""

_VERSION = 1
_DIMS = 256


def clip_embeddings(
    clips: Sequence[Clip], facts: Sequence[ClipInfo], cache: WaveformCache, encoder: Path
) -> FloatArray:
    """The embedding of each clip's voice, (clips, 256) float32 unit vectors.

    Args:
        clips: usable clips.
        facts: of each clip.
        cache: holds the samples.
        encoder: folder of the speaker encoder.
    """
    store = ArrayStore(cache_root() / "voices")
    keys = [_key(encoder, fact.sha256) for fact in facts]
    found = np.zeros((len(clips), _DIMS), np.float32)
    pending: dict[str, int] = {}
    for index, key in enumerate(keys):
        kept = store.get(key, (_DIMS,), check=True)
        if kept is None:
            pending.setdefault(key, index)
        else:
            found[index] = kept
    computed = _computed([(clips[index], facts[index]) for index in pending.values()], cache, encoder)
    made = {}
    for key, embedding in zip(pending, computed, strict=True):
        store.put(key, embedding)
        made[key] = embedding
    for index, key in enumerate(keys):
        found[index] = made.get(key, found[index])
    return found


def _key(encoder: Path, sha256: str) -> str:
    # The folder's name has the hash of the artefact that the weights come from.
    return hashlib.sha256(f"{_VERSION} {encoder.name} {sha256}".encode()).hexdigest()


def _computed(
    pending: Sequence[tuple[Clip, ClipInfo]], cache: WaveformCache, encoder: Path
) -> Iterator[np.ndarray[Any, Any]]:
    if not pending:
        return
    from training.models.voice_encoder import embed, load_voice_encoder

    waveforms = (cache.load(fact, clip) for clip, fact in pending)
    yield from watched(embed(load_voice_encoder(encoder), waveforms), len(pending), "Voices")


def enough_of_each(names: Sequence[str | None], facts: Sequence[ClipInfo]) -> list[int]:
    """Indices of at most ``ENOUGH`` clips of each name, ascending; the same ones in any order of clips.

    Args:
        names: of each clip; clips without one are left out.
        facts: of each clip.
    """
    members: defaultdict[str, list[int]] = defaultdict(list)
    for index, name in enumerate(names):
        if name:
            members[name].append(index)
    drawn = (sorted(each, key=lambda index: facts[index].sha256)[:ENOUGH] for each in members.values())
    return sorted(index for each in drawn for index in each)
