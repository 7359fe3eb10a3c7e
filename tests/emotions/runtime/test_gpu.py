"""A GPU that cannot be used is said in one line with its cause; one that can runs what suits it."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

import emotions
from emotions.bundle.bundle import read_bundle
from emotions.cli import run
from emotions.errors import BundleError, DeviceError, DeviceLost, OutOfMemory
from emotions.folder.predict_files import open_parallel, predict_files
from emotions.inputs.discovery import find_files
from emotions.runtime.session import open_session
from tests.conftest import Tone, WriteWav
from tests.fake_cuda import FakeCuda

CAUSES = {
    "no provider": "ONNX Runtime .* is built without CUDA; uninstall onnxruntime and install onnxruntime-gpu",
    "driver": r"its driver 550\.54\.15 is too old: it is for CUDA 12\.4, and ONNX Runtime .* needs CUDA 13\.0; "
    "update the driver to 580 or newer",
    "library": r"a library is missing \(libcudnn\.so\.9: cannot open shared object file.*serve-gpu.* brings CUDA",
    "memory": r"its memory is too small for the model \(70\.0 of 80\.0 GB are free\); end other programs on it",
    "old card": r"NVIDIA Test, of compute capability 7\.0, is too old for onnxruntime-gpu",
    "new card": r"NVIDIA Test, of compute capability 10\.0, is too new for onnxruntime-gpu .*machine code for 7\.5",
    "hidden": "shows none to this process",
    "run memory 0": "its memory is too small for the model",
}


@pytest.mark.parametrize(("fault", "cause"), CAUSES.items())
def test_why_a_gpu_cannot_be_used_is_one_line_with_the_remedy(
    fake_cuda: FakeCuda, half_bundle: Path, fault: str, cause: str, capfd: pytest.CaptureFixture[str]
) -> None:
    fake_cuda.set(fault)
    with pytest.raises(DeviceError, match=cause) as found:
        open_session(read_bundle(half_bundle), device="cuda")
    assert "\n" not in str(found.value)
    assert "cpu" in str(found.value) or "install" in str(found.value)
    assert "onnxruntime_src" not in str(found.value)
    written = capfd.readouterr()
    assert written.out == ""
    # Of memory the log has a line of ours, which goes there where an earlier test set it up.
    assert all(line.endswith("from now on") for line in written.err.splitlines())


@pytest.mark.parametrize(("fault", "cause"), CAUSES.items())
def test_auto_takes_the_cpu_and_the_log_has_why(
    fake_cuda: FakeCuda, tiny_bundle: Path, fault: str, cause: str, caplog: pytest.LogCaptureFixture
) -> None:
    fake_cuda.set(fault)
    with caplog.at_level(logging.WARNING):
        assert open_session(read_bundle(tiny_bundle)).device == "cpu"
    (line,) = [record.getMessage() for record in caplog.records if "from now on" not in record.getMessage()]
    assert line.endswith("; the CPU is used instead")


def test_a_machine_without_a_card_is_not_talked_about(
    fake_cuda: FakeCuda, tiny_bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "nvidiactl").unlink()
    with caplog.at_level(logging.DEBUG):
        assert open_session(read_bundle(tiny_bundle)).device == "cpu"
    assert caplog.records == []
    with pytest.raises(DeviceError, match="there is no NVIDIA GPU here"):
        open_session(read_bundle(tiny_bundle), device="cuda")


def test_a_variant_for_cpus_that_is_named_runs_there_without_a_word(
    fake_cuda: FakeCuda, small_bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert open_session(read_bundle(small_bundle), variant="int8").device == "cpu"
    assert caplog.records == []


def test_fp32_runs_without_tf32_and_fp16_with_tensor_cores(fake_cuda: FakeCuda, half_bundle: Path) -> None:
    assert open_session(read_bundle(half_bundle), device="cuda").variant == "fp16"
    assert all("use_tf32" not in options for options in fake_cuda.asked)
    fake_cuda.asked.clear()
    assert open_session(read_bundle(half_bundle), device="cuda", variant="fp32").variant == "fp32"
    assert fake_cuda.asked
    assert all(options["use_tf32"] == "0" for options in fake_cuda.asked)


@pytest.mark.parametrize("fault", ["fp16", "probe nan"])
@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_fp16_that_misses_its_probe_gives_way_to_fp32_unless_it_was_named(
    fake_cuda: FakeCuda, half_bundle: Path, fault: str, device: str, caplog: pytest.LogCaptureFixture
) -> None:
    fake_cuda.set(fault)
    with caplog.at_level(logging.WARNING):
        session = open_session(read_bundle(half_bundle), device=device, variant="auto")  # type: ignore[arg-type]
    assert (session.device, session.variant) == ("cuda", "fp32")
    (line,) = [record.getMessage() for record in caplog.records]
    assert "on cuda the fp16 model answers its probe otherwise than at export" in line
    assert line.endswith("; fp32 runs instead")
    with pytest.raises(BundleError, match=r"on cuda the fp16 model answers .* name another variant, such as fp32"):
        open_session(read_bundle(half_bundle), device=device, variant="fp16")  # type: ignore[arg-type]


def test_answers_on_a_gpus_shapes_are_those_of_a_cpu(fake_cuda: FakeCuda, tiny_bundle: Path) -> None:
    bundle = read_bundle(tiny_bundle)
    cpu, gpu = open_session(bundle, device="cpu", threads=1), open_session(bundle, device="cuda", streams=2)
    random = np.random.default_rng(0)
    for windows in (1, 2, 7, 8, 9, 20, 63, 64, 65, 130):
        waveform = random.normal(0, 0.1, (windows, bundle.manifest.window.samples)).astype(np.float32)
        length = random.integers(400, waveform.shape[1], windows)
        expected, found = cpu.run(waveform, length), gpu.run(waveform, length)
        for target, values in expected.items():
            np.testing.assert_allclose(found[target], values, atol=1e-5)
    assert {*fake_cuda.runs} <= {1, 2, 4, 8, 16, 32, 64}
    assert max(fake_cuda.runs) == 64


def test_a_folder_goes_on_in_smaller_batches(
    fake_cuda: FakeCuda,
    tiny_bundle: Path,
    tmp_path: Path,
    tone: Tone,
    write_wav: WriteWav,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for index in range(70):
        write_wav(tmp_path / "clips" / f"{index:02}.wav", tone(0.4, 200 + 20 * index))
    files = find_files([tmp_path / "clips"]).files
    expected = [*predict_files(emotions.load(tiny_bundle, device="cpu"), files)]
    model, runs = open_parallel(tiny_bundle, device="cuda")
    fake_cuda.set("run memory 20")
    with caplog.at_level(logging.WARNING):
        results = [*predict_files(model, files, parallel_batches=runs)]
    assert 1 <= len(caplog.records) <= 2
    assert max(fake_cuda.runs) == 16
    for result, said in zip(results, expected, strict=True):
        assert result.prediction is not None
        assert said.prediction is not None
        assert result.prediction.probabilities["emotion"] == pytest.approx(
            said.prediction.probabilities["emotion"], abs=1e-5
        )
    fake_cuda.set("run memory 0")
    results = [*predict_files(model, files[:3], parallel_batches=runs)]
    assert [result.code for result in results] == ["out_of_memory"] * 3
    fake_cuda.set("")
    assert all(result.prediction for result in predict_files(model, files, parallel_batches=runs))


def test_a_folder_ends_with_the_reason_where_the_card_is_lost(
    fake_cuda: FakeCuda, tiny_bundle: Path, tmp_path: Path, tone: Tone, write_wav: WriteWav
) -> None:
    for index in range(3):
        write_wav(tmp_path / f"{index}.wav", tone(0.4))
    model, runs = open_parallel(tiny_bundle, device="cuda")
    fake_cuda.set("lost ecc")
    with pytest.raises(DeviceLost, match="uncorrectable ECC error"):
        [*predict_files(model, find_files([tmp_path]).files, parallel_batches=runs)]


def test_a_folder_goes_on_in_another_process_once_the_card_is_back(
    fake_cuda: FakeCuda,
    tiny_bundle: Path,
    tmp_path: Path,
    tone: Tone,
    write_wav: WriteWav,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for index in range(3):
        write_wav(tmp_path / "clips" / f"{index}.wav", tone(0.4))
    command = ["predict", str(tmp_path / "clips"), "--bundle", str(tiny_bundle), "--output", str(tmp_path / "o.csv")]
    real, runs = fake_cuda.fail_to_run, list[int]()

    def lost_after_the_probe(windows: int) -> None:
        runs.append(windows)
        fake_cuda.fault = "lost illegal address" if len(runs) > 6 else ""
        real(windows)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fake_cuda, "fail_to_run", lost_after_the_probe)
        assert run([*command, "--device", "cuda"]) == 2
    assert "error: the GPU was lost while it computed (an illegal memory access" in capsys.readouterr().err
    fake_cuda.set("")
    assert run([*command, "--device", "cuda", "--resume"]) == 0
    assert len((tmp_path / "o.csv").read_text().splitlines()) == 4


def test_one_window_that_memory_does_not_hold_is_said_in_python(fake_cuda: FakeCuda, tiny_bundle: Path) -> None:
    predictor = emotions.load(tiny_bundle, device="cuda")
    fake_cuda.set("run memory 0")
    with pytest.raises(OutOfMemory, match=r"lacks memory for a window of 0\.5 s"):
        predictor.predict(np.full(8_000, 0.1, np.float32))


def test_the_command_line_says_the_cause(
    fake_cuda: FakeCuda, half_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["info", str(half_bundle), "--device", "cuda"]) == 0
    shown = capsys.readouterr()
    assert "fp16 on cuda" in shown.out
    assert "NVIDIA Test, compute capability 9.0, driver 550.54.15 for CUDA 13.0" in shown.out
    fake_cuda.set("driver")
    assert run(["info", str(half_bundle), "--device", "cuda"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: the GPU cannot be used: its driver 550.54.15 is too old")
    assert run(["info", str(half_bundle)]) == 0
    shown = capsys.readouterr()
    assert "fp32 on cpu" in shown.out
    assert shown.err.startswith("warning: the GPU cannot be used: its driver 550.54.15 is too old")
    assert shown.err.splitlines()[0].endswith("; the CPU is used instead")


def test_the_command_line_serves_a_folder_in_fp32_and_says_so(
    fake_cuda: FakeCuda,
    half_bundle: Path,
    tmp_path: Path,
    tone: Tone,
    write_wav: WriteWav,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_wav(tmp_path / "a.wav", tone(1.2))
    fake_cuda.set("fp16")
    arguments = ["predict", str(tmp_path / "a.wav"), "--bundle", str(half_bundle), "--output", str(tmp_path / "o.csv")]
    assert run(arguments) == 0
    shown = capsys.readouterr()
    assert "fp32 runs instead" in shown.err
    assert "fp32" in shown.out
    assert run([*arguments[:-1], str(tmp_path / "p.csv"), "--variant", "fp16"]) == 2
    assert "name another variant, such as fp32" in capsys.readouterr().err
