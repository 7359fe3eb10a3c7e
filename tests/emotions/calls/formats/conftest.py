"""A recording that two participants are annotated in, with hostile names."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

from emotions.calls.formats.annotation import Annotation, Interval, Tier, Turns, annotation_of
from emotions.folder.result import FileResult
from emotions.runtime.prediction import Prediction, WindowPrediction

HOSTILE = 'angry "!" <b>&amp; [1] 0 гнев 😡\n\t\x00-->'


def spoken(*spans: tuple[float, float], label: str = HOSTILE) -> Prediction:
    scores = {"emotion": {label: 0.75, "calm": 0.25}}
    parts = tuple(WindowPrediction(*span, scores, {"affect": {"arousal": 0.5, "valence": -0.25}}) for span in spans)
    values = {"affect": {"arousal": 0.5, "valence": -0.25}}
    return Prediction(scores, parts, 12.3456789, values=values, segments=parts)


@pytest.fixture
def annotation() -> Annotation:
    results = [
        FileResult("a/call.wav", spoken((0.1, 2.0000001), (3, 4)), channel=1, speaker='agent "<1>"'),
        FileResult("a/call.wav", spoken((1, 2.5), (12, 12.3456789)), channel=2, speaker="customer"),
        FileResult("a/call.wav", None, "nothing", "silent", channel=3, speaker="nobody"),
    ]
    return annotation_of(results, "tiny@1", windows=False)


labels = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).map(
    lambda text: FileResult("x", spoken((0, 1), label=text), speaker=text)
)


@st.composite
def annotations(draw: st.DrawFn) -> Annotation:
    """Tiers of any names and labels, with intervals of at least 10 ms."""
    results = draw(st.lists(labels, min_size=1, max_size=3, unique_by=lambda result: result.speaker))
    found = annotation_of(results, "tiny", windows=False)
    tiers = []
    for number, tier in enumerate(found.tiers):
        edges = sorted(draw(st.lists(st.integers(0, 1_000), unique=True, max_size=8)))
        pairs = zip(edges[::2], edges[1::2], strict=False)
        spans = tuple(Interval(start / 100, end / 100, tier.intervals[0].label, 0.5) for start, end in pairs)
        tiers.append(
            Tier(f"{tier.name} {number}", spans, tier.target, tier.speaker, number + 1, "tiny", tier.categorical)
        )
    turns = tuple(Turns(tier.speaker, tier.channel, ((0.0, 1.0),)) for tier in tiers)
    return Annotation("call.wav", 12.0, tuple(tiers), turns, "tiny")


def told(annotation: Annotation) -> list[tuple[str, list[tuple[float, float, str]]]]:
    """Names of the tiers, and their intervals."""
    return [(tier.name, [(each.start, each.end, each.label) for each in tier.intervals]) for tier in annotation.tiers]
