"""What ONNX Runtime raises, and how its messages are read: it tells kinds of failure apart by their text alone."""

from __future__ import annotations

import re

from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from emotions.errors import first_line

# ONNX Runtime's exceptions have no common base but Exception.
ORT_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError,
    ValueError,
    *(e for e in vars(ort_errors).values() if isinstance(e, type) and issubclass(e, Exception)),
)
"""Everything that it raises."""

_OUT_OF_MEMORY = re.compile(
    r"failed to allocate memory|out of memory|cudaErrorMemoryAllocation|bad_?alloc"
    r"|CU(DA|DNN|BLAS|FFT)\w*(ALLOC_FAILED|RESOURCE_ALLOCATION\w*)|CUDA failure 2\b",
    re.IGNORECASE,
)
# Errors after which every later call of the same process fails, too (CUDA Runtime API, "cudaError": "the only way to
# continue using CUDA is to exit the process"), or for which the card itself is gone.
_LOST = re.compile(
    r"CUDA failure (46|100|201|214|220|226|700|702|709|71[04-9]|721|911|999)\b"
    r"|cudaError(ECCUncorrectable|NvlinkUncorrectable|Contained|Illegal(Address|Instruction)|MisalignedAddress"
    r"|Invalid(AddressSpace|Pc)|HardwareStackError|Launch(Failure|Timeout)|Assert|ContextIsDestroyed"
    r"|Device(Uninitialized|sUnavailable)|NoDevice|ExternalDevice|TensorMemoryLeak|Unknown)\b"
    r"|CU(DNN|BLAS|FFT)_STATUS_EXECUTION_FAILED"
    r"|illegal memory access|unspecified launch failure|device-side assert|uncorrectable (ECC|NVLink) error"
    r"|fallen off the bus|device (was |is )?lost\b",
    re.IGNORECASE,
)
_OF_DEVICE = re.compile(
    r"CU(DA|DNN|BLAS|FFT|RAND)\w*[ _](failure|error|status)|cuda(Error|Set|Get)|cuDNN", re.IGNORECASE
)
_CUDA_FAILURE = re.compile(r"CU\w+ (?:failure|error)[^:;]*:\s*([^;\n]+)", re.IGNORECASE)
_STATUS_MESSAGE = "Status Message:"
_PLACE = re.compile(r"\S*\.(?:cc|cpp|cu|h):\d+ .*\)\s+")
"""Of a line of ONNX Runtime's source, and the signature of the function there."""
_MAX_REASON = 300


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was lacking, on a GPU or in the process."""
    return isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(str(error)) is not None


def is_device_lost(error: BaseException) -> bool:
    """Whether a GPU failed so that this process cannot use it any more."""
    return not is_out_of_memory(error) and _LOST.search(str(error)) is not None


def is_of_device(error: BaseException) -> bool:
    """Whether a GPU or one of its libraries failed, rather than the model."""
    return is_out_of_memory(error) or is_device_lost(error) or _OF_DEVICE.search(str(error)) is not None


def reason(error: BaseException) -> str:
    """The part of an exception's text that says what failed, in one line: it begins with places in ONNX's source."""
    text = str(error)
    if found := _CUDA_FAILURE.search(text):
        return found[1].strip()
    _, _, status = text.rpartition(_STATUS_MESSAGE)
    return _PLACE.sub("", first_line(RuntimeError(status) if status.strip() else error))[:_MAX_REASON]
