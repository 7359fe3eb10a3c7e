"""Where the names of recordings say who speaks."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import product

import pytest

from training.data.initial_config.speaker_rule import speaker_rules

CLASSES = ("angry", "happy", "sad")
SPEAKERS = ("03", "08", "11")

KNOWN = {
    "emodb": lambda who, label, take: f"{who}a0{take}{label[0].upper()}a.wav",
    "ravdess": lambda who, label, take: f"03-01-0{len(label)}-01-01-0{take}-{who}.wav",
    "cremad": lambda who, label, take: f"10{who}_DFA_{label[:3].upper()}_X{'LMHX'[take - 1]}.wav",
    "marked": lambda who, label, take: f"wav/{label}/speaker_{who}-{take}.flac",
    "folder": lambda who, label, take: f"actor{who}/{label}/{take}.mp3",
}
DOUBTFUL = {
    "between": lambda who, label, take: f"{label}/{who}/{take}.wav",
    "above": lambda who, label, take: f"anna{who}/{label}/{take}.wav",
    "first part": lambda who, label, take: f"{label}/{who}_{take}.wav",
    "second part": lambda who, label, take: f"{label}/{label}-{who}-{take}.wav",
    "cyrillic": lambda who, label, take: f"{label}/Оля{who} {take}.wav",
}


def names(scheme: Callable[[str, str, int], str]) -> tuple[list[str], list[str], list[str]]:
    """Paths of every speaker, class and take, with the label and the speaker of each."""
    every = [*product(SPEAKERS, CLASSES, range(1, 5))]
    return [scheme(*each) for each in every], [label for _, label, _ in every], [who for who, _, _ in every]


@pytest.mark.parametrize("scheme", KNOWN)
def test_known_names_are_sure(scheme: str) -> None:
    paths, labels, speakers = names(KNOWN[scheme])
    rule = speaker_rules(paths, labels)[0]
    assert rule.sure
    found = [re.search(rule.pattern, path) for path in paths]
    assert all(match and who in match[1] for match, who in zip(found, speakers, strict=True))
    assert len(rule.values) == len(SPEAKERS)


@pytest.mark.parametrize("scheme", DOUBTFUL)
def test_parts_that_classes_share_are_offered_and_not_sure(scheme: str) -> None:
    paths, labels, speakers = names(DOUBTFUL[scheme])
    rule = speaker_rules(paths, labels)[0]
    assert not rule.sure
    found = [re.search(rule.pattern, path) for path in paths]
    assert all(match and match[1].endswith(who) for match, who in zip(found, speakers, strict=True))


def test_the_class_and_the_take_are_no_speaker() -> None:
    paths = [f"{label}/{label}_{take:03d}.wav" for label in CLASSES for take in range(30)]
    assert speaker_rules(paths, [path.split("/", 1)[0] for path in paths]) == []


def test_a_rule_fits_every_name() -> None:
    paths, labels, _ = names(KNOWN["emodb"])
    assert not any(rule.sure for rule in speaker_rules([*paths, "sad/other.wav"], [*labels, "sad"]))


def test_no_clip_has_no_rule() -> None:
    assert speaker_rules([], []) == []
