"""The race of models that people ask for: a row each, with figures that fit together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import nn

from benchmarks.export import importers


@pytest.mark.slow
def test_a_model_is_built_quantised_and_raced(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: dict[str, Any] = {**importers._EMOTION2VEC, "convolutions": ((32, 10, 5), (32, 8, 4), (32, 4, 4))}
    monkeypatch.setattr(importers, "_EMOTION2VEC", sizes)

    def tiny(_folder: Path) -> nn.Module:
        return importers._emotion2vec(32, 2, 1, 1)

    monkeypatch.setattr(importers, "MODELS", {"tiny": tiny, "other": tiny})
    head, rule, row = importers.benchmark(["tiny"], 1, 1, 0.3, 2)
    assert head.count("|") == rule.count("|") == row.count("|")
    name, parameters, sizes_mib, fp32, int8, ratio = (cell.strip() for cell in row.strip("|").split("|"))
    assert (name, parameters) == ("tiny", "0")
    assert len(sizes_mib.split(", ")) == 2
    assert float(int8) / float(fp32) == pytest.approx(float(ratio), abs=0.02)


@pytest.mark.parametrize("model", ["nothing", ""])
def test_an_unknown_model_is_refused(model: str) -> None:
    from typer.testing import CliRunner

    from benchmarks.export.__main__ import app

    done = CliRunner().invoke(app, ["importers", "--model", model])
    assert done.exit_code == 2
    assert "is none of" in done.output
