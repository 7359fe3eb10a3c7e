"""Match the labels of a bundle and of a dataset where they certainly mean the same."""

from __future__ import annotations

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
