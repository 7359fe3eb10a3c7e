"""What a search says, in one sentence for whoever decides."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence

from training.tuning.records import SearchRecord, TrialRecord, flattened, shown

_MAX_VALUES = 4
_MAX_TEXT = 60


def conclusion(search: SearchRecord, ranked: Sequence[TrialRecord], shares: Mapping[str, float]) -> str:
    """One sentence: which trial is best, what it reaches, by which values, and what matters.

    Args:
        search: the search.
        ranked: its trials, the best first.
        shares: share of the metric's variance that each value explains; empty where that is not known.
    """
    scored = [(trial, best[1]) for trial in ranked if trial.state != "failed" and (best := trial.best(search))]
    if not scored:
        return f"No trial has a result yet: {_states(search, ranked)}."
    return f"{'; '.join(_parts(search, scored, ranked, shares))}."


def reached(search: SearchRecord, value: float) -> str:
    """A value of the metric in words.

    Args:
        search: names the metric.
        value: of it.
    """
    if search.metric.endswith(("_uar", "_wa", "_macro_f1")):
        return f"{100 * value:.0f} of 100 ({search.metric})"
    return f"{value:.3g} ({search.metric})"


def _parts(
    search: SearchRecord,
    scored: Sequence[tuple[TrialRecord, float]],
    ranked: Sequence[TrialRecord],
    shares: Mapping[str, float],
) -> Iterator[str]:
    best, value = scored[0]
    head = f"Trial {best.number} is the best of {len(scored)}"
    yield f"{head}: it reaches {reached(search, value)} on the validation part"
    values = [f"{name} {shown(each)}"[:_MAX_TEXT] for name, each in flattened(best.values).items()]
    if values:
        more = f" and {len(values) - _MAX_VALUES} more" if len(values) > _MAX_VALUES else ""
        yield f"its values: {', '.join(values[:_MAX_VALUES])}{more}"
    if len(scored) > 2:
        middle = statistics.median(each for _, each in scored)
        yield f"the trial in the middle reaches {reached(search, middle).partition(' (')[0]}"
    if shares:
        name, share = max(shares.items(), key=lambda each: each[1])
        yield f"{name} matters most ({share:.0%} of the differences)"
    if search.state != "finished":
        yield f"not finished: {_states(search, ranked)}"


def _states(search: SearchRecord, ranked: Sequence[TrialRecord]) -> str:
    failed = sum(trial.state == "failed" for trial in ranked)
    ended = sum(trial.ended for trial in ranked)
    return f"{ended} of {search.num_samples} trials ended" + (f", {failed} of them failed" if failed else "")
