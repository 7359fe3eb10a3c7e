"""Terms are explained where they stand, and nothing else becomes markup."""

from __future__ import annotations

import re

import pytest

from emotions.files.html.glossary import GLOSSARY, anchor, explained, terms_in


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("UAR of each", ["UAR"]),
        ("p99.9 ms and p99 ms", ["p99.9", "p99"]),
        ("macro-F1", ["macro-F1"]),
        ("speaker-disjoint 3-fold (10 folds)", []),
        ("val/emotion_uar, WARN, squared", []),
        ("x real time", ["real time"]),
    ],
)
def test_whole_terms_alone_are_explained(text: str, terms: list[str]) -> None:
    told = explained(text)
    assert re.findall(r">([^<]+)</button>", told) == terms
    assert re.sub(r"<[^>]+>", "", told) == text


def test_text_is_escaped() -> None:
    assert explained("<b>&") == "&lt;b&gt;&amp;"


def test_a_page_lists_the_terms_that_it_uses() -> None:
    assert list(terms_in(explained("WA and UAR"))) == ["UAR", "WA"]
    assert terms_in("UAR") == {}


def test_every_term_has_an_anchor_of_its_own() -> None:
    anchors = {anchor(term) for term in GLOSSARY}
    assert len(anchors) == len(GLOSSARY)
    assert all(re.fullmatch(r"[a-z0-9-]+", each) for each in anchors)
