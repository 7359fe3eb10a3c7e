"""Fixtures of the models' tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests.conftest import BuildOnce
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
def checkpoint(build_once: BuildOnce) -> Checkpoint:
    """``checkpoint(kind)``: the folder of a tiny encoder, written once."""
    return lambda kind: build_once(f"encoder-{kind}", lambda folder: make_encoder(folder / kind, kind))
