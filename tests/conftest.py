"""Fixtures that every test package shares: signals, files, a tiny bundle, and where the real recordings are."""

from __future__ import annotations

import fcntl
import io
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

# Two test processes share the cores with the servers and trainings that they start; torch's threads spin while they
# wait, and would take the cores from each other. Set before anything imports torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, settings

from emotions.audio.windows import FloatArray, Pooling
from tests import fake_codecarbon

# How long an example takes, or to draw one, is the machine's affair: it may be busy with something else at that moment.
settings.register_profile("any_machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any_machine")

_LONGEST = (
    "test_readme",
    "test_first_hour",
    "test_loop",
    "test_report_pages",
    "test_dry",
    "test_notebooks",
    "test_families",
)
"""Modules that take minutes: they begin first, so that at the end no process works for minutes while another waits."""

Tone = Callable[..., FloatArray]
WriteWav = Callable[..., Path]
WavBytes = Callable[..., bytes]
BuildOnce = Callable[[str, Callable[[Path], Path]], Path]


def needs(found: bool, what: str) -> None:
    """Skip a test for want of something, or fail it where everything must be there."""
    if found:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what}, and CI=true forbids to skip")
    pytest.skip(what)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the longest modules begin."""
    places = {name: place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


def with_index() -> dict[str, str]:
    """The environment of a command that may ask a package index, which tests are kept from else."""
    return {name: value for name, value in os.environ.items() if name != "PIP_NO_INDEX"}


@pytest.fixture(scope="session")
def emodb4() -> Path:
    """The real recordings: ``emodb4`` below ``EMOTIONS_TEST_DATA``."""
    folder = Path(os.environ.get("EMOTIONS_TEST_DATA", "")) / "emodb4"
    needs("EMOTIONS_TEST_DATA" in os.environ and folder.is_dir(), "EMOTIONS_TEST_DATA names no folder with emodb4")
    return folder


@pytest.fixture(scope="session")
def build_once(tmp_path_factory: pytest.TempPathFactory) -> BuildOnce:
    """``build_once(name, build)``: what ``build(folder)`` returned, a path in its folder; not to be changed.

    The first process of the session that asks for a name builds it, and the others wait; all get the same path. A
    name stands for one recipe, so it may not be used for two.
    """
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "built_once"

    def find(name: str, build: Callable[[Path], Path]) -> Path:
        folder, done = root / name, root / f"{name}.done"
        root.mkdir(exist_ok=True)
        with (root / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # a build that failed
                folder.mkdir()
                done.write_text(str(build(folder)), encoding="utf-8")
        return Path(done.read_text(encoding="utf-8"))

    return find


@pytest.fixture
def codecarbon(monkeypatch: pytest.MonkeyPatch) -> type[fake_codecarbon.Tracker]:
    """A stand-in for CodeCarbon is installed: the class of its trackers."""
    return fake_codecarbon.install(monkeypatch)


@pytest.fixture(scope="session")
def tone() -> Tone:
    """``tone(sec=1.0, hz=440.0, rate=16000)``: (samples,) float32 with an amplitude of 0.3."""

    def make(sec: float = 1.0, hz: float = 440.0, rate: int = 16_000) -> FloatArray:
        time = np.arange(round(sec * rate)) / rate
        return (0.3 * np.sin(2 * np.pi * hz * time)).astype(np.float32)

    return make


@pytest.fixture(scope="session")
def write_wav() -> WriteWav:
    """``write_wav(path, waveform, rate=16000, subtype="PCM_16")``: the path, its folder made."""

    def write(path: Path, waveform: Any, rate: int = 16_000, subtype: str = "PCM_16") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, waveform, rate, subtype=subtype)
        return path

    return write


@pytest.fixture(scope="session")
def wav_bytes() -> WavBytes:
    """``wav_bytes(waveform, rate=16000, subtype="FLOAT")``: a WAV file's bytes."""

    def make(waveform: FloatArray, rate: int = 16_000, subtype: str = "FLOAT") -> bytes:
        file = io.BytesIO()
        soundfile.write(file, waveform, rate, format="WAV", subtype=subtype)
        return file.getvalue()

    return make


@pytest.fixture(scope="session", autouse=True)
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fixtures that outlive a test have a cache of the session, never the user's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMOTIONS_CACHE", str(tmp_path_factory.mktemp("session_cache")))
        patch.setenv("PIP_NO_INDEX", "1")  # the recipe's encoder is left out, but where a test asks for it
        yield


@pytest.fixture(autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has a cache of its own, so that none sees what another left."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("EMOTIONS_CACHE", str(folder))
    return folder


TINY_WINDOW = 8_000
TINY_TARGETS = {"emotion": ["angry", "happy", "sad"], "state": ["negative", "positive"]}
AFFECT_TARGETS = {"emotion": ["angry", "happy", "sad"], "affect": ["arousal", "valence"]}
AFFECT_RANGES = {"affect": (-1.0, 3.0)}


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real bundle whose graph is a few operators: its answers follow the signal, window 0.5 s, two targets."""
    return make_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture(scope="session")
def small_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle with an int8 variant for CPUs, which is the same graph."""
    return make_tiny_bundle(tmp_path_factory.mktemp("bundles") / "small", {"int8": "cpu"})


@pytest.fixture(scope="session")
def affect_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle with a target of labels and one of dimensions, on the range -1 to 3."""
    return make_tiny_bundle(tmp_path_factory.mktemp("bundles") / "affect", targets=AFFECT_TARGETS, ranges=AFFECT_RANGES)


def make_tiny_bundle(
    path: Path,
    variants: Mapping[str, str] | None = None,
    pooling: Pooling = "mean",
    targets: Mapping[str, list[str]] = TINY_TARGETS,
    ranges: Mapping[str, tuple[float, float]] = MappingProxyType({}),
) -> Path:
    """Write the tiny bundle to ``path``; further variants, name -> device, hold the same graph.

    A target that has one of the ``ranges`` is of dimensions: its graph has no softmax.
    """
    import onnx

    from emotions.bundle.folders import write_bundle, write_manifest
    from emotions.bundle.manifest import Window
    from emotions.bundle.probe import Probe, write_probe
    from emotions.runtime.session import onnx_session

    devices = {"fp32": "any", **(variants or {})}
    with write_bundle(path) as folder:
        for name in devices:
            onnx.save(_tiny_graph(targets, ranges), folder / _file(name))
        waveform, length = _tiny_signals()
        session = onnx_session(folder / _file("fp32"), threads=1)
        answers = session.run(list(targets), {"waveform": waveform, "length": length})
        window = Window(samples=TINY_WINDOW, hop_samples=TINY_WINDOW)
        probe = Probe(waveform, length, dict(zip(targets, answers, strict=True)), ranges)
        write_probe(folder, probe, targets, window, pooling)
        write_manifest(folder, _tiny_manifest(folder, window, devices, targets, ranges, pooling))
    return path


def _file(variant: str) -> str:
    return "model.onnx" if variant == "fp32" else f"model.{variant}.onnx"


def _tiny_manifest(
    folder: Path, window: Any, devices: Mapping[str, str], targets: Any, ranges: Any, pooling: Pooling
) -> Any:
    from emotions.bundle.folders import hash_files
    from emotions.bundle.manifest import Manifest, TensorSpec, Variant

    files = hash_files(folder)

    def variant(name: str, device: Any) -> Variant:
        file = _file(name)
        size = (folder / file).stat().st_size
        return Variant(file=file, bytes=size, sha256=files[file], device=device, max_abs_diff=0.0, agreement=1.0)

    return Manifest(
        name="tiny",
        created=datetime.now(UTC),
        toolkit_version="0.1.0",
        format_version=2 if ranges else 1,
        targets=targets,
        ranges=ranges,
        window=window,
        pooling=pooling,
        inputs=[
            TensorSpec(name="waveform", dtype="float32", shape=("batch", TINY_WINDOW)),
            TensorSpec(name="length", dtype="int64", shape=("batch",)),
        ],
        outputs=[
            TensorSpec(name=target, dtype="float32", shape=("batch", len(labels))) for target, labels in targets.items()
        ],
        model={"model": "tiny"},
        variants={name: variant(name, device) for name, device in devices.items()},
        files=files,
    )


def _tiny_signals() -> tuple[FloatArray, Any]:
    random = np.random.default_rng(0)
    length = np.array([TINY_WINDOW, 4_000, 400], np.int64)
    waveform = random.normal(0, 0.1, (3, TINY_WINDOW)).astype(np.float32)
    waveform[np.arange(TINY_WINDOW) >= length[:, None]] = 0
    return waveform, length


def _tiny_graph(targets: Mapping[str, list[str]], ranges: Mapping[str, tuple[float, float]]) -> Any:
    """Mean power of eight bands of the signal, scaled by its length, through one random linear layer per target."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(1)
    time = np.arange(64) / 16_000
    basis = np.stack([np.sin(2 * np.pi * hz * time) for hz in (200, 400, 600, 900, 1300, 2000, 3000, 5000)])
    constants = {"basis": basis[:, None].astype(np.float32) / 8, "axes": np.array([1], np.int64)}
    nodes = [
        helper.make_node("Unsqueeze", ["waveform", "axes"], ["channel"]),
        helper.make_node("Conv", ["channel", "basis"], ["bands"], strides=[16]),
        helper.make_node("Abs", ["bands"], ["power"]),
        helper.make_node("ReduceMean", ["power", "time"], ["mean"], keepdims=0),
        helper.make_node("Cast", ["length"], ["samples"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["samples", "axes"], ["column"]),
        helper.make_node("Div", ["mean", "column"], ["scaled"]),
    ]
    constants["time"] = np.array([2], np.int64)
    outputs = []
    for target, labels in targets.items():
        constants[f"{target}_w"] = random.normal(0, 6e3 if target in ranges else 6e4, (8, len(labels))).astype(
            np.float32
        )
        nodes.append(helper.make_node("MatMul", ["scaled", f"{target}_w"], [f"{target}_logits"]))
        last = ("Tanh", {}) if target in ranges else ("Softmax", {"axis": 1})
        nodes.append(helper.make_node(last[0], [f"{target}_logits"], [target], **last[1]))
        outputs.append(helper.make_tensor_value_info(target, TensorProto.FLOAT, ["batch", len(labels)]))
    inputs = [
        helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["batch", TINY_WINDOW]),
        helper.make_tensor_value_info("length", TensorProto.INT64, ["batch"]),
    ]
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return model


@pytest.fixture
def fake_cuda(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A machine with a GPU, ``tests.fake_cuda.FakeCuda``; ``fake_cuda.set(fault)`` breaks something."""
    from tests.fake_cuda import FakeCuda

    monkeypatch.setenv("EMOTIONS_LOAD_CHECK", "off")  # a process for each graph, on the CPU
    monkeypatch.setenv("EMOTIONS_GPU_TRIAL", "off")  # further sessions; its tests switch it on
    machine = FakeCuda()
    machine.install(monkeypatch.setattr, tmp_path)
    return machine


@pytest.fixture(scope="session")
def half_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle with an fp16 variant for GPUs, which is the same graph."""
    return make_tiny_bundle(tmp_path_factory.mktemp("bundles") / "half", {"fp16": "cuda"})
