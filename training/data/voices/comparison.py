"""Which names sound like one person, and how sure that is.

A name's voice is the mean embedding of its clips. Two means of one person differ by the scatter of its clips, the less
of it the more clips there are; those of two persons by the distance of their voices as well. How likely a squared
distance is under each is a gamma density (a scaled chi-squared one), and a name has a double with a probability that is
spread over all others. It is the two-covariance model of speaker verification (Brümmer and de Villiers, "The speaker
partitioning problem", 2010) with one scale for each covariance instead of its matrices, which no corpus of ten names
can tell. Scales are those of the corpus, as far as it has names and clips; with few, those measured on EmoDB-4.

An emotion changes every voice alike, which would make angry clips of two persons sound like one: what a class has in
common over the names is taken away first.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from emotions.audio.windows import Float64Array, FloatArray, IntArray

SUSPICIOUS = 0.5
"""Certainty from which on two names are told."""
SCATTER, SPREAD = 0.228, 0.125
"""Variance of a person's clips about its voice, and of persons' voices, both summed over an embedding: of EmoDB-4."""

_SAME_DOF, _OTHER_DOF = 20.0, 12.0
"""Of the squared distances between halves of a speaker's clips, and between speakers: of EmoDB-4."""
_CLIPS_KNOWN, _NAMES_KNOWN = 10, 9
"""Degrees of freedom that the scales of EmoDB-4 count as beside a corpus's own."""
_SESSION_CLIPS = 32
"""As many clips' scatter is the least difference between two sessions of a person."""
_DOUBLES = 0.5
"""Probability that a name has a double among the others: as likely as not."""
_CLIPS_A_CLASS = 4
_ROUNDS = 10
_MAX_NAMES = 5_000
_BLOCK = 256
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class VoicePair:
    """Two names whose voices are alike.

    Attributes:
        certainty: probability that they are one person.
        distance: of their voices; 0 for one person's, about 1 for two persons'.
        clips: that the voice of each was taken from.
    """

    first: str
    second: str
    certainty: float
    distance: float
    clips: tuple[int, int]

    @property
    def sure(self) -> str:
        """The certainty in words; more than 99 % is more than a model of two scales knows."""
        return percent(self.certainty)


def percent(certainty: float) -> str:
    """A certainty in words, such as ``83 %`` or ``over 99 %``."""
    return "over 99 %" if certainty > 0.99 else f"{100 * certainty:.0f} %"


@dataclass(frozen=True)
class Comparison:
    """The voices of the names of a corpus.

    Attributes:
        names: sorted.
        clips: (names,) number of clips of each.
        voices: (names, dims) mean embedding of each, without what classes have in common.
        scatter: variance of a name's clips about its voice.
        spread: variance of the voices.
    """

    names: tuple[str, ...]
    clips: IntArray
    voices: Float64Array
    scatter: float
    spread: float

    @cached_property
    def pairs(self) -> list[VoicePair]:
        """The pairs that are suspicious, surest first."""
        found: list[VoicePair] = []
        for start in range(0, len(self.names), _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, len(self.names)))
            certainty, distance = self._certainty(rows), self.distances(rows)
            later = np.arange(len(self.names)) > rows[:, None]
            for row, second in np.argwhere((certainty >= SUSPICIOUS) & later):
                first, clips = rows[row], (int(self.clips[rows[row]]), int(self.clips[second]))
                sure, apart = float(certainty[row, second]), float(distance[row, second])
                found.append(VoicePair(self.names[first], self.names[second], sure, apart, clips))
        return sorted(found, key=lambda pair: (-pair.certainty, pair.first, pair.second))

    def distances(self, rows: IntArray) -> Float64Array:
        """Distance of voices as ``VoicePair`` has it, (rows, names).

        Args:
            rows: indices of names.
        """
        own = np.maximum(self._squares(rows) - self.scatter * self._shares(rows), 0.0)
        apart: Float64Array = np.sqrt(own / (2 * self.spread))
        return apart

    def _squares(self, rows: IntArray) -> Float64Array:
        """Squared distances of means, (rows, names)."""
        norms = np.square(self.voices).sum(axis=1)
        products = self.voices[rows] @ self.voices.T
        squares: Float64Array = np.maximum(norms[rows][:, None] + norms - 2 * products, 0.0)
        return squares

    def _shares(self, rows: IntArray) -> Float64Array:
        """How much of the scatter is left in the difference of two means, (rows, names)."""
        shares: Float64Array = 1 / self.clips[rows][:, None] + 1 / self.clips
        return shares

    def _certainty(self, rows: IntArray) -> Float64Array:
        """Probability that two names are one person, (rows, names)."""
        noise = self.scatter * self._shares(rows)
        same, other = noise + 2 * self.scatter / _SESSION_CLIPS, noise + 2 * self.spread
        # Nearer than the likeliest distance of one person's means is no reason to doubt that it is one.
        squares = np.maximum(self._squares(rows), same * (1 - _OTHER_DOF / _SAME_DOF))
        ratio = _log_density(squares, same, _SAME_DOF) - _log_density(squares, other, _OTHER_DOF)
        odds = ratio + math.log(_DOUBLES / max(1, len(self.names) - 1))
        certainty: Float64Array = 1 / (1 + np.exp(-np.clip(odds, -50, 50)))
        return certainty


def _log_density(value: Float64Array, mean: Float64Array, dof: float) -> Float64Array:
    """Logarithm of the density of a gamma distribution with a mean, of as many degrees of freedom, up to a constant."""
    shape, scale = dof / 2, 2 * mean / dof
    density: Float64Array = (shape - 1) * np.log(value) - value / scale - shape * np.log(scale) - math.lgamma(shape)
    return density


def compare_voices(embeddings: FloatArray, names: Sequence[str], labels: Sequence[str]) -> Comparison:
    """Compare the voices of names.

    Args:
        embeddings: (clips, dims) unit vectors.
        names: who speaks, of each clip. Of more than 5,000 names those with most clips are compared.
        labels: class of each clip.
    """
    kept = _most_spoken(names)
    embeddings, names = embeddings[kept], [names[index] for index in kept]
    known, speaker = np.unique(np.array(names), return_inverse=True)
    clips = np.bincount(speaker, minlength=len(known))
    classes = _classes([labels[index] for index in kept])
    without, voices = _without_classes(embeddings.astype(np.float64), speaker, classes)
    scatter = _scatter(without - voices[speaker], len(embeddings) - len(known) - int(classes.max(initial=0)))
    own = float(voices.var(axis=0, ddof=1).sum() - scatter * (1 / clips).mean()) if len(known) > 1 else SPREAD
    weight = len(known) - 1
    spread = (weight * max(own, 0.0) + _NAMES_KNOWN * SPREAD) / (weight + _NAMES_KNOWN)
    return Comparison(tuple(map(str, known)), clips, voices, scatter, spread)


def _most_spoken(names: Sequence[str]) -> IntArray:
    """Indices of the clips of the names that are compared."""
    known, speaker, clips = np.unique(np.array(names), return_inverse=True, return_counts=True)
    if len(known) > _MAX_NAMES:
        _LOG.warning("voices: of %d speakers the %d with most clips are compared", len(known), _MAX_NAMES)
    most = np.argsort(-clips, kind="stable")[:_MAX_NAMES]
    return np.flatnonzero(np.isin(speaker, most))


def _classes(labels: Sequence[str]) -> IntArray:
    """Index of each clip's class; one class where there are too many to know what they have in common."""
    known, classes = np.unique(np.array(labels), return_inverse=True)
    return classes if len(known) * _CLIPS_A_CLASS <= len(labels) else np.zeros(len(labels), np.int64)


def _without_classes(
    embeddings: Float64Array, speaker: IntArray, classes: IntArray
) -> tuple[Float64Array, Float64Array]:
    """Embeddings without the effect of classes, and the mean of each name's: an additive model, by backfitting.

    It begins with the names, so that what one person alone says stays that person's.
    """
    effects = np.zeros((int(classes.max(initial=0)) + 1, embeddings.shape[1]))
    for _ in range(_ROUNDS if len(effects) > 1 else 0):
        voices = group_means(embeddings - effects[classes], speaker)
        effects = group_means(embeddings - voices[speaker], classes)
    without = embeddings - effects[classes]
    return without, group_means(without, speaker)


def group_means(values: Float64Array, groups: IntArray) -> Float64Array:
    """Mean of each group's rows, (groups, dims).

    Args:
        values: (rows, dims).
        groups: index of each row's group; each has a row.
    """
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    sums: Float64Array = np.add.reduceat(values[order], starts, axis=0)
    means: Float64Array = sums / np.bincount(groups)[:, None]
    return means


def _scatter(residuals: Float64Array, freedom: int) -> float:
    return float((np.square(residuals).sum() + _CLIPS_KNOWN * SCATTER) / (max(0, freedom) + _CLIPS_KNOWN))
