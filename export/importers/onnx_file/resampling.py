"""From the toolkit's sampling rate to that of a graph of somebody else: a windowed sinc, as torchaudio makes it."""

from __future__ import annotations

import math

import torch
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torchaudio.transforms import Resample

from emotions.audio.decode import SAMPLE_RATE
from emotions.audio.windows import FloatArray
from emotions.errors import ConfigError

_LOWEST, _HIGHEST = 4_000, 96_000
_MAX_WEIGHTS = 4_000_000


class Resampling:
    """A convolution of as many phases as the rates have between them.

    Args:
        rate: that of the graph, in Hz.

    Raises:
        ConfigError: no recording has that rate, or it would take too many phases.
    """

    def __init__(self, rate: int) -> None:
        if not _LOWEST <= rate <= _HIGHEST:
            raise ConfigError(f"--sampling-rate: {rate}; allowed are {_LOWEST} to {_HIGHEST} Hz")
        common = math.gcd(rate, SAMPLE_RATE)
        self.new, self.old = rate // common, SAMPLE_RATE // common
        if self.new * self.old > _MAX_WEIGHTS:
            raise ConfigError(f"--sampling-rate: {rate}; {SAMPLE_RATE} Hz and that have too little in common")
        self.layer = Resample(SAMPLE_RATE, rate)

    def __call__(self, clip: FloatArray) -> FloatArray:
        """(samples,) float32 at 16 kHz in; (samples,) at the rate of the graph out."""
        resampled: FloatArray = self.layer(torch.from_numpy(clip)).numpy()
        return resampled

    def constants(self) -> list[TensorProto]:
        """What the nodes refer to."""
        if self.new == self.old:
            return []
        kernel, width = self.layer.kernel.numpy(), self.layer.width
        numbers = {"edges": [0, 0, width, 0, 0, width + self.old], "flat": [-1], "new": [self.new], "old": [self.old]}
        numbers["rest"] = [self.old - 1]
        tensors = [helper.make_tensor(f"own.{name}", TensorProto.INT64, [len(v)], v) for name, v in numbers.items()]
        return [*tensors, numpy_helper.from_array(kernel, "own.kernel")]

    def nodes(self, clip: str, resampled: str) -> list[NodeProto]:
        """The same as ONNX; ``own.zero`` and ``own.one`` are constants of the graph.

        Args:
            clip: name of the samples before.
            resampled: and after.
        """
        if self.new == self.old:
            return [helper.make_node("Identity", [clip], [resampled])]
        return [
            helper.make_node("Unsqueeze", [clip, "own.zero"], ["own.row"]),
            helper.make_node("Unsqueeze", ["own.row", "own.zero"], ["own.channel"]),
            helper.make_node("Pad", ["own.channel", "own.edges"], ["own.wide"]),
            helper.make_node("Conv", ["own.wide", "own.kernel"], ["own.phases"], strides=[self.old]),
            helper.make_node("Transpose", ["own.phases"], ["own.turns"], perm=[0, 2, 1]),
            helper.make_node("Reshape", ["own.turns", "own.flat"], ["own.all"]),
            # As many samples as there is time, rounded up: the last turn of phases may be more.
            helper.make_node("Shape", [clip], ["own.before"]),
            helper.make_node("Mul", ["own.before", "own.new"], ["own.times"]),
            helper.make_node("Add", ["own.times", "own.rest"], ["own.more"]),
            helper.make_node("Div", ["own.more", "own.old"], ["own.after"]),
            helper.make_node("Slice", ["own.all", "own.zero", "own.after", "own.zero"], [resampled]),
        ]
