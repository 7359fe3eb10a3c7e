"""Attention of encoders in blocks of frames, which kernels of GPUs fuse.

ONNX Runtime 1.31 fuses attention with a bias, which is what masks frames, on every card that it knows, but in fp16 only
where the frames are a multiple of eight: windows of 3, 5 and 10 s have 149, 249 and 499. The frames of fp16 graphs,
which are made for GPUs, are therefore padded; those that are added are masked, and taken off again. Graphs in fp32 stay
as they are: a CPU fuses any number, and would compute 7 % longer on a window of 1 s.

What does not serve: lengths as the mask of keys, padded to ``3 batch + 2`` numbers as the same kernels take it, are
read wrongly where they do not fuse, as the starts of queries then count as starts of keys. Plain lengths, and masks of
two dimensions, keep them from fusing at all. Attention without a mask, as in the vision transformers, is fused anyhow.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import nn

from training.models.frontends.transformer_stack import TransformerStack

FRAMES = 8
"""Frames of a block."""


@contextlib.contextmanager
def frame_blocks(model: nn.Module) -> Iterator[bool]:
    """Let the encoders of a model compute whole blocks of frames until the block ends; answers stay the same.

    Args:
        model: any model.

    Yields:
        Whether it has an encoder that masks frames: other models compute as they do.
    """
    found = [module for module in model.modules() if isinstance(module, TransformerStack)]
    for stack in found:
        stack.block = FRAMES
    try:
        yield bool(found)
    finally:
        for stack in found:
            stack.block = 1
