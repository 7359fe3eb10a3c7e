from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from emotions.calls.spans import Span, merged, shared, total, union

TICKS = 64
lists = st.lists(st.tuples(st.integers(0, TICKS), st.integers(0, TICKS)).map(lambda pair: (min(pair), max(pair))))


def ticks(spans: list[Span]) -> np.ndarray:
    """Which of the ticks lie in a span."""
    found = np.zeros(TICKS, bool)
    for start, end in spans:
        found[int(start) : int(end)] = True
    return found


@given(lists)
def test_a_union_covers_what_its_spans_cover_and_is_in_order(spans: list[Span]) -> None:
    found = merged(spans)
    assert (ticks(found) == ticks(spans)).all()
    assert total(found) == ticks(spans).sum()
    edges = [edge for span in found for edge in span]
    assert all(one < other for one, other in pairwise(edges))


@given(lists, lists)
def test_what_two_lists_share(one: list[Span], other: list[Span]) -> None:
    both = shared(merged(one), merged(other))
    assert (ticks(both) == (ticks(one) & ticks(other))).all()
    assert total(both) == (ticks(one) & ticks(other)).sum()
    assert both == shared(merged(other), merged(one))
    assert (ticks(union([one, other])) == (ticks(one) | ticks(other))).all()
