"""Why a GPU cannot be used, in one line with the remedy, and what there is of one: the card, its driver, its memory."""

from __future__ import annotations

import os

import onnxruntime as ort

from emotions.errors import DeviceError, first_line
from emotions.runtime import cuda_driver
from emotions.runtime.cuda_driver import DriverError
from emotions.runtime.devices import CUDA, card_present
from emotions.runtime.failures import is_device_lost, is_out_of_memory, reason
from emotions.runtime.library_check import libraries, library_fault

_EXTRA = "pip install 'emotions-toolkit[serve-gpu]'"
_CPU = "or name the device 'cpu'"
# The least driver for each CUDA, and the compute capabilities that each wheel has machine code for: none holds PTX,
# which a driver could compile for other cards.
_DRIVERS = {12: 525, 13: 580}
_KERNELS = {"1.31": ((7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (12, 0))}


def need_card() -> None:
    """Refuse where there is no GPU, or no provider for it.

    Raises:
        DeviceError: says which of them.
    """
    if not card_present():
        raise DeviceError("a GPU was asked for, but there is no NVIDIA GPU here (device 'cpu' needs none)")
    if CUDA not in ort.get_available_providers():
        raise DeviceError(
            f"the GPU cannot be used: ONNX Runtime {ort.__version__} is built without CUDA; "
            "uninstall onnxruntime and install onnxruntime-gpu"
        )


def gpu_fault(device_id: int) -> str:
    """Why a GPU cannot be used, as far as that shows without a model, with the remedy; empty where nothing is wrong."""
    try:
        need_card()
    except DeviceError as error:
        return str(error)
    return _by_facts(device_id)


def unusable(error: BaseException | None, device_id: int = 0) -> DeviceError:
    """The error that says why a GPU cannot be used.

    Args:
        error: what ONNX Runtime raised; None where it left the provider out without a word.
        device_id: which GPU.
    """
    return DeviceError(f"the GPU cannot be used: {_cause(error, device_id)}")


def memory_in_words(device_id: int) -> str:
    """How much memory of a GPU is free, such as `` (0.4 of 15.8 GB are free)``; empty where that is not known."""
    found = cuda_driver.memory(device_id)
    return f" ({found[0] / 1e9:.1f} of {found[1] / 1e9:.1f} GB are free)" if found else ""


def versions(device_id: int) -> tuple[str, ...]:
    """What decides how fast a setting is: the card, its driver, and ONNX Runtime with the CUDA that it is built for."""
    try:
        card = cuda_driver.card(device_id)
        facts = [card.name, *card.capability, *cuda_driver.cuda_version()]
    except (OSError, AttributeError, DriverError):
        facts = []
    return tuple(map(str, [*facts, cuda_driver.release(), ort.__version__, ort.cuda_version]))


def card_in_words(device_id: int) -> str:
    """A GPU, its compute capability, its driver and its free memory, as far as the driver tells them."""
    try:
        card = cuda_driver.card(device_id)
        major, minor = cuda_driver.cuda_version()
    except (OSError, DriverError) as error:
        return first_line(error)
    capability = ".".join(map(str, card.capability))
    driver = f"driver{_release()} for CUDA {major}.{minor}"
    return f"{card.name}, compute capability {capability}, {driver}{memory_in_words(device_id)}"


def _cause(error: BaseException | None, device_id: int) -> str:
    text = str(error or "")
    if error is not None and is_out_of_memory(error):
        free = memory_in_words(device_id)
        return f"its memory is too small for the model{free}; end other programs on it, use the variant fp16, {_CPU}"
    if "no kernel image" in text or "cudaErrorNoKernelImageForDevice" in text:
        return _wrong_card(device_id) or f"ONNX Runtime {ort.__version__} has no machine code for it; {_CPU[3:]}"
    if "driver version is insufficient" in text:
        return _old_driver() or f"its driver is too old; update it to {_least_driver()}, {_CPU}"
    if error is not None and is_device_lost(error):
        return _by_facts(device_id) or f"it fails ({reason(error)}); reset it or restart the machine, {_CPU}"
    return _by_facts(device_id) or (
        f"{reason(error)}; {_CPU[3:]}" if error else f"ONNX Runtime does not say why; {_CPU[3:]}"
    )


def _by_facts(device_id: int) -> str:
    """What keeps any program from the card, as the driver and the libraries tell it; empty where nothing does."""
    try:
        if found := _old_driver() or _hidden_card(device_id) or missing_library() or _wrong_card(device_id):
            return found
    except OSError as error:
        return (
            f"the library of its driver cannot be loaded ({first_line(error)}); install the NVIDIA driver, "
            "or start the container with --gpus all"
        )
    except DriverError as error:
        return f"{error}; restart the machine where its driver was updated, {_CPU}"
    return ""


def _old_driver() -> str:
    needed = str(ort.cuda_version or "")
    try:
        major, minor = cuda_driver.cuda_version()
    except DriverError:
        return ""
    if not needed or major >= int(needed.partition(".")[0]):
        return ""
    return (
        f"its driver{_release()} is too old: it is for CUDA {major}.{minor}, and ONNX Runtime {ort.__version__} "
        f"needs CUDA {needed}; update the driver to {_least_driver()}, {_CPU}"
    )


def _release() -> str:
    found = cuda_driver.release()
    return f" {found}" if found else ""


def _least_driver() -> str:
    major = str(ort.cuda_version or "").partition(".")[0]
    least = _DRIVERS.get(int(major)) if major else None
    return f"{least} or newer" if least else "the newest one"


def _hidden_card(device_id: int) -> str:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    where = f"CUDA_VISIBLE_DEVICES={visible}" if visible is not None else "the container or the driver"
    try:
        count = cuda_driver.card_count()
    except DriverError as error:
        if error.status != cuda_driver.NO_DEVICE:
            raise
        count = 0
    if count == 0:
        return f"{where} shows none to this process; name one, {_CPU}"
    return f"there is no GPU number {device_id}: {where} shows {count}" if device_id >= count else ""


def missing_library() -> str:
    """The library that the provider does not load without, by the loader's own message."""
    found = library_fault(libraries())
    return f"{found}; {_EXTRA} brings CUDA and cuDNN, {_CPU}" if found else ""


def _wrong_card(device_id: int) -> str:
    """That the wheel has no machine code for the card; empty where it has, or where that is not known."""
    kernels = _KERNELS.get(".".join(ort.__version__.split(".")[:2]))
    try:
        card = cuda_driver.card(device_id)
    except (OSError, DriverError):
        return ""
    major, minor = card.capability
    if kernels is None or any(major == known and minor >= least for known, least in kernels):
        return ""
    age = "old" if card.capability < kernels[0] else "new"
    known = ", ".join(f"{first}.{second}" for first, second in kernels)
    return (
        f"{card.name}, of compute capability {major}.{minor}, is too {age} for onnxruntime-gpu {ort.__version__}, "
        f"which has machine code for {known}; {_CPU[3:]}, or install an onnxruntime-gpu that is built for it"
    )
