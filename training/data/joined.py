"""Several datasets as one table: their common labels in one wording, and nobody taken for somebody of another one."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from emotions.audio.windows import IntArray
from emotions.errors import DataError, plain
from training.config.dataset import DatasetConfig
from training.data.clips import Clip, ClipTable
from training.data.data_faults import Faults, some
from training.data.label_matching import shared_labels
from training.data.readers import column_or_pattern
from training.data.waveforms.clip_info import ClipInfo

SENTENCE = "sentence"


@dataclass(frozen=True)
class Corpus:
    """One of the datasets, read and decoded.

    Attributes:
        config: the ``dataset`` block that it was read by.
        table: its usable clips.
        facts: of each.
    """

    config: DatasetConfig
    table: ClipTable
    facts: Sequence[ClipInfo]


@dataclass(frozen=True)
class Joined:
    """Datasets as one.

    Attributes:
        table: the clips of all that have a common label, with the one target that all have.
        facts: of each clip.
        names: of the corpora: their folders', with a number where two are called alike.
        of: (clips,) index of each clip's corpus.
        words: of each corpus, its own labels and what they are called here.
        left_out: of each corpus, labels that another one lacks and the number of their clips.
    """

    table: ClipTable
    facts: tuple[ClipInfo, ...]
    names: tuple[str, ...]
    of: IntArray
    words: tuple[Mapping[str, str], ...]
    left_out: tuple[Mapping[str, int], ...]

    @property
    def target(self) -> str:
        """The target that all corpora have."""
        return self.table.targets[0]

    def clips(self, corpora: Sequence[int]) -> IntArray:
        """Indices of the clips of some corpora, ascending."""
        found: IntArray = np.flatnonzero(np.isin(self.of, corpora))
        return found


def joined(corpora: Sequence[Corpus]) -> Joined:
    """Join datasets: of each the clips whose label all have, by its meaning, called as the first one calls it.

    Speakers and recordings are those of their corpus alone, whatever they are called.

    Args:
        corpora: at least two.

    Raises:
        DataError: they have no target in common, or fewer than two labels.
    """
    names = _names(corpora)
    target = _common_target(names, corpora)
    labels = {name: corpus.table.labels(target) for name, corpus in zip(names, corpora, strict=True)}
    words = shared_labels(labels)
    clips: list[Clip] = []
    facts: list[ClipInfo] = []
    for name, corpus in zip(names, corpora, strict=True):
        for clip, fact, sentence in zip(corpus.table.clips, corpus.facts, _sentences(corpus), strict=True):
            if clip.labels.get(target) in words[name]:
                clips.append(_of_corpus(clip, name, target, words[name], sentence))
                facts.append(fact)
    root = Path(os.path.commonpath([corpus.table.root.absolute() for corpus in corpora]))
    table = ClipTable(root, tuple(clips), (target,), _license(corpora))
    of = np.array([names.index(clip.columns["corpus"]) for clip in clips], np.int64)
    every = zip(names, corpora, strict=True)
    left = [_left_out(corpus.table.counts(target), words[name]) for name, corpus in every]
    return Joined(table, tuple(facts), names, of, tuple(words[name] for name in names), tuple(left))


def _names(corpora: Sequence[Corpus]) -> tuple[str, ...]:
    names: list[str] = []
    for corpus in corpora:
        path = corpus.config.path if isinstance(corpus.config.path, str) else None
        place = Path(path) if path and Path(path).suffix else corpus.table.root.absolute()
        name = plain(place.stem if path and Path(path).suffix else place.name) or "corpus"
        number = next(n for n in itertools.count(1) if (name if n == 1 else f"{name} ({n})") not in names)
        names.append(name if number == 1 else f"{name} ({number})")
    return tuple(names)


def _common_target(names: Sequence[str], corpora: Sequence[Corpus]) -> str:
    every = [corpus.table.targets for corpus in corpora]
    found = next((target for target in every[0] if all(target in each for each in every)), None)
    if found is None:
        told = "; ".join(f"{name}: {some(each) or 'dimensions alone'}" for name, each in zip(names, every, strict=True))
        raise DataError(
            f"the corpora have no target of labels in common ({told}): name the column of each in the targets, or the "
            "target, of its dataset block"
        )
    return found


def _sentences(corpus: Corpus) -> list[str | None]:
    """What is spoken in each clip, where the corpus says where that stands."""
    clips = [(clip.name, clip.columns) for clip in corpus.table.clips]
    how = corpus.config.sentence
    return [None] * len(clips) if how is None else column_or_pattern(how, SENTENCE, clips, Faults())


def _of_corpus(clip: Clip, corpus: str, target: str, words: Mapping[str, str], sentence: str | None) -> Clip:
    columns: dict[str, Any] = {**clip.columns, "corpus": corpus, **({SENTENCE: sentence} if sentence else {})}
    return replace(
        clip,
        name=f"{corpus}/{clip.name}",
        labels={target: words[clip.labels[target]]},
        values={},
        speaker=f"{corpus}/{clip.speaker}" if clip.speaker else None,
        recording=f"{corpus}/{clip.recording}",
        columns=columns,
    )


def _license(corpora: Sequence[Corpus]) -> str | None:
    known = [*dict.fromkeys(corpus.table.license for corpus in corpora if corpus.table.license)]
    return ", ".join(known) or None


def _left_out(counts: Mapping[str, int], words: Mapping[str, str]) -> dict[str, int]:
    return {label: count for label, count in counts.items() if label not in words}
