"""Small datasets on disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Annotate = Callable[..., Path]


@pytest.fixture
def clip_wav(tmp_path: Path, write_wav: Callable[..., Path]) -> Callable[..., Path]:
    """``clip_wav(name, sec=0.1, seed=None)``: a noise clip below the dataset's folder, different for every name."""

    def write(name: str, sec: float = 0.1, rate: int = 16_000, subtype: str = "PCM_16") -> Path:
        random = np.random.default_rng(list(name.encode()))
        return write_wav(tmp_path / name, random.uniform(-0.3, 0.3, round(sec * rate)), rate, subtype)

    return write


@pytest.fixture
def annotate(tmp_path: Path, clip_wav: Callable[..., Path]) -> Annotate:
    """``annotate({name: columns}, missing=())``: a dataset with annotations.json; its folder."""

    def write(rows: Mapping[str, Any], missing: tuple[str, ...] = ()) -> Path:
        for name in rows:
            if name not in missing:
                clip_wav(name)
        (tmp_path / "annotations.json").write_text(json.dumps(rows), encoding="utf-8")
        return tmp_path

    return write
