"""CUDA graphs, where they are asked for: a batch of a shape is captured once, and replayed as a whole afterwards.

ONNX Runtime keeps what it captured by thread, and captures in a mode in which no other thread of the process may
allocate on any card: one thread runs the batches of all models, and no batch is copied while another computes. A replay
reads and writes the buffers of the capture, whatever is bound: a session captures the first of its shapes alone, and
runs others plainly.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from weakref import WeakSet

import onnxruntime as ort

from emotions.audio.windows import FloatArray, IntArray
from emotions.bundle.bundle import Bundle
from emotions.errors import ConfigError
from emotions.runtime.batch_shape import Probabilities, Run

SWITCH = "EMOTIONS_GPU_GRAPHS"
"""Environment variable: ``on``, or ``off``, the default."""
_ID, _CAPTURED, _PLAIN = "gpu_graph_id", "1", "-1"
_have_captured: WeakSet[Any] = WeakSet()
_thread = ThreadPoolExecutor(1, thread_name_prefix="cuda-graphs")


def graph_settings(bundle: Bundle) -> dict[str, str]:
    """Settings of the provider for graphs; none where they are not asked for.

    Args:
        bundle: an opened bundle.

    Raises:
        ConfigError: the switch is another word, or the windows are of any length, for which graphs would be many.
    """
    named = os.environ.get(SWITCH) or "off"
    if named not in ("on", "off"):
        raise ConfigError(f"{SWITCH}={named!r}: must be on or off")
    if named == "on" and bundle.manifest.window.dynamic:
        raise ConfigError(f"{SWITCH}=on: the windows of {bundle.path} are of any length; leave {SWITCH} unset")
    return {"enable_cuda_graph": "1"} if named == "on" else {}


def run_options(session: ort.InferenceSession) -> ort.RunOptions:
    """Options for the runs of one shape between one set of buffers: captured where it is the session's first.

    Args:
        session: with or without graphs.
    """
    options = ort.RunOptions()
    options.add_run_config_entry(_ID, _PLAIN if session in _have_captured else _CAPTURED)
    _have_captured.add(session)
    return options


def in_one_thread(run: Run) -> Run:
    """A run whose callers wait for the thread of graphs.

    Args:
        run: what that thread calls.
    """

    def called(waveform: FloatArray, length: IntArray) -> Probabilities:
        return _thread.submit(run, waveform, length).result()

    return called
