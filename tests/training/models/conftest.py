"""Fixtures of the models' tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests.training.models.encoders import make_encoder

Checkpoint = Callable[[str], Path]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny models gain nothing from threads, and lose much where cores are shared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """``checkpoint(kind)``: the folder of a tiny encoder, written once."""
    root, made = tmp_path_factory.mktemp("encoders"), dict[str, Path]()

    def find(kind: str) -> Path:
        if kind not in made:
            made[kind] = make_encoder(root / kind, kind)
        return made[kind]

    return find
