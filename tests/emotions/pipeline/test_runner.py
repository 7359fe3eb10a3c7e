from __future__ import annotations

import contextlib
import copy
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotions.errors import ConfigError, DataError, Fault, MissingExtra, OutputExists
from emotions.pipeline.overrides import left_over, override, replace
from emotions.pipeline.packages import missing_extras, module_exists
from emotions.pipeline.runner import (
    Context,
    Pipeline,
    PlannedStep,
    Step,
    load_pipeline,
    pipeline_schema,
    run_pipeline,
)
from emotions.pipeline.schema import StepConfig

Write = Callable[[Any], Path]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    # Keys are never replaced; what stands for a placeholder in one would change the text that is compared with.
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text().filter(lambda key: "$$" not in key), inner),
    max_leaves=8,
)
KEYS = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(document: Any) -> Path:
        path = tmp_path / "pipeline.json"
        path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
        return path

    return to_file


def train(**keys: Any) -> dict[str, Any]:
    return {"type": "train", "model": "SpectrogramCnnClassifier", **keys}


def faults_of(path: Path, *overrides: str) -> dict[str, Fault]:
    with pytest.raises(ConfigError) as caught:
        load_pipeline(path, overrides)
    return {fault.where: fault for fault in caught.value.faults}


def test_smallest_file_has_defaults(write: Write) -> None:
    pipeline = load_pipeline(write({"pipeline": [train()]}))
    assert (pipeline.seed, pipeline.workers) == (0, 0)
    assert pipeline.steps[0].config.learn_params.batch_size == 16
    assert pipeline.root == Path.cwd()


def test_all_faults_are_reported_at_once(write: Write) -> None:
    broken = train(learn_params={"batch_sise": 3, "max_epoch": "3", "lr": {"base_lr": True}})
    faults = faults_of(write({"pipeline": [broken, {"type": "trian"}, 7, {}], "seed": -1, "sed": 0}))
    assert set(faults) == {
        "seed",
        "sed",
        "pipeline[0].learn_params.batch_sise",
        "pipeline[0].learn_params.max_epoch",
        "pipeline[0].learn_params.lr.base_lr",
        "pipeline[1].type",
        "pipeline[2]",
        "pipeline[3].type",
    }
    misspelt = faults["pipeline[0].learn_params.batch_sise"]
    assert misspelt.found == "unknown key"
    assert misspelt.remedy.startswith("did you mean 'batch_size'? allowed: lr, scheduler, warm_up, batch_size")
    assert faults["pipeline[0].learn_params.max_epoch"] == Fault(
        "pipeline[0].learn_params.max_epoch", '"3"', "must be an integer"
    )
    assert "did you mean 'train'?" in faults["pipeline[1].type"].remedy
    assert faults["pipeline[3].type"].found == "missing"


@pytest.mark.parametrize(
    ("key", "value", "found", "remedy"),
    [
        ("batch_size", "16", '"16"', "must be an integer"),
        ("batch_size", True, "true", "must be an integer"),
        ("batch_size", 16.0, "16.0", "must be an integer"),
        ("batch_size", 1, "1", "must be greater than or equal to 2"),
        ("batch_size", [16], "a list", "must be an integer"),
        ("padding_sec", "5", '"5"', "must be a number"),
        ("padding_sec", False, "false", "must be a number"),
        ("padding_sec", 0, "0", "must be greater than or equal to 0.1"),
        ("lr", 0.1, "0.1", "must be an object"),
        ("class_weights", "balance", '"balance"', "did you mean 'balanced'? must be 'balanced' or 'none'"),
    ],
)
def test_nothing_is_coerced(write: Write, key: str, value: Any, found: str, remedy: str) -> None:
    faults = faults_of(write({"pipeline": [train(learn_params={key: value})]}))
    where = f"pipeline[0].learn_params.{key}"
    assert faults == {where: Fault(where, found, remedy)}


def test_an_integer_does_for_a_number(write: Write) -> None:
    assert load_pipeline(write({"pipeline": [train(learn_params={"padding_sec": 5})]})).steps


def test_members_of_a_union_are_one_fault(write: Write) -> None:
    faults = faults_of(write({"pipeline": [train(devices=1.5, dataset={"path": 3})]}))
    assert faults["pipeline[0].devices"].remedy == "must be 'auto' or an integer"
    assert faults["pipeline[0].dataset.path"].remedy == "must be a string or a list"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON"),
        ('{"pipeline": [}', "pipeline.json:1:15: is not JSON"),
        ('{"seed": 1, "seed": 2}', "the key 'seed' stands twice"),
        ('{"pipeline": [], "seed": NaN}', "NaN is not a JSON number"),
        ('{"seed": Infinity}', "Infinity is not a JSON number"),
        ("[]", "the file: a list; must be an object"),
        ("null", "the file: null; must be an object"),
        ("{}", "pipeline: missing; must be given"),
        ('{"pipeline": []}', "pipeline: a list; must not be empty"),
        ('{"pipeline": {}}', "pipeline: an object; must be a list"),
    ],
)
def test_no_pipeline_file(write: Write, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_pipeline(write(text))


def test_a_number_beyond_floats_is_refused(write: Write) -> None:
    text = json.dumps({"pipeline": [train(learn_params={"padding_sec": 1})]}).replace("1}", "1e999}")
    assert "pipeline[0].learn_params.padding_sec" in faults_of(write(text))


def test_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.json: cannot be read \(No such file or directory\)$"):
        load_pipeline(tmp_path / "none.json")


def test_paths_need_not_exist(write: Write) -> None:
    step = train(dataset={"path": "/nowhere"}, saving_data_params={"saved_checkpoints_path": ["/nowhere/at/all"]})
    assert load_pipeline(write({"pipeline": [step]})).steps


def test_placeholders_in_values_and_defaults(write: Write, tmp_path: Path) -> None:
    step = train(name="$$MODEL_NAME$$ of $$DATETIME$$", dataset={"path": ["$$ROOT_DIR$$", "clips"]})
    pipeline = load_pipeline(write({"pipeline": [step, step]}), root=tmp_path)
    first, second = (planned.config for planned in pipeline.steps)
    model, time = first.name.split(" of ")
    assert model == "SpectrogramCnnClassifier"
    assert re.fullmatch(r"\d{8}-\d{6}", time)
    assert first == second
    assert first.dataset.path == [str(tmp_path), "clips"]
    assert first.saving_data_params.saved_checkpoints_path == [str(tmp_path), "runs", model, time]
    assert first.saving_data_params.saved_checkpoints_filename[2] == "_{epoch:02d}"
    assert pipeline.document["pipeline"][0]["name"] == first.name


def test_misspelt_placeholder_is_a_fault(write: Write) -> None:
    faults = faults_of(write({"pipeline": [{"type": "print_tune_res", "res_path": ["$$ROOTDIR$$", "$$MODEL_NAME$$"]}]}))
    assert faults["pipeline[0].res_path[0]"].remedy.startswith("did you mean 'ROOT_DIR'?")
    assert faults["pipeline[0].res_path[1]"].remedy == "stands for the step's model, and this step has none"


@given(JSON)
def test_replace_changes_nothing_but_placeholders(value: Any) -> None:
    names = {"ROOT_DIR": "/root", "MODEL_NAME": "m", "DATETIME": "d"}
    assert replace(value, names) == json.loads(
        json.dumps(value).replace("$$ROOT_DIR$$", "/root").replace("$$MODEL_NAME$$", "m").replace("$$DATETIME$$", "d")
    )


@given(st.lists(st.text(alphabet=st.characters(exclude_characters="$")) | st.just("$$ROOT_DIR$$")), st.text())
def test_replace_is_done_once(parts: list[str], root: str) -> None:
    replaced = replace("".join(parts), {"ROOT_DIR": root})
    assert replaced == "".join(root if part == "$$ROOT_DIR$$" else part for part in parts)


@given(st.dictionaries(KEYS, st.text(alphabet="abc$ _")))
def test_left_over_finds_no_placeholder_where_there_is_none(value: dict[str, str]) -> None:
    assert left_over(value, "x") == [
        fault for fault in left_over(value, "x") if "$$" in value[fault.where.removeprefix("x.")]
    ]


@given(st.lists(KEYS, min_size=1, max_size=4), JSON)
def test_override_makes_parents_and_reads_json(keys: list[str], value: Any) -> None:
    found: Any = override({}, [f"{'.'.join(keys)}={json.dumps(value)}"])
    for key in keys:
        assert list(found) == [key]
        found = found[key]
    assert found == value


@given(KEYS, st.text())
def test_override_takes_what_is_not_json_as_text(key: str, text: str) -> None:
    try:
        expected = json.loads(text, parse_constant=lambda _: pytest.skip("NaN is refused"))
    except ValueError:
        expected = text
    assert override({}, [f"{key}={text}"]) == {key: expected}


@given(JSON, st.text(max_size=30))
def test_override_fails_with_its_own_error_only_and_leaves_the_document(document: Any, text: str) -> None:
    before = copy.deepcopy(document)
    with contextlib.suppress(ConfigError):
        override(document, [text])
    assert document == before


def test_override_of_list_items() -> None:
    document = {"pipeline": [{"a": 1}, {"a": 2}]}
    assert override(document, ["pipeline.1.a=3", "pipeline.0.b.c=x=y"]) == {
        "pipeline": [{"a": 1, "b": {"c": "x=y"}}, {"a": 3}]
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pipeline", "must read path=value"),
        ("=3", "must read path=value"),
        ("a..b=3", "must read path=value"),
        ("pipeline.2.a=3", "'2' is no index of this list; its indices: 0 to 1"),
        ("pipeline.-1.a=3", "'-1' is no index"),
        ("pipeline.first.a=3", "'first' is no index"),
        ("pipeline." + "9" * 5000 + "=3", "is no index"),
        ("seed.a=3", "'a' would lie inside 0, which is neither an object nor a list"),
        ("seed=NaN", "--set seed: NaN is not a JSON number"),
        ('seed={"a": 1, "a": 2}', "the key 'a' stands twice"),
    ],
)
def test_impossible_overrides(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        override({"pipeline": [{}, {}], "seed": 0}, [text])


def test_overrides_are_validated_and_kept(write: Write) -> None:
    path = write({"pipeline": [train()]})
    pipeline = load_pipeline(path, ["pipeline.0.learn_params.max_epoch=3", "seed=7"])
    assert pipeline.steps[0].config.learn_params.max_epoch == 3
    assert pipeline.seed == 7
    assert pipeline.document["pipeline"][0]["learn_params"] == {"max_epoch": 3}
    assert "pipeline[0].learn_params.max_epoch" in faults_of(path, "pipeline.0.learn_params.max_epoch=three")


class Note(StepConfig):
    type: Literal["note"] = "note"
    text: str


def planned(run: Callable[[Note, Context], None], text: str) -> PlannedStep:
    return PlannedStep(Step(lambda: Note, run), Note(text=text), {"type": "note", "text": text})


def test_steps_run_in_order_with_one_context(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def run(config: Note, context: Context) -> None:
        context.last_run = (context.last_run or context.root) / config.text

    steps = (planned(run, "a"), planned(run, "b"))
    context = run_pipeline(Pipeline(steps, {"pipeline": []}, tmp_path, seed=3, workers=1))
    assert context.last_run == tmp_path / "a" / "b"
    assert (context.seed, context.workers) == (3, 1)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == ["step 1 of 2: note", "step 2 of 2: note"]


def test_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_: Note, __: Context) -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch.nn")

    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match=r"torch is not installed: it comes with the extra 'train'"):
        run_pipeline(Pipeline((planned(run, "a"),), {}, tmp_path, 0, 0))


@pytest.mark.parametrize("name", ["json.nothing", "onnx.nothing", "nothing_at_all"])
def test_a_defect_of_ours_is_no_missing_extra(name: str) -> None:
    with pytest.raises(ModuleNotFoundError), missing_extras():
        raise ModuleNotFoundError(name=name)


@pytest.mark.parametrize(
    ("name", "there"), [("emotions.cli", True), ("emotions.nothing", False), ("nothing.at_all", False)]
)
def test_a_slim_image_may_lack_a_package(name: str, there: bool) -> None:
    assert module_exists(name) == there


def test_a_package_that_shadows_ours_is_named(tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "__init__.py").touch()
    command = [sys.executable, "-m", "emotions.cli", "--help"]
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: the package 'training' is imported from {tmp_path / 'training' / '__init__.py'}")
    assert "rename it" in line


def test_schema_file_is_the_one_generated() -> None:
    """Made anew by ``emotions schema > configs/schema/pipeline.schema.json``."""
    path = Path(__file__).parents[3] / "configs" / "schema" / "pipeline.schema.json"
    assert json.loads(path.read_text(encoding="utf-8")) == pipeline_schema()


def test_an_output_that_exists_is_found_before_the_first_step_runs(tmp_path: Path) -> None:
    (tmp_path / "table.csv").touch()
    steps = [
        {"type": "train", "model": "SpectrogramCnnClassifier", "dataset": {"path": "none"}},
        {"type": "predict", "inputs": "none", "output": "table.csv"},
    ]
    (tmp_path / "pipeline.json").write_text(json.dumps({"pipeline": steps}))
    pipeline = load_pipeline(tmp_path / "pipeline.json", root=tmp_path)
    with pytest.raises(OutputExists, match=r"table\.csv: is there already"):
        run_pipeline(pipeline)
    (tmp_path / "table.csv").unlink()
    with pytest.raises(DataError, match="none"):
        run_pipeline(pipeline)
