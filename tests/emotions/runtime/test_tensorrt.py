"""TensorRT is taken where it is asked for, keeps its engines, and is refused in one line where it cannot be had."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest

import emotions
from emotions.bundle.bundle import read_bundle
from emotions.cli import run
from emotions.errors import BundleError, ConfigError
from emotions.runtime.session import open_session
from serving.settings import Settings
from serving.worker.startup import open_predictor
from tests.fake_cuda import FakeCuda


@pytest.fixture
def card(fake_cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    """A card, an ONNX Runtime with TensorRT, and TensorRT asked for; trials of CUDA's settings are on."""
    monkeypatch.setenv("EMOTIONS_GPU_PROVIDER", "tensorrt")
    monkeypatch.delenv("EMOTIONS_GPU_TRIAL")
    fake_cuda.tensorrt = True
    return fake_cuda


def test_it_answers_as_a_cpu_and_builds_one_engine_for_all_sessions_and_starts(
    card: FakeCuda, half_bundle: Path, private_cache: Path
) -> None:
    bundle = read_bundle(half_bundle)
    gpu, cpu = open_session(bundle, device="cuda", streams=2), open_session(bundle, device="cpu", threads=1)
    random = np.random.default_rng(0)
    for windows in (1, 5, 64, 70):
        waveform = random.normal(0, 0.1, (windows, 8_000)).astype(np.float32)
        length = np.full(windows, 8_000)
        expected, found = cpu.run(waveform, length), gpu.run(waveform, length)
        np.testing.assert_allclose(found["emotion"], expected["emotion"], atol=1e-5)
    open_session(bundle, device="cuda")
    (options,) = card.engines
    assert {name: value for name, value in options.items() if "cache_path" not in name} == {
        "device_id": "0",
        "trt_fp16_enable": "True",
        "trt_engine_cache_enable": "True",
        "trt_timing_cache_enable": "True",
        "trt_profile_min_shapes": "waveform:1x8000,length:1",
        "trt_profile_opt_shapes": "waveform:16x8000,length:16",
        "trt_profile_max_shapes": "waveform:64x8000,length:64",
    }
    folder = Path(options["trt_engine_cache_path"])
    assert folder.parent == private_cache / "tensorrt"
    assert (folder.parent / "CACHEDIR.TAG").is_file()  # `emotions cache clear` takes them, too
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert all("prefer_nhwc" not in asked for asked in card.asked)  # nothing of CUDA's is tried


def test_another_card_or_variant_has_engines_of_its_own(card: FakeCuda, half_bundle: Path) -> None:
    bundle = read_bundle(half_bundle)
    open_session(bundle, device="cuda", variant="fp16")
    card.driver.capability = (8, 0)
    open_session(bundle, device="cuda", variant="fp16")
    assert len(card.engines) == 2
    card.set("fp16")
    with pytest.raises(BundleError, match="answers its probe otherwise"):
        open_session(bundle, device="cuda", variant="fp16")


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("", r"ONNX Runtime \S+ is built without TensorRT; leave EMOTIONS_GPU_PROVIDER unset"),
        ("no TensorRT", r"a library is missing \(libnvinfer\.so\.10: .*\); install TensorRT, or leave"),
        ("TensorRT left out", "ONNX Runtime does not take TensorRT here; leave EMOTIONS_GPU_PROVIDER unset"),
    ],
)
@pytest.mark.parametrize("device", ["cuda", "auto"])
def test_where_it_cannot_be_had_it_is_refused_in_one_line_and_nothing_stands_in_for_it(
    card: FakeCuda, half_bundle: Path, fault: str, cause: str, device: str, capsys: pytest.CaptureFixture[str]
) -> None:
    card.set(fault)
    card.tensorrt = bool(fault)
    with pytest.raises(ConfigError, match=f"^EMOTIONS_GPU_PROVIDER=tensorrt: {cause}") as found:
        open_predictor(Settings(bundle=half_bundle, device=device, threads=1))  # type: ignore[arg-type]
    assert "\n" not in str(found.value)
    assert run(["info", str(half_bundle), "--device", device]) == 2
    assert capsys.readouterr().err.startswith("error: EMOTIONS_GPU_PROVIDER=tensorrt: ")


def test_a_gpu_that_cannot_be_used_is_said_as_without_it(card: FakeCuda, half_bundle: Path) -> None:
    card.set("driver")
    assert emotions.load(half_bundle).session.device == "cpu"
    card.set("")
    assert emotions.load(half_bundle, device="cpu").session.device == "cpu"
    assert card.engines == []


def test_other_words_and_windows_of_any_length_are_refused(
    card: FakeCuda, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copytree(tiny_bundle, tmp_path / "copy"))
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["window"]["dynamic"] = True
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ConfigError, match=r"the windows of \S+ are of any length.* leave EMOTIONS_GPU_PROVIDER unset"):
        open_session(read_bundle(copy), device="cuda")
    monkeypatch.setenv("EMOTIONS_GPU_PROVIDER", "rocm")
    with pytest.raises(ConfigError, match="EMOTIONS_GPU_PROVIDER='rocm': must be cuda or tensorrt"):
        open_session(read_bundle(tiny_bundle), device="cuda")
