"""Match the labels of a bundle and of datasets where they certainly mean the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from emotions.errors import DataError
from training.data.data_faults import some

ALIASES: Mapping[str, tuple[str, ...]] = {
    "anger": ("angry", "ang", "anger", "гнев", "злость", "ärger", "wut", "colère", "ira", "生气"),
    "happiness": (
        "happy",
        "hap",
        "happiness",
        "joy",
        "joyful",
        "радость",
        "счастье",
        "freude",
        "joie",
        "alegría",
        "开心",
    ),
    "sadness": ("sad", "sadness", "грусть", "печаль", "trauer", "tristesse", "tristeza", "难过"),
    "neutral": (
        "neutral",
        "neu",
        "neutrality",
        "calm neutral",
        "нейтраль",
        "нейтральное",
        "нейтральный",
        "neutre",
        "中立",
    ),
    "fear": ("fear", "fearful", "fea", "afraid", "страх", "angst", "peur", "miedo", "恐惧"),
    "disgust": ("disgust", "disgusted", "dis", "отвращение", "ekel", "dégoût", "asco", "厌恶"),
    "surprise": ("surprise", "surprised", "sur", "удивление", "überraschung", "sorpresa", "吃惊"),
    "boredom": ("boredom", "bored", "bor", "скука", "langeweile", "ennui"),
    "positive": ("positive", "pos", "положительное", "позитивное"),
    "negative": ("negative", "neg", "отрицательное", "негативное"),
}
"""Noun -> its aliases. Excitement is not taken for happiness, nor calm for neutral: corpora disagree on them."""

_NOUN = {alias: noun for noun, aliases in ALIASES.items() for alias in (noun, *aliases)}


def _noun(label: str) -> str:
    """Canonical noun of a label, of one in two languages such as ``生气/angry`` too; else the label in lower case."""
    plain = label.strip().lower()
    nouns = {_NOUN[part] for part in map(str.strip, plain.split("/")) if part in _NOUN}
    return nouns.pop() if len(nouns) == 1 else plain


def match_labels(bundle: Sequence[str], data: Sequence[str]) -> dict[str, str]:
    """Map each label of a dataset to the bundle's label of the same meaning.

    Args:
        bundle: labels of the bundle.
        data: labels of the dataset.
    """
    by_noun: dict[str, list[str]] = {}
    for label in bundle:
        by_noun.setdefault(_noun(label), []).append(label)
    matched = {label: [label] if label in bundle else by_noun.get(_noun(label), []) for label in data}
    unclear = [label for label, found in matched.items() if len(found) != 1]
    if unclear:
        raise DataError(
            f"the dataset's labels {some(map(repr, unclear))} have no certain counterpart among the bundle's "
            f"({', '.join(bundle)}): rename them in the dataset, or leave their clips out"
        )
    return {label: found[0] for label, found in matched.items()}


def shared_labels(corpora: Mapping[str, Sequence[str]]) -> dict[str, dict[str, str]]:
    """Map the labels that all of several datasets have, by their meaning, to the words of the first one.

    Args:
        corpora: name of each dataset -> its labels, at least one dataset.

    Returns:
        Name of each dataset -> its own label -> the label of the first; labels that another one lacks are left out.

    Raises:
        DataError: fewer than two labels are shared, or a dataset has two labels of one meaning.
    """
    nouns = {name: _by_noun(name, labels) for name, labels in corpora.items()}
    first, *others = nouns.values()
    shared = [noun for noun in first if all(noun in each for each in others)]
    if len(shared) < 2:
        told = "; ".join(f"{name}: {some(map(repr, labels))}" for name, labels in corpora.items())
        found = f"only {first[shared[0]]!r}" if shared else "no label"
        raise DataError(
            f"the corpora have {found} in common, at least two labels are needed ({told}): rename labels that mean "
            "the same, or leave a corpus out"
        )
    return {name: {of[noun]: first[noun] for noun in shared} for name, of in nouns.items()}


def _by_noun(corpus: str, labels: Sequence[str]) -> dict[str, str]:
    """Meaning -> label of a dataset."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for label in labels:
        found[_noun(label)].append(label)
    twice = next((alike for alike in found.values() if len(alike) > 1), None)
    if twice is not None:
        raise DataError(
            f"{corpus}: {some(map(repr, twice))} are taken for one label: rename one of them, or give both one name"
        )
    return {noun: alike[0] for noun, alike in found.items()}
