"""Memory that a card copies from directly: held while it is used, given back, and done without where it is refused."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

from emotions.runtime import cuda_driver
from emotions.runtime.cuda_driver import pinned
from emotions.runtime.io_binding import Buffers
from emotions.runtime.session import onnx_run
from tests.fake_cuda import Driver, FakeCuda


class Pinning(Driver):
    """Keeps what is pinned: address -> bytes; refuses it where ``status`` is not 0."""

    def __init__(self, status: int = 0) -> None:
        super().__init__()
        self.held: dict[int, int] = {}
        self.status, self.contexts = status, 0

    def cuMemHostRegister_v2(self, address: Any, size: Any, _: int) -> int:  # noqa: N802
        assert self.contexts == 1
        if self.status == 0:
            self.held[address.value] = size.value
        return self.status

    def cuMemHostUnregister(self, address: Any) -> int:  # noqa: N802
        assert self.contexts == 1
        del self.held[address.value]
        return 0

    def cuCtxPushCurrent_v2(self, _: Any) -> int:  # noqa: N802
        self.contexts += 1
        return 0

    def cuCtxPopCurrent_v2(self, _: Any) -> int:  # noqa: N802
        self.contexts -= 1
        return 0


def test_memory_is_pinned_while_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Pinning()
    monkeypatch.setattr(cuda_driver, "library", lambda: driver)
    array = pinned((2, 8_000), np.float32, 0)
    assert array is not None
    assert driver.held == {array.ctypes.data: 64_000}
    del array
    gc.collect()
    assert (driver.held, driver.contexts) == ({}, 0)


@pytest.mark.parametrize("status", [0, 2])
def test_batches_are_copied_from_pinned_memory_and_without_it_where_it_is_refused(
    fake_cuda: FakeCuda, half_bundle: Any, status: int
) -> None:
    import onnxruntime as ort

    driver = fake_cuda.driver = Pinning(status)
    session = ort.InferenceSession(str(half_bundle / "model.onnx"), providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    waveform, length = random.normal(0, 0.1, (4, 8_000)).astype(np.float32), np.full(4, 8_000, np.int64)
    bound = Buffers({"emotion": 3}, "cuda").bound_run(session, 4, 8_000)
    assert [*driver.held.values()] == [4 * 8_000 * 4] * (status == 0)
    expected = onnx_run(session, ["emotion"])(waveform, length)["emotion"]
    np.testing.assert_array_equal(bound(waveform, length)["emotion"], expected)
    del bound
    gc.collect()
    assert not driver.held
