"""What the NVIDIA driver says: its version, its cards, their free memory; and host memory that it copies from directly.

Its library is called by ctypes: CUDA's own libraries and ONNX Runtime cannot be asked where they are what is missing.
"""

from __future__ import annotations

import ctypes
import os
import re
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

LIBRARY = "nvcuda.dll" if os.name == "nt" else "libcuda.so.1"
NO_DEVICE = 100
"""Status of the driver where it shows no card to this process."""

_RELEASE = Path("/proc/driver/nvidia/version")
_RELEASE_NUMBER = re.compile(r"\b\d{3,4}\.\d+(?:\.\d+)?\b")
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76
_PORTABLE = 1
_NAME_BYTES = 256
Scalar = TypeVar("Scalar", bound=np.generic)


class DriverError(Exception):
    """The driver refused a call.

    Args:
        call: its name.
        status: what it returned, such as ``NO_DEVICE``.
    """

    def __init__(self, call: str, status: int) -> None:
        super().__init__(f"{call} of the NVIDIA driver failed with status {status}")
        self.status = status


@dataclass(frozen=True)
class Card:
    """A GPU: its name, and its compute capability as (major, minor)."""

    name: str
    capability: tuple[int, int]


def release() -> str:
    """The driver's release, such as ``580.65.06``; empty where the system does not tell it."""
    try:
        found = _RELEASE_NUMBER.search(_RELEASE.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return ""
    return found[0] if found else ""


def cuda_version() -> tuple[int, int]:
    """The newest CUDA that the driver is for, as (major, minor).

    Raises:
        OSError: its library cannot be loaded.
        DriverError: it does not say.
    """
    number = ctypes.c_int()
    _call("cuDriverGetVersion", ctypes.byref(number))
    return number.value // 1000, number.value % 1000 // 10


def card_count() -> int:
    """Cards that this process may use. Raises as ``cuda_version``."""
    _call("cuInit", 0)
    count = ctypes.c_int()
    _call("cuDeviceGetCount", ctypes.byref(count))
    return count.value


def card(device_id: int) -> Card:
    """A card. Raises as ``cuda_version``.

    Args:
        device_id: its number among those that this process may use.
    """
    device = _device(device_id)
    name = ctypes.create_string_buffer(_NAME_BYTES)
    _call("cuDeviceGetName", name, _NAME_BYTES, device)
    major, minor = ctypes.c_int(), ctypes.c_int()
    _call("cuDeviceGetAttribute", ctypes.byref(major), _CAPABILITY_MAJOR, device)
    _call("cuDeviceGetAttribute", ctypes.byref(minor), _CAPABILITY_MINOR, device)
    return Card(name.value.decode(errors="replace"), (major.value, minor.value))


def memory(device_id: int) -> tuple[int, int] | None:
    """Free and all bytes of a card; None where the driver does not say.

    Args:
        device_id: its number among those that this process may use.
    """
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    try:
        with _context(device_id):
            _call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
    except (OSError, AttributeError, DriverError):
        return None
    return free.value, total.value


def pinned(shape: tuple[int, ...], kind: type[Scalar], device_id: int) -> npt.NDArray[Scalar] | None:
    """An array of zeros that the card copies from directly, without the driver's own copy; None where it cannot be had.

    Args:
        shape: of the array.
        kind: its type.
        device_id: which card; the memory is free again when the array is.
    """
    array = np.zeros(shape, kind)
    address = ctypes.c_void_p(array.ctypes.data)
    try:
        with _context(device_id):
            _call("cuMemHostRegister_v2", address, ctypes.c_size_t(array.nbytes), _PORTABLE)
    except (OSError, AttributeError, DriverError):
        return None
    weakref.finalize(array, _unpin, array.ctypes.data, device_id).atexit = False
    return array


def _unpin(address: int, device_id: int) -> None:
    try:
        with _context(device_id):
            _call("cuMemHostUnregister", ctypes.c_void_p(address))
    except (OSError, AttributeError, DriverError):
        return


@contextmanager
def _context(device_id: int) -> Iterator[None]:
    """The card's context, which ONNX Runtime uses, too, as that of this thread."""
    device = _device(device_id)
    context = ctypes.c_void_p()
    _call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    try:
        _call("cuCtxPushCurrent_v2", context)
        try:
            yield
        finally:
            _call("cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))
    finally:
        _call("cuDevicePrimaryCtxRelease_v2", device)


def _device(device_id: int) -> ctypes.c_int:
    _call("cuInit", 0)
    device = ctypes.c_int()
    _call("cuDeviceGet", ctypes.byref(device), device_id)
    return device


def _call(name: str, *arguments: Any) -> None:
    status = getattr(library(), name)(*arguments)
    if status:
        raise DriverError(name, status)


@cache
def library() -> Any:
    """The driver's library. Raises OSError where it cannot be loaded."""
    return ctypes.CDLL(LIBRARY)
