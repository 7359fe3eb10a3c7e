"""What a report says of a model's teacher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def teacher_line(teacher: Mapping[str, Any]) -> str:
    """The teacher and how it counted, as a sentence.

    Args:
        teacher: the entry ``teacher`` of a run's index or a report.
    """
    more = teacher.get("unlabelled")
    others = f" and on {more['clips']} unlabelled ones ({more['hours']:.2f} h)" if more else ""
    return (
        f"learnt from the teacher {teacher['bundle']} (digest {teacher['digest'][:12]}) on the training recordings"
        f"{others}: weight {teacher['weight']:g}, temperature {teacher['temperature']:g}"
    )


def teacher_warnings(teacher: Mapping[str, Any]) -> list[str]:
    """What a teacher has learnt from, where that makes the figures too good, or may.

    Args:
        teacher: the entry ``teacher`` of a run's index or a report.
    """
    saw_held_out = teacher.get("saw_held_out")
    if saw_held_out:
        return [
            "the teacher has learnt from recordings of this dataset that validate or test here: figures are too good"
        ]
    if saw_held_out is False:
        return []
    what = "on another dataset" if teacher.get("trained_on") else "on data that its bundle does not tell"
    return [
        f"the teacher was trained {what}; whether it has learnt from those who validate or test here is not known: "
        "then the figures are too good"
    ]
