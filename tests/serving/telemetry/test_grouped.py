"""Metrics that are written in groups: the same figures, a moment later, and never too many that wait."""

from __future__ import annotations

import asyncio
import threading

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram

from serving.telemetry.grouped import FigureGroups, GroupedHistogram

_BUCKETS = (0.1, 0.5, 1, 2.5)


@given(st.lists(st.one_of(st.sampled_from(_BUCKETS), st.floats(0, 5)), min_size=1, max_size=50))
def test_a_group_counts_as_its_values_do(values: list[float]) -> None:
    one_by_one, together = CollectorRegistry(), CollectorRegistry()
    single = Histogram("h", "figures", buckets=_BUCKETS, registry=one_by_one)
    for value in values:
        single.observe(value)
    GroupedHistogram("h", "figures", buckets=_BUCKETS, registry=together).observe_all(values)
    for bound in ("0.1", "0.5", "1.0", "2.5", "+Inf"):
        labels = {"le": bound}
        assert together.get_sample_value("h_bucket", labels) == one_by_one.get_sample_value("h_bucket", labels)
    assert together.get_sample_value("h_count") == len(values)
    total = together.get_sample_value("h_sum")
    assert total is not None
    assert abs(total - sum(values)) < 1e-9


def test_what_threads_add_is_written_a_moment_later() -> None:
    registry, groups = CollectorRegistry(), FigureGroups()
    count = Counter("c", "figures", ("label",), registry=registry)

    def found(label: str) -> float | None:
        return registry.get_sample_value("c_total", {"label": label})

    def add() -> None:
        for _ in range(100):
            groups.add(count, 2, "of threads")

    async def scene() -> None:
        groups.add(count, 1, "of the loop")
        groups.write_soon()
        threads = [threading.Thread(target=add) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        groups.write_soon()
        assert found("of the loop") is None
        await asyncio.sleep(0.2)
        assert (found("of the loop"), found("of threads")) == (1, 800)
        groups.add(count, 1, "of the loop")
        groups.write_soon()
        await asyncio.sleep(0.2)
        assert found("of the loop") == 2

    asyncio.run(scene())


def test_outside_of_an_event_loop_it_is_written_at_once_and_many_do_not_wait() -> None:
    registry, groups = CollectorRegistry(), FigureGroups()
    count = Counter("c", "figures", registry=registry)
    groups.add(count)
    groups.write_soon()
    assert registry.get_sample_value("c_total") == 1
    for _ in range(100_000):
        groups.add(count)
    assert (registry.get_sample_value("c_total") or 0) > 95_000
