from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer

from emotions import cli
from emotions.bundle.bundle import Bundle
from emotions.bundle.manifest import Manifest, TensorSpec, Variant, Window
from emotions.bundle.summary import describe, warnings
from emotions.errors import DataError, plain

ROOT = Path(__file__).parents[2]
CONFIG = {"pipeline": [{"type": "train", "model": "SpectrogramCnnClassifier"}]}
HEAVY = ["numpy", "onnxruntime", "httpx", "torch", "av", "soundfile", "bentoml", "lightning", "pyarrow", "rich"]
OF_PIPELINES = ["training.config", "export.config", "serving.config"]
"""With pydantic, half of the time of ``--help`` where they are imported; typer imports pydantic for options."""


def emotions(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "emotions.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(CONFIG))
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    code = cli.run([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_version() -> None:
    ran = emotions("--version")
    assert ran.returncode == 0
    assert ran.stdout.startswith("emotions ")


def test_help_lists_commands(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["--help"]):
        code, out, err = run(capsys, *arguments)
        assert (code, err) == (0, "")
        for command in ("train", "validate", "info", "data", "cache", "bundle"):
            assert f"\n  {command} " in out


@pytest.mark.parametrize("command", ["--help", "validate", "train --help"])
def test_light_commands_import_nothing_heavy(config: Path, command: str) -> None:
    arguments = ["validate", "--config-file", str(config)] if command == "validate" else command.split()
    light = {"--help": [*OF_PIPELINES, "pydantic"], "train --help": OF_PIPELINES, "validate": []}
    heavy = [*HEAVY, *light[command]]
    code = f"""
import sys
from emotions import cli
assert cli.run({arguments!r}) == 0
print(*(name for name in {heavy!r} if name in sys.modules), file=sys.stderr)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ran.stderr.strip() == ""


def test_validate(config: Path) -> None:
    ran = emotions("validate", "--config-file", config, "--set", "pipeline.0.learn_params.max_epoch=3")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == f"{config}: valid (1 step: train)\n"


def test_faults_go_to_stderr_without_traceback(config: Path) -> None:
    ran = emotions("validate", "--config-file", config, "--set", "pipeline.0.modle=1", "--set", "seed=x")
    assert (ran.returncode, ran.stdout) == (2, "")
    first, *rest = ran.stderr.splitlines()
    assert first == f"error: {config}: 2 faults"
    assert [line.split(":")[0].strip() for line in rest] == ["seed", "pipeline[0].modle"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["exprt"], "error: No such command 'exprt'. Did you mean 'export'?; see emotions --help"),
        (["validate"], "error: Missing option '--config-file'; see emotions validate --help"),
        (["data"], "error: Missing command; see emotions data --help"),
        (["info", "/nowhere"], "error: /nowhere: is not a bundle (no such folder)"),
        (["validate", "--config-file", "/nowhere"], "error: /nowhere: cannot be read (No such file or directory)"),
    ],
)
def test_mistakes_are_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert run(capsys, *arguments) == (2, "", f"{message}\n")


def test_names_from_elsewhere_steer_no_terminal(
    capsys: pytest.CaptureFixture[str], tiny_bundle: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(tiny_bundle, tmp_path / "copy")
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"]["\x1b[2J\x1b]0;mine\x07.txt"] = "0" * 64
    (copy / "manifest.json").write_text(json.dumps(manifest))
    code, out, err = run(capsys, "bundle", "verify", copy)
    assert code == 2
    assert "\x1b" not in out + err
    assert r"lacks \x1b[2J\x1b]0;mine\x07.txt, which its manifest lists" in err


def test_a_search_without_data_or_space_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = ROOT / "tests/training/seed_configs/tune.TransformerClassifier.config.json"
    code, _, err = run(capsys, "train", "--config-file", config)
    assert (code, err.splitlines()[-1].startswith("error: no dataset: looked in")) == (2, True)
    fixed = '{"layer_1_size": 8}', '{"lr": {"base_lr": 0.1}, "batch_size": 4}'
    keys = ("model_architecture", "learn_params")
    changes = [f"pipeline.0.{key}={value}" for key, value in zip(keys, fixed, strict=True)]
    code, _, err = run(capsys, "train", "--config-file", config, "--set", changes[0], "--set", changes[1])
    assert (code, err.startswith("error: the tune step has nothing to tune")) == (2, True)


def test_train_py_is_the_same_command(config: Path) -> None:
    arguments = ["train", "--config-file", str(config), "--set", "seed=-1"]
    command = [sys.executable, str(ROOT / "train.py"), *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (ran.returncode, ran.stderr) == (2, emotions(*arguments).stderr)


def failing(error: BaseException) -> typer.Typer:
    app = typer.Typer()

    @app.callback()
    def group() -> None: ...

    @app.command()
    def fail() -> None:
        raise error

    return app


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (DataError("no clips"), 2, "error: no clips\n"),
        (OSError(errno.ENOSPC, "No space left on device", "/full/x"), 2, "error: /full/x: No space left on device\n"),
        (PermissionError(errno.EACCES, "Permission denied"), 2, "error: Permission denied\n"),
        (KeyboardInterrupt(), 130, ""),
        (typer.Exit(3), 3, ""),
    ],
)
def test_exit_codes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, words: str
) -> None:
    monkeypatch.setattr(cli, "build_app", lambda: failing(error))
    assert run(capsys, "fail") == (code, "", words)


@pytest.mark.parametrize("error", [ZeroDivisionError(), OSError(errno.EIO, "Input/output error")])
def test_defects_keep_their_traceback(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(cli, "build_app", lambda: failing(error))
    with pytest.raises(type(error)):
        cli.run(["fail"])


def test_telemetry_is_off_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    monkeypatch.setenv("DO_NOT_TRACK", "0")
    cli.no_telemetry()
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert os.environ["DO_NOT_TRACK"] == "0"


@pytest.mark.parametrize(
    "code",
    ["import emotions.predictor", "import serving.telemetry.metrics", "import export.bundle.report"],
)
def test_onnx_runtime_reports_nothing_and_leaves_no_files(tmp_path: Path, code: str) -> None:
    folders = {"TMPDIR": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    kept = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, **folders, "MPLCONFIGDIR": "/nowhere"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not [path for path in tmp_path.rglob("*") if path.name == ".ses" or "Microsoft" in path.parts]


def test_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "schema")
    assert code == 0
    assert "TrainStep" in json.loads(out)["$defs"]


def test_info_of_a_bundle(capsys: pytest.CaptureFixture[str], tiny_bundle: Path) -> None:
    code, out, err = run(capsys, "info", tiny_bundle)
    assert code == 0
    for words in ("tiny@", "waveform float32 [batch, 8000]", "angry, happy, sad", "0.5 s, hop 0.5 s", "model.onnx"):
        assert words in out
    assert err == "warning: the bundle holds no metrics: nobody measured what its answers are worth\n"


def test_verify_a_bundle(capsys: pytest.CaptureFixture[str], tiny_bundle: Path) -> None:
    code, out, _ = run(capsys, "bundle", "verify", tiny_bundle)
    assert code == 0
    assert "OK (2 files, fp32 on " in out


def test_verify_refuses_an_altered_bundle(
    capsys: pytest.CaptureFixture[str], tiny_bundle: Path, tmp_path: Path
) -> None:
    broken = Path(shutil.copytree(tiny_bundle, tmp_path / "broken"))
    with (broken / "model.onnx").open("ab") as stream:
        stream.write(b"x")
    code, out, err = run(capsys, "bundle", "verify", broken)
    assert (code, out) == (2, "")
    assert "model.onnx is not the file that was exported" in err


def manifest(**keys: Any) -> Manifest:
    fp32 = Variant(file="model.onnx", bytes=5, sha256="0" * 64, device="any", max_abs_diff=0, agreement=1)
    return Manifest(
        name=keys.pop("name", "test"),
        created=datetime(2026, 1, 2, tzinfo=UTC),
        toolkit_version="0.1.0",
        targets={"emotion": ["a", "b"]},
        window=Window(samples=16_000, hop_samples=8_000),
        inputs=[TensorSpec(name="waveform", dtype="float32", shape=("batch", 16_000))],
        outputs=[TensorSpec(name="emotion", dtype="float32", shape=("batch", 2))],
        model={},
        variants={"fp32": fp32},
        files={"model.onnx": "0" * 64, "probe.npz": "0" * 64},
        **keys,
    )


def test_info_tells_figures_with_their_protocol() -> None:
    metrics = {"protocol": "speaker-disjoint hold-out", "emotion": {"uar": 0.5, "confusion": {"a": {"a": 1}}}}
    text = describe(Bundle(Path("x"), manifest(metrics=metrics)), "fp32", "cpu")
    assert "protocol           speaker-disjoint hold-out" in text
    assert "emotion.uar        0.500" in text
    assert "confusion" not in text
    assert warnings(manifest(metrics=metrics)) == []


def test_info_warns_of_shared_speakers() -> None:
    (warning,) = warnings(manifest(metrics={"protocol": "random clips", "emotion": {"uar": 0.9}}))
    assert "not speaker-disjoint (random clips)" in warning


@pytest.mark.parametrize(
    ("licence", "told"),
    [("cc-by-nc-sa-4.0", True), ("CC_BY_NC", True), ("apache-2.0", False), ("mit", False), (None, False)],
)
def test_info_says_of_a_licence_that_it_forbids_commercial_use(licence: str | None, told: bool) -> None:
    metrics = {"protocol": "speaker-disjoint hold-out", "emotion": {"uar": 0.5}}
    found = warnings(manifest(metrics=metrics, encoder={"license": licence} if licence else None))
    assert found == ([f"NON-COMMERCIAL: the model's licence, {licence}, forbids commercial use"] if told else [])


def test_a_bundle_does_not_steer_the_terminal() -> None:
    text = describe(Bundle(Path("x"), manifest(name="a\x1b[2Jb\nc")), "fp32", "cpu")
    assert "\x1b" not in text
    assert "a\\x1b[2Jb\\nc@" in text
    assert plain("гнев é 怒") == "гнев é 怒"


def test_commands_are_listed_in_groups_by_what_they_are_for(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "--help")
    titles = [line for line in out.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert titles == ["Options:", "From recordings to answers:", "Know what to trust:", "Files:", "This machine:"]
    assert out.index("\n  init ") < out.index("\n  train ") < out.index("\n  predict ") < out.index("\n  serve ")
    assert "..." not in out.partition("\n")[2]


def test_shells_complete_commands_and_options() -> None:
    for words, number, completed in (("emotions pre", 1, "predict"), ("emotions predict --wind", 2, "--windows")):
        environment = {"_EMOTIONS_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(number)}
        command = [sys.executable, "-c", "from emotions.cli import main; main()"]
        ran = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
        assert ran.stdout.strip() == completed
