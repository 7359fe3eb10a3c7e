"""Training windows with a teacher's answers, as a torch dataset."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor
from torch.utils.data import Dataset

from training.features.feature_dataset import ClipDataset
from training.features.teacher.answers import Answers


class TaughtItem(NamedTuple):
    """A window, or a batch of them, with the teacher's answers.

    Attributes:
        item: as the part that it is of gives it.
        answers: target -> ([batch,] classes) float32 probabilities.
    """

    item: Any
    answers: dict[str, Tensor]


class TaughtDataset(Dataset[TaughtItem]):
    """The windows of a part, each with the teacher's answers.

    Args:
        part: windows, or their features.
        answers: target -> (windows, classes).
    """

    def __init__(self, part: ClipDataset, answers: Answers) -> None:
        self.part, self.answers = part, answers

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, index: int) -> TaughtItem:
        return TaughtItem(self.part[index], {target: each[index] for target, each in self.answers.items()})


def separated(batch: Any) -> tuple[Any, dict[str, Tensor]]:
    """A batch without the teacher's answers, and these; none where nothing teaches."""
    return batch if isinstance(batch, TaughtItem) else (batch, {})
