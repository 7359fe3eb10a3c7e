from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
from pydantic import ValidationError

from emotions.errors import ConfigError
from emotions.pipeline.runner import load_pipeline, pipeline_schema
from emotions.pipeline.schema import Block
from training.config.architectures import ARCHITECTURES, SPACE_KINDS, ModelName
from training.config.dataset import Column, DatasetConfig, Pattern
from training.config.learning import LearnParams
from training.config.train import ModelSpec, TrainStep, model_spec
from training.config.tune import DEFAULT_SPACES, SEARCHABLE_ARCHITECTURES, SearchSpace, TuneStep

ROOT = Path(__file__).parents[3]
SEED_CONFIGS = sorted((Path(__file__).parents[1] / "seed_configs").glob("*.json"))
EXAMPLES = sorted([*(ROOT / "configs").glob("*.json"), *(ROOT / "configs" / "recipes").glob("*.json")])
MODELS = list(ARCHITECTURES)


def step_faults(tmp_path: Path, **step: Any) -> dict[str, str]:
    """Remedies by path below ``pipeline[0].``; empty where the step is right."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"pipeline": [step]}))
    try:
        load_pipeline(path)
    except ConfigError as error:
        return {fault.where.removeprefix("pipeline[0]."): fault.remedy for fault in error.faults}
    return {}


def test_seed_configs_are_all_there() -> None:
    assert [path.name.split(".")[0] for path in SEED_CONFIGS] == ["print_tune_res", "train", "tune"]


@pytest.mark.parametrize("path", [*SEED_CONFIGS, *EXAMPLES], ids=lambda path: path.name)
def test_files_are_valid_as_they_are(path: Path) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    assert load_pipeline(path).steps
    jsonschema.Draft202012Validator(pipeline_schema()).validate(document)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_name_their_schema(path: Path) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    assert (path.parent / document["$schema"]).is_file()


def test_values_of_the_seed_train_step() -> None:
    step = load_pipeline(SEED_CONFIGS[1], root=Path("/project")).steps[0].config
    assert isinstance(step, TrainStep)
    assert step.model_architecture.model_dump() == {
        "encoder": "facebook/wav2vec2-base",
        "freeze": True,
        "trainable_layers": "all",
        "embedding": "projection",
        "pooling": "mean",
        "conv_h_count": 1,
        "conv_w_count": 1,
        "layer_1_size": 32,
        "layer_2_size": 32,
    }
    assert step.learn_params.lr.conv_lr == 0.0007505403591860749
    assert step.learn_params.batch_size == 8
    path = Path(*step.saving_data_params.saved_checkpoints_path)
    assert path.parent == Path("/project/weights/checkpoints/Wav2Vec2FnClassifier")
    assert "".join(step.saving_data_params.saved_checkpoints_filename) == f"classifier_{path.name}_{{epoch:02d}}"


def test_values_of_the_seed_tune_step() -> None:
    step = load_pipeline(SEED_CONFIGS[2]).steps[0].config
    assert isinstance(step, TuneStep)
    searched = step.model_architecture.model_dump(include={*DEFAULT_SPACES})
    assert searched == {key: {"choice": DEFAULT_SPACES[key].choice} for key in searched}
    assert len(searched) == 5
    assert step.learn_params.model_dump(include={"lr", "batch_size", "spectrogram_size"}) == {
        "lr": {"base_lr": {"loguniform": [1e-4, 1e-1]}, "conv_lr": None, "encoder_lr": 1e-5},
        "batch_size": {"choice": [8, 16, 32]},
        "spectrogram_size": 512,
    }
    assert step.tune.num_samples == 100
    assert step.tune.target_metric_name == "val/emotion_uar"


def test_every_model_has_an_architecture_with_defaults() -> None:
    assert list(get_args(ModelName)) == MODELS
    for model, architecture in ARCHITECTURES.items():
        assert TrainStep.model_validate({"model": model}).model_architecture == architecture()


@pytest.mark.parametrize("model", MODELS)
def test_learn_params_without_use_are_accepted(tmp_path: Path, model: str) -> None:
    learn_params = {"spectrogram_size": 256, "padding_sec": 5, "lr": {"conv_lr": 0.1}}
    assert step_faults(tmp_path, type="train", model=model, learn_params=learn_params) == {}


@pytest.mark.parametrize(
    ("architecture", "remedy"),
    [
        ({}, "needs freeze: false beside it"),
        ({"freeze": True}, "needs freeze: false beside it"),
        ({"freeze": False}, "needs an embedding of the transformer: weighted, or the number of a layer"),
        ({"freeze": False, "embedding": "projection"}, "needs an embedding of the transformer"),
        ({"freeze": False, "embedding": 1}, "must be at most 1, the layer that is the embedding"),
    ],
)
def test_trainable_layers_need_layers_that_train(tmp_path: Path, architecture: dict[str, Any], remedy: str) -> None:
    step: dict[str, Any] = {"type": "train", "model": "Wav2Vec2FnClassifier"}
    found = step_faults(tmp_path, **step, model_architecture={**architecture, "trainable_layers": 2})
    assert found["model_architecture.trainable_layers"].startswith(remedy)
    fitting = {"freeze": False, "embedding": "weighted", "trainable_layers": 2}
    assert step_faults(tmp_path, **step, model_architecture=fitting) == {}


@pytest.mark.parametrize("embedding", ["last", -1, True, 1.0])
def test_an_embedding_that_no_encoder_has_is_refused(tmp_path: Path, embedding: Any) -> None:
    step = {"type": "train", "model": "Wav2Vec2CnnClassifier", "model_architecture": {"embedding": embedding}}
    assert step_faults(tmp_path, **step)


@pytest.mark.parametrize(
    ("key", "wrong", "allowed"),
    [("keep", "newest", "'best' or 'last'"), ("loss", "hinge", "'cross_entropy' or 'focal'")],
)
def test_a_choice_that_is_none_names_those_there_are(tmp_path: Path, key: str, wrong: str, allowed: str) -> None:
    step = {"type": "train", "model": "SpectrogramCnnClassifier", "learn_params": {key: wrong}}
    (where, remedy), *rest = step_faults(tmp_path, **step).items()
    assert (where, rest) == (f"learn_params.{key}", [])
    assert allowed in remedy


def test_keys_of_another_architecture_are_refused(tmp_path: Path) -> None:
    step = {"type": "train", "model": "SpectrogramCnnClassifier", "model_architecture": {"layer_1_size": 3}}
    (where, remedy), *rest = step_faults(tmp_path, **step).items()
    assert (where, rest) == ("model_architecture.layer_1_size", [])
    assert remedy == "allowed: backbone, scale, dropout"


@pytest.mark.parametrize(
    ("model", "key"),
    [
        (model, key)
        for model, block in ARCHITECTURES.items()
        for key in block.model_fields
        if (model, key) != ("FunctionalsClassifier", "encoder")  # there null stands for none
    ],
)
def test_null_is_for_tune_steps_and_keys_with_a_space(tmp_path: Path, model: str, key: str) -> None:
    step: dict[str, Any] = {"model": model, "model_architecture": {key: None}}
    where = f"model_architecture.{key}"
    assert step_faults(tmp_path, type="train", **step) == {where: "needs a value: null is only allowed in a tune step"}
    remedy = step_faults(tmp_path, type="tune", **step).get(where, "")
    assert remedy.startswith("null has no default search space") == (key not in DEFAULT_SPACES)


def test_null_learning_rate_in_a_train_step(tmp_path: Path) -> None:
    step = {"model": "Wav2Vec2FnClassifier", "learn_params": {"lr": {"base_lr": None, "conv_lr": None}}}
    found = step_faults(tmp_path, type="train", **step)
    assert list(found) == ["learn_params.lr.base_lr", "learn_params.lr.conv_lr"]
    assert step_faults(tmp_path, type="tune", **step) == {}


@pytest.mark.parametrize("kind", sorted(SPACE_KINDS))
def test_search_spaces_are_for_tune_steps(tmp_path: Path, kind: str) -> None:
    step = {"model": "SpectrogramCnnClassifier", "model_architecture": {"dropout": {kind: [0.1, 0.5]}}}
    if kind == "randint":
        step["model_architecture"] = {"dropout": {kind: [0, 1]}}
        assert step_faults(tmp_path, type="tune", **step) == {"model_architecture.dropout": "must be less than 1"}
    else:
        assert step_faults(tmp_path, type="tune", **step) == {}
    (remedy,) = step_faults(tmp_path, type="train", **step).values()
    assert remedy == "needs a value: a search space is only allowed in a tune step"


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ({"choice": []}, "must not be empty"),
        ({"choice": [8, "x"]}, "must be an integer"),
        ({"choice": [8, 1]}, "must be greater than or equal to 2"),
        ({"choice": 8}, "must be a list"),
        ({"randint": [32, 8]}, "the range [32, 8] is empty"),
        ({"randint": [8, 8]}, "the range [8, 8] is empty"),
        ({"randint": [8]}, "at least 2 items"),
        ({"uniform": [8.5, 9.5]}, "must be an integer"),
        ({"loguniform": [0, 8]}, "must lie above 0"),
        ({"choice": [8], "randint": [8, 9]}, "has one key"),
        ({"choice": None}, "has one key"),
        ({}, "has one key"),
        ({"choise": [8]}, "did you mean 'choice'?"),
        ("16", "must be an integer"),
    ],
)
def test_impossible_search_spaces(tmp_path: Path, space: Any, words: str) -> None:
    step = {"type": "tune", "model": "SpectrogramCnnClassifier", "learn_params": {"batch_size": space}}
    found = step_faults(tmp_path, **step)
    assert all(where.startswith("learn_params.batch_size") for where in found)
    assert any(words in remedy for remedy in found.values())


def test_default_spaces_fit_their_keys() -> None:
    blocks: list[type[Block]] = [*SEARCHABLE_ARCHITECTURES.values()]
    keys = {key for block in blocks for key in block.model_fields} | {"base_lr", "conv_lr", "batch_size"}
    assert keys >= DEFAULT_SPACES.keys()
    for model, architecture in ARCHITECTURES.items():
        for key in architecture.model_fields.keys() & DEFAULT_SPACES.keys():
            step = {"model": model, "model_architecture": {key: {"choice": DEFAULT_SPACES[key].choice}}}
            searched = TuneStep.model_validate(step).model_architecture
            assert getattr(searched, key) == SearchSpace(choice=DEFAULT_SPACES[key].choice)


@pytest.mark.parametrize(
    ("patch", "size", "fits"), [(16, 128, True), (7, 128, False), (32, 128, False), (64, 512, True), (128, 512, False)]
)
def test_patches_of_a_transformer(tmp_path: Path, patch: int, size: int, fits: bool) -> None:
    step = {
        "model": "TransformerClassifier",
        "model_architecture": {"patch_transformer_size": patch},
        "learn_params": {"spectrogram_size": size},
    }
    for kind in ("train", "tune"):
        assert (step_faults(tmp_path, type=kind, **step) == {}) == fits


def test_rules_between_fields_are_reported_with_the_other_faults(tmp_path: Path) -> None:
    found = step_faults(
        tmp_path,
        type="train",
        model="TransformerClassifier",
        model_architecture={"patch_transformer_size": 7, "layer_1_size": "x"},
        learn_params={"batch_size": 1},
        dataset={"split": {"val": 0.5, "test": 0.5}},
    )
    assert list(found) == [
        "dataset.split",
        "model_architecture.layer_1_size",
        "learn_params.batch_size",
        "model_architecture.patch_transformer_size",
    ]
    assert (
        found["model_architecture.patch_transformer_size"] == "must divide learn_params.spectrogram_size, which is 128"
    )


def test_a_search_needs_one_possible_combination(tmp_path: Path) -> None:
    patches = {"choice": [32, 7]}
    step = {"type": "tune", "model": "TransformerClassifier", "model_architecture": {"patch_transformer_size": patches}}
    (remedy,) = step_faults(tmp_path, **step).values()
    assert remedy.startswith("none of these is possible: ")
    patches["choice"].append(16)
    assert step_faults(tmp_path, **step) == {}


@pytest.mark.parametrize("broken", [None, "x", {"patch_transformer_size": "x"}, {"patch_transformer_size": 0}, [1]])
def test_rules_between_fields_bear_any_value(tmp_path: Path, broken: Any) -> None:
    for kind, block in itertools.product(("train", "tune"), ("model_architecture", "learn_params")):
        step = {"type": kind, "model": "TransformerClassifier", block: broken}
        assert all(where.startswith(block) for where in step_faults(tmp_path, **step))
        assert step_faults(tmp_path, **step)


@pytest.mark.parametrize(
    ("name", "resolved"),
    [
        ("val/em_acc", "val/emotion_wa"),
        ("val/st_acc", "val/state_wa"),
        ("val/гнев_uar", "val/гнев_uar"),
        ("val/loss", "val/loss"),
        ("loss", None),
        ("val/emotion_f1", None),
    ],
)
def test_target_metric(name: str, resolved: str | None) -> None:
    step = {"model": "SpectrogramCnnClassifier", "tune": {"target_metric_name": name}}
    if resolved is None:
        with pytest.raises(ValidationError, match="val/<target>_uar"):
            TuneStep.model_validate(step)
    else:
        assert TuneStep.model_validate(step).tune.target_metric_name == resolved


def test_origin_of_speakers() -> None:
    config = DatasetConfig.model_validate({"speaker": {"column": "who"}, "recording": {"pattern": "(.*)_"}})
    assert (config.speaker, config.recording) == (Column(column="who"), Pattern(pattern="(.*)_"))


@pytest.mark.parametrize(
    ("dataset", "where"),
    [
        ({"speaker": {"pattern": "no group"}}, "dataset.speaker.pattern"),
        ({"speaker": {"pattern": "("}}, "dataset.speaker.pattern"),
        ({"speaker": "speaker"}, "dataset.speaker"),
        ({"recording": {"column": "a", "pattern": "(a)"}}, "dataset.recording.pattern"),
        ({"split": {"val": 0.6, "test": 0.4}}, "dataset.split"),
        ({"split": {"val": 0}}, "dataset.split.val"),
        ({"format": "csv"}, "dataset.format"),
        ({"targets": []}, "dataset.targets"),
        ({"pth": "x"}, "dataset.pth"),
    ],
)
def test_impossible_datasets(tmp_path: Path, dataset: Any, where: str) -> None:
    found = step_faults(tmp_path, type="train", model="SpectrogramCnnClassifier", dataset=dataset)
    assert list(found) == [where]


def test_a_plain_string_is_a_path_of_one_part() -> None:
    saving = {"saved_checkpoints_path": "runs/mine", "tensorboard_lr_monitors_logs_name": "mine"}
    step = TrainStep.model_validate({"model": "SpectrogramCnnClassifier", "saving_data_params": saving})
    assert step.saving_data_params.saved_checkpoints_path == ["runs/mine"]
    assert step.saving_data_params.tensorboard_lr_monitors_logs_name == ["mine"]


def test_model_spec_survives_json() -> None:
    step = TrainStep.model_validate({"model": "SpectrogramCnnClassifier", "learn_params": {"padding_sec": 2.5}})
    spec = model_spec(step, {"emotion": ["гнев", "joy"], "state": ["a", "b"]})
    assert spec.window_samples == 40_000
    assert spec.architecture == {"backbone": "efficientnet_b0", "scale": "mel", "dropout": 0.2}
    again = ModelSpec.model_validate_json(spec.model_dump_json())
    assert again == spec
    assert list(again.targets) == ["emotion", "state"]


def test_new_models_have_the_newest_features_and_old_specs_the_first() -> None:
    step = TrainStep.model_validate({"model": "FunctionalsClassifier"})
    spec = model_spec(step, {"emotion": ["a", "b"]})
    assert spec.features == 2
    assert ModelSpec.model_validate(spec.model_dump(exclude={"features"})).features == 1


def test_steps_are_frozen() -> None:
    with pytest.raises(ValidationError):
        LearnParams().batch_size = 3


def test_schema_tells_architectures_apart_by_model() -> None:
    validator = jsonschema.Draft202012Validator(pipeline_schema())
    step = {"type": "train", "model": "TransformerClassifier", "model_architecture": {"transformer_depth": 2}}
    assert validator.is_valid({"pipeline": [step]})
    assert not validator.is_valid({"pipeline": [{**step, "model": "SpectrogramCnnClassifier"}]})
    assert not validator.is_valid({"pipeline": [{**step, "type": "tune", "model_architecture": {"scale": None}}]})
    searched = {**step, "type": "tune", "model_architecture": {"transformer_depth": None}}
    assert validator.is_valid({"pipeline": [searched]})


@pytest.mark.parametrize("kind", ["train", "tune"])
@pytest.mark.parametrize(("features", "fits"), [({}, False), ({"probability": 0.5}, False), ({"probability": 0}, True)])
def test_statistics_have_nothing_to_mask(tmp_path: Path, kind: str, features: dict[str, Any], fits: bool) -> None:
    step = {"model": "FunctionalsClassifier", "learn_params": {"augmentation": {"features": features}}}
    if kind == "tune":
        step["model_architecture"] = {"members": None}
    found = step_faults(tmp_path, type=kind, **step)
    assert {*found} == (set() if fits else {"learn_params.augmentation.features.probability"})
    assert all("input_dropout" in remedy for remedy in found.values())
    assert step_faults(tmp_path, type=kind, **{**step, "learn_params": {"augmentation": {"mixup_alpha": 0.2}}}) == {}
