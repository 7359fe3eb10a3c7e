"""The example pipeline shows all there is to set: a key that is added to a ``train`` step has to be added to it too."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic
import pytest

from training.config.architectures import ARCHITECTURES
from training.config.evaluate import Candidate, Choice, EvaluateStep
from training.config.train import TrainStep
from training.config.tune import TuneParams

ROOT = Path(__file__).parents[2]
EXAMPLE = json.loads((ROOT / "configs" / "example.config.json").read_text(encoding="utf-8"))
SEARCH = json.loads((ROOT / "configs" / "tune.SpectrogramCnnClassifier.config.json").read_text(encoding="utf-8"))
MEASUREMENT = json.loads((ROOT / "configs" / "evaluate.SpectrogramCnnClassifier.config.json").read_text("utf-8"))
SEARCHING = {"tune", "print_tune_res"}
"""Steps of a search, which takes many times as long as a training: an example of its own shows them."""


def missing(model: type[pydantic.BaseModel], shown: dict[str, Any], where: str = "") -> Iterator[str]:
    """Paths of the keys of ``model`` that ``shown`` does not have, blocks within it included."""
    for name, field in model.model_fields.items():
        if name not in shown:
            yield f"{where}{name}"
        elif isinstance(field.annotation, type) and issubclass(field.annotation, pydantic.BaseModel):
            yield from missing(field.annotation, shown[name], f"{where}{name}.")


def test_the_example_shows_every_step_that_runs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    steps = set(project["entry-points"]["emotions.steps"])
    assert {step["type"] for step in EXAMPLE["pipeline"]} == steps - SEARCHING - {"evaluate"}
    assert [step["type"] for step in MEASUREMENT["pipeline"]] == ["evaluate"]


def test_the_example_of_a_measurement_shows_every_key() -> None:
    (step,) = MEASUREMENT["pipeline"]
    own = {name for name in missing(EvaluateStep, step) if not name.startswith("saving_data_params.")}
    assert own == set()
    assert list(missing(Choice, step["choose"])) == []
    assert all(list(missing(Candidate, each)) == [] for each in step["choose"]["candidates"])


def test_the_example_of_a_search_shows_its_steps_and_keys() -> None:
    tune, report, export = SEARCH["pipeline"]
    assert {tune["type"], report["type"]} == SEARCHING
    assert export == {"type": "export", "source": "best_trial", "refit": False}
    assert list(missing(TuneParams, tune["tune"])) == []
    assert {"tune_results_path", "tune_results_dir", "tune_session_path"} <= {*tune["saving_data_params"]}


def test_the_example_shows_every_key_of_a_train_step() -> None:
    (step,) = [step for step in EXAMPLE["pipeline"] if step["type"] == "train"]
    assert list(missing(TrainStep, step)) == []


@pytest.mark.parametrize("model", list(ARCHITECTURES))
def test_each_model_has_an_example_with_every_key_of_its_architecture(model: str) -> None:
    path = ROOT / "configs" / f"train.{model}.config.json"
    (step,) = json.loads(path.read_text(encoding="utf-8"))["pipeline"]
    assert step["model"] == model
    assert list(missing(ARCHITECTURES[model], step["model_architecture"])) == []
    assert ARCHITECTURES[model].model_validate(step["model_architecture"]) == ARCHITECTURES[model]()


def test_the_recipe_is_measured_as_it_is_and_with_the_first_candidate_its_own() -> None:
    recipes = ROOT / "configs" / "recipes"
    (train,) = json.loads((recipes / "small_corpus.json").read_text("utf-8"))["pipeline"]
    (evaluate,) = json.loads((recipes / "small_corpus_evaluation.json").read_text("utf-8"))["pipeline"]
    step = EvaluateStep.model_validate(evaluate)
    assert {key: evaluate[key] for key in train if key != "type"} == {key: train[key] for key in train if key != "type"}
    assert step.candidates()[0] == step.training()
