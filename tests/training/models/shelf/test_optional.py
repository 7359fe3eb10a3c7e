"""An encoder that is not required is left out where it cannot be had, with a word; a wrong one is still refused."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from emotions.errors import ConfigError
from emotions.pipeline.runner import Context
from tests.pages import text_of
from tests.training.conftest import MakeStep
from tests.training.models.shelf.test_fetch import make_wheel
from training.config.train import TrainStep
from training.loop.fit import fit
from training.models.shelf import catalogue
from training.models.shelf.catalogue import SMART_TURN, ShelfEncoder
from training.models.shelf.optional import with_what_is_there

NOWHERE = "http://127.0.0.1:9/simple"


@pytest.fixture
def no_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    settings = {"PIP_INDEX_URL": NOWHERE, "PIP_RETRIES": "0", "PIP_CONFIG_FILE": "/dev/null"}
    for name, value in {**settings, "EMOTIONS_CACHE": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)


def step_of(make_step: MakeStep, **architecture: Any) -> TrainStep:
    small = {"members": 1, "layer_1_size": 8, "input_dropout": 0.0, "dropout": 0.0}
    return make_step(model="FunctionalsClassifier", model_architecture={**small, **architecture})


def test_without_a_network_a_model_is_trained_without_and_says_so(
    no_index: None, make_step: MakeStep, context: Context, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        run = fit(step_of(make_step, encoder="smart-turn-v3.2", encoder_required=False), context)
    index = json.loads((run / "run.json").read_text())
    said = "without the encoder smart-turn-v3.2, by the statistics of the sound alone: smart-turn-v3.2: pip cannot"
    assert index["missing"].startswith(said)
    assert said in caplog.text
    assert "rained without the encoder" in text_of((run / "report.html").read_text())
    assert json.loads((run / "model.json").read_text())["architecture"]["encoder"] is None


def test_an_encoder_that_is_required_is_missed(no_index: None, make_step: MakeStep, context: Context) -> None:
    with pytest.raises(ConfigError, match="pip cannot download"):
        fit(step_of(make_step, encoder="smart-turn-v3.2"), context)


def test_another_artefact_is_refused_all_the_same(
    make_step: MakeStep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    made = vars(SMART_TURN) | {"name": "tiny", "package": "tiny-voices==1.0", "wheel": make_wheel(wheels).name}
    monkeypatch.setitem(catalogue.SHELF, "tiny", ShelfEncoder(**made))
    settings = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PIP_CONFIG_FILE": "/dev/null"}
    for name, value in {**settings, "EMOTIONS_CACHE": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="is not the"):
        with_what_is_there(step_of(make_step, encoder="tiny", encoder_required=False))


def test_nothing_is_asked_of_other_models(make_step: MakeStep) -> None:
    step = make_step()
    assert with_what_is_there(step) == (step, None)
