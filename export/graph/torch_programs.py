"""A deployable as a program of torch: TorchScript for those who embed libtorch, and ``torch.export``, its successor."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from emotions.audio.windows import FloatArray, IntArray
from emotions.errors import ExportError
from emotions.runtime.batch_shape import Probabilities, Run
from export.graph.deployable import Deployable
from export.graph.to_onnx import example, free_axes, quiet, reason

# Where each piece of code came from: paths of the machine that exported it.
_ORIGINS = ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node")
_DEBUG = ".debug_pkl"
_ERRORS = (RuntimeError, ValueError, TypeError, NotImplementedError)


def write_torchscript(path: Path, model: Deployable, window: int, dynamic: bool = False) -> None:
    """Write ``path`` as ``torch.jit.load`` takes it, without code of this project.

    Args:
        path: the file.
        model: answers ``(waveform, length)`` with a tuple of tensors; ExportError where it cannot be traced.
        window: samples of a window, or the most where ``dynamic``.
        dynamic: windows may be shorter.
    """
    try:
        with quiet(), torch.inference_mode():
            trace: Any = torch.jit.trace
            traced = trace(model, example(window, dynamic), check_trace=False)
            torch.jit.save(torch.jit.freeze(traced), path)
    except _ERRORS as error:
        raise ExportError(f"the model cannot be exported to TorchScript ({reason(error)})") from error
    _drop_origins(path)


def write_pt2(path: Path, model: Deployable, window: int, dynamic: bool = False) -> None:
    """Write ``path`` as ``torch.export.load`` takes it. Args as ``write_torchscript``."""
    try:
        with quiet():
            program = torch.export.export(model, example(window, dynamic), dynamic_shapes=free_axes(window, dynamic))
            for node in program.graph.nodes:
                for origin in _ORIGINS:
                    node.meta.pop(origin, None)
            torch.export.save(program, path)
    except _ERRORS as error:
        raise ExportError(f"the model cannot be exported by torch.export ({reason(error)})") from error


def open_torchscript(path: Path, targets: list[str]) -> Run:
    """Load a TorchScript file as its users do.

    Args:
        path: the file.
        targets: names of its outputs, in order.
    """
    with quiet():
        load: Any = torch.jit.load
        return _runner(load(str(path), map_location="cpu"), targets)


def open_pt2(path: Path, targets: list[str]) -> Run:
    """Load a ``torch.export`` file as its users do, padding windows where it takes whole ones alone.

    Args as ``open_torchscript``.
    """
    with quiet():
        program = torch.export.load(path)
        run = _runner(program.module(), targets)
    waveform_name = program.graph_signature.user_inputs[0]
    wide = next(node.meta["val"].shape[1] for node in program.graph.nodes if node.name == waveform_name)
    if not isinstance(wide, int):
        return run
    return lambda waveform, length: run(np.pad(waveform, ((0, 0), (0, wide - waveform.shape[1]))), length)


def _runner(program: Any, targets: list[str]) -> Run:
    def run(waveform: FloatArray, length: IntArray) -> Probabilities:
        with torch.inference_mode():
            answers = program(torch.from_numpy(waveform.copy()), torch.from_numpy(length.copy()))
        return {target: answer.numpy() for target, answer in zip(targets, answers, strict=False)}

    return run


def _drop_origins(path: Path) -> None:
    """Write a TorchScript archive anew without the records of source files; each entry's data aligned as torch's."""
    with zipfile.ZipFile(path) as archive:
        kept = [(entry.filename, archive.read(entry)) for entry in archive.infolist() if _DEBUG not in entry.filename]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in kept:
            entry = zipfile.ZipInfo(name)
            offset = archive.fp.tell() + 30 + len(name.encode()) + 4  # type: ignore[union-attr]  # it is open
            entry.extra = b"FB" + (-offset % 64).to_bytes(2, "little") + b"Z" * (-offset % 64)
            archive.writestr(entry, content)
