from __future__ import annotations

from serving.worker.shares import Shares


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_one_alone_may_have_all_and_one_of_several_half() -> None:
    clock = Clock()
    shares = Shares(8, clock)
    assert all(shares.take("a") for _ in range(8))
    assert not shares.take("a")
    assert not shares.take("b")
    shares.give_back("a", 5)
    assert shares.take("b")
    assert shares.take("a")
    assert not shares.take("a")
    assert [shares.take("b") for _ in range(4)] == [True, True, True, False]
    assert shares.taken == 8


def test_who_asked_lately_is_there_even_with_nothing() -> None:
    clock = Clock()
    shares = Shares(4, clock)
    assert shares.take("b")
    shares.give_back("b")
    assert [shares.take("a") for _ in range(3)] == [True, True, False]
    clock.now = 60
    assert [shares.take("a") for _ in range(3)] == [True, True, False]


def test_amounts_are_shared_as_places_are() -> None:
    shares = Shares(100, Clock())
    assert not shares.take("a", 101)
    assert shares.take("a", 60)
    assert not shares.take("a", 41)
    assert not shares.take("b", 41)
    assert shares.take("b", 40)
    shares.give_back("a", 60)
    assert not shares.take("b", 20)
    assert shares.taken_by("a") == 0
    assert shares.taken_by("b") == 40
