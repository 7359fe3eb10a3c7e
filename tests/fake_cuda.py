"""A GPU where there is none: sessions that say they run on CUDA and run on the CPU, and fail as ONNX Runtime fails.

In a test the fixture ``fake_cuda`` installs it; in the processes of a real server ``sitecustomize`` does, by the
variable ``FAKE_CUDA``, which has the fault's name. Messages are those of ONNX Runtime, from its reports and binaries.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
_CALL = "/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_call.cc:122 std::conditional_t<THRW, void, Status> "
_AT = (
    " ; GPU=0 ; hostname=h ; file=/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_execution_provider.cc ; "
    "line=336 ; expr=cudaSetDevice(info_.device_id); \n"
)
OLD_DRIVER = f"{_CALL}CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version{_AT}"
NO_MEMORY = f"{_CALL}CUDA failure 2: out of memory{_AT}"
_NODE = (
    "[ONNXRuntimeError] : {code} : Non-zero status code returned while running Conv node. Name:'/c' Status Message: "
)
NO_KERNEL = (
    _NODE.format(code="1 : FAIL")
    + "CUDA error cudaErrorNoKernelImageForDevice:no kernel image is available for execution on the device"
)
NO_MEMORY_IN_RUN = (
    _NODE.format(code="6 : RUNTIME_EXCEPTION")
    + "\n/onnxruntime_src/onnxruntime/core/framework/bfc_arena.cc:376 void* "
    + "onnxruntime::BFCArena::AllocateRawInternal(size_t, bool, onnxruntime::Stream*) "
    + "Failed to allocate memory for requested buffer of size 2830172160\n"
)
LOST = {
    "illegal address": _NODE.format(code="1 : FAIL")
    + "CUDA failure 700: an illegal memory access was encountered ; GPU=0 ; hostname=h ; file=cuda_stream_handle.cc ; "
    + "line=207 ; expr=cudaStreamSynchronize(static_cast<cudaStream_t>(GetHandle())); ",
    "launch": _NODE.format(code="1 : FAIL") + "CUDA error cudaErrorLaunchFailure:unspecified launch failure",
    "ecc": f"{_CALL}CUDA failure 214: uncorrectable ECC error encountered{_AT}",
    "assert": f"{_CALL}CUDA failure 710: device-side assert triggered{_AT}",
    "unknown": f"{_CALL}CUDA failure 999: unknown error{_AT}",
    "cublas": _NODE.format(code="1 : FAIL") + "CUBLAS failure 13: CUBLAS_STATUS_EXECUTION_FAILED ; GPU=0 ; hostname=h",
}
FAULTS = (
    "driver",
    "library",
    "memory",
    "old card",
    "new card",
    "no card",
    "no provider",
    "hidden",
    "fp16",
    "probe nan",
)
"""Faults at the start; ``run memory N``: N windows are the most that memory holds; ``nan`` after the probe."""


@dataclass
class Driver:
    """The driver's library, as ctypes would call it."""

    cuda: int = 13000
    capability: tuple[int, int] = (9, 0)
    cards: int = 1
    free: int = 70_000_000_000

    def __getattr__(self, name: str) -> Callable[..., int]:
        """Any other call succeeds."""
        return lambda *_: 0

    def cuDriverGetVersion(self, version: Any) -> int:  # noqa: N802
        version._obj.value = self.cuda
        return 0

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        count._obj.value = self.cards
        return 0 if self.cards else 100

    def cuDeviceGetName(self, name: Any, *_: Any) -> int:  # noqa: N802
        name.value = b"NVIDIA Test"
        return 0

    def cuDeviceGetAttribute(self, value: Any, which: int, _: Any) -> int:  # noqa: N802
        value._obj.value = self.capability[which - 75]
        return 0

    def cuMemGetInfo_v2(self, free: Any, total: Any) -> int:  # noqa: N802
        free._obj.value, total._obj.value = self.free, 80_000_000_000
        return 0


class FakeCuda:
    """The state of the machine; ``set`` may be called while sessions run.

    Faults at the start are ``driver``, ``library``, ``memory``, ``old card``, ``new card``, ``no card``, ``hidden`` and
    ``no provider``; with ``fp16`` and ``probe nan`` the fp16 variant alone answers wrong. In runs ``run memory N``
    allows N windows at once, ``warm-up memory`` more than one alone, ``lost REASON`` none, for one of ``LOST``, and
    ``model`` none, for the input; ``nan`` is the answer to all.
    """

    def __init__(self) -> None:
        self.fault = ""
        self.driver = Driver()
        self.asked: list[dict[str, str]] = []
        """Options of the provider, of each session."""
        self.tensorrt = False
        """Whether ONNX Runtime is built with it."""
        self.engines: list[dict[str, str]] = []
        """Options of TensorRT, of each engine that was built."""
        self.lost_file: Path | None = None
        """While it is there the card is lost, for processes that run then, for good."""
        self.run_sec: Callable[[dict[str, str]], float] = lambda _: 0.0
        """Seconds that a run takes longer, by the provider's options."""
        self.wrong_with: set[str] = set()
        """Options of the provider with which the answers are wrong; with those in ``refused`` no session opens."""
        self.refused: set[str] = set()
        self.runs: list[int] = []
        """Windows of each run that reached a session."""
        self.replayed: list[int] = []
        """Windows of each run that replayed a graph."""
        self.captured: dict[Any, Any] = {}

    @property
    def most(self) -> int:
        """The most windows that memory holds."""
        return int(self.fault.rpartition(" ")[2]) if self.fault.startswith("run memory") else 10**9

    def set(self, fault: str) -> None:
        """Break something."""
        self.fault = fault
        self.driver.cuda = 12040 if fault == "driver" else 13000
        self.driver.cards = 0 if fault == "hidden" else 1
        self.driver.capability = {"old card": (7, 0), "new card": (10, 0)}.get(fault, (9, 0))

    def install(self, put: Callable[[Any, str, Any], Any], folder: Path) -> None:
        """Take the place of ONNX Runtime's provider and the driver.

        Args:
            put: ``setattr``, or a test's own.
            folder: for files of the system that are made up.
        """
        from emotions.runtime import cuda_driver, devices, gpu_causes, library_check

        real_value, real_load = ort.OrtValue.ortvalue_from_shape_and_type, self._session()
        control, release = folder / "nvidiactl", folder / "nvidia_version"
        if self.fault != "no card":
            control.touch()
        release.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\n")

        def value(shape: Any, kind: Any, device: str = "cpu", number: int = 0) -> Any:
            return real_value(shape, kind, "cpu" if device == "cuda" else device, 0 if device == "cuda" else number)

        def libraries(provider: str = "cuda") -> tuple[str, ...]:
            return (provider,)

        def library_fault(names: tuple[str, ...]) -> str:
            missing = {("cuda", "library"): "libcudnn.so.9", ("tensorrt", "no TensorRT"): "libnvinfer.so.10"}
            name = missing.get((*names, self.fault))
            return f"a library is missing ({name}: cannot open shared object file: No such file)" if name else ""

        def available() -> list[str]:
            return [CPU] if self.fault == "no provider" else [*([TENSORRT] if self.tensorrt else []), CUDA, CPU]

        put(ort, "InferenceSession", real_load)
        put(ort, "get_available_providers", available)
        put(ort, "cuda_version", "13.0")
        put(ort, "preload_dlls", lambda: print("Failed to load libcublasLt.so.13: no such file"))
        put(ort.OrtValue, "ortvalue_from_shape_and_type", staticmethod(value))
        put(gpu_causes, "libraries", libraries)
        put(library_check, "libraries", libraries)
        put(gpu_causes, "library_fault", library_fault)
        put(library_check, "library_fault", library_fault)
        put(cuda_driver, "library", lambda: self.driver)
        put(cuda_driver, "_RELEASE", release)
        put(devices, "_CONTROLS", (control,))

    def _session(self) -> type:
        machine = self

        class Session(ort.InferenceSession):  # type: ignore[misc]
            def __init__(self, path: str, options: Any = None, providers: Any = None, **named: Any) -> None:
                asked = [each for each in providers or [] if each[0] == CUDA]
                self.on_cuda, self.options = bool(asked), asked[0][1] if asked else {}
                self.half = "fp16" in Path(path).name
                first = [each[1] for each in providers or [] if each[0] == TENSORRT]
                self.on_tensorrt = bool(first) and machine.fault != "TensorRT left out"
                if self.on_tensorrt:
                    machine.build_engine(first[0])
                if asked:
                    assert named == {"enable_fallback": 0}, "ONNX Runtime's own fallback prints"
                    machine.asked.append(asked[0][1])
                    machine.fail_to_load(self.options)
                    self.on_cuda = machine.fault not in ("library", "hidden", "hidden library")
                super().__init__(path, options, providers=[CPU], **named)

            def get_providers(self) -> list[str]:
                return [*([TENSORRT] if self.on_tensorrt else []), *([CUDA] if self.on_cuda else []), CPU]

            def run_with_iobinding(self, binding: Any, run_options: Any = None) -> None:
                outputs = binding.get_outputs()
                machine.fail_to_run(outputs[0].shape()[0])
                machine.capture(self, binding, run_options)
                time.sleep(machine.run_sec(self.options))
                super().run_with_iobinding(binding, run_options)
                for output in outputs:
                    if machine.fault in ("nan", "probe nan") and (machine.fault == "nan" or self.half):
                        output.update_inplace(np.full(output.shape(), np.nan, np.float32))
                    elif (machine.fault == "fp16" and self.half) or machine.wrong_with & {*self.options}:
                        output.update_inplace(np.roll(output.numpy(), 1, axis=1).copy())

        return Session

    def build_engine(self, options: dict[str, str]) -> None:
        """Build an engine, unless the cache that is named has it."""
        assert options["trt_engine_cache_enable"] == "True"
        engine = Path(options["trt_engine_cache_path"]) / "TensorrtExecutionProvider_TRTKernel_sm90.engine"
        if not engine.exists():
            engine.touch()
            self.engines.append(options)

    def capture(self, session: Any, binding: Any, options: Any) -> None:
        """Capture a graph at the first run, as ONNX Runtime would; what it replays has the buffers of the capture."""
        name = options.get_run_config_entry("gpu_graph_id") if options else "0"
        if session.options.get("enable_cuda_graph") != "1" or name == "-1":
            return
        # The session is kept with it: another one must not be taken for it by its place in memory.
        key = (id(session), name)
        _, captured, thread = self.captured.setdefault(key, (session, binding, threading.get_ident()))
        assert captured is binding, "a replay would read the buffers of another shape"
        assert thread == threading.get_ident(), "a graph is its thread's own"
        self.replayed.append(binding.get_outputs()[0].shape()[0])

    def fail_to_load(self, options: dict[str, str]) -> None:
        """Raise what ONNX Runtime raises while it opens a session."""
        if named := self.refused & {*options}:
            raise RuntimeError(f"[ONNXRuntimeError] : 1 : FAIL : Unknown provider option: {named}")
        if self.fault == "driver":
            raise RuntimeError(OLD_DRIVER)
        if self.fault == "memory":
            raise RuntimeError(NO_MEMORY)

    def fail_to_run(self, windows: int) -> None:
        """Raise what ONNX Runtime raises in a run."""
        if self.lost_file is not None and self.lost_file.exists():
            self.fault = "lost illegal address"
        if self.fault.startswith("lost"):
            raise ort_errors.Fail(LOST[self.fault.partition(" ")[2]])
        if self.fault in ("old card", "new card"):
            raise ort_errors.Fail(NO_KERNEL)
        if self.fault == "model":
            raise ort_errors.InvalidArgument(f"{_NODE.format(code='2 : INVALID_ARGUMENT')}X num_dims does not match W")
        if windows > self.most or (self.fault == "warm-up memory" and windows == 1):
            raise ort_errors.RuntimeException(NO_MEMORY_IN_RUN)
        self.runs.append(windows)


def install_by_environment() -> None:
    """Install it in this process where ``FAKE_CUDA`` is set, for ``sitecustomize``."""
    fault, folder = os.environ.get("FAKE_CUDA"), os.environ.get("FAKE_CUDA_FOLDER")
    if fault is not None and folder is not None:
        machine = FakeCuda()
        machine.set(fault)
        machine.lost_file = Path(folder) / "lost"
        machine.install(setattr, Path(folder))
