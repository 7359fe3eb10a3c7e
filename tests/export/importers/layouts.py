"""Tiny random checkpoints in the layouts of others, and what each answers, written from its layout."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from emotions.runtime.session import onnx_session
from export.graph.deployable import Deployable
from export.graph.onnx_files import write_onnx
from export.graph.to_onnx import to_onnx
from export.sources import Source
from tests.export.huggingface.checkpoints import make_clips
from tests.training.models.encoders import KINDS, TINY, save_extractor, vary
from training.models.frontends.hub import quiet_transformers

LABELS = ["生气", "happy", "neutral", "sad"]
LENGTHS = [1_600, 192_000, 400, 40_000, 23_456]
"""Samples of clips of 0.025 to 12 s."""

Logits = Callable[[Tensor], Tensor]


def write_encoder(folder: Path, kind: str, head: dict[str, Tensor], prefix: str, **settings: Any) -> Any:
    """Write config.json and weights of a tiny encoder under a head of another layout; gives the encoder."""
    config, model, changes, normalize = KINDS[kind]
    torch.manual_seed(0)
    encoder = model(config(**{**TINY, **changes})).eval()
    vary(encoder)
    with quiet_transformers():
        encoder.config.save_pretrained(folder)
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "architectures": ["X"], **settings}))
    weights = {f"{prefix}{name}": value.contiguous() for name, value in encoder.state_dict().items()}
    save_file({**weights, **head}, folder / "model.safetensors", metadata={"format": "pt"})
    save_extractor(folder, normalize=normalize)
    return encoder


def normalised(clip: Tensor, kind: str) -> Tensor:
    """(samples,) as the feature extractor of an encoder of a kind gives it, (1, samples)."""
    if KINDS[kind][3]:
        clip = (clip - clip.mean()) / (clip.var(unbiased=False) + 1e-7).sqrt()
    return clip[None]


def linear(inputs: int, outputs: int, seed: int, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """Weight and bias of a layer whose answers follow its input."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(outputs, inputs, generator=generator) * scale
    return weight, torch.randn(outputs, generator=generator) * scale


def assert_equals(source: Source, expected: Callable[[Tensor], Tensor], path: Path, tolerance: float = 1e-4) -> None:
    """The ONNX graph of a source answers as ``expected``, (samples,) -> (classes,) probabilities, alone and in batches.

    Its original, which an export is proven against, does too.
    """
    waveform, length = make_clips(LENGTHS, seed=3)
    waveform = waveform / 4
    (target,) = source.targets
    write_onnx(path, to_onnx(Deployable(source.classifier, [target]), source.window.samples, dynamic=True))
    session = onnx_session(path, threads=2)
    clips = [row[:samples] for row, samples in zip(waveform, length.tolist(), strict=True)]
    with torch.inference_mode():
        wanted = torch.stack([expected(clip) for clip in clips]).numpy()
        if source.original is not None:
            proven = torch.cat([source.original(clip[None], torch.tensor([len(clip)]))[0] for clip in clips])
            np.testing.assert_allclose(proven.numpy(), wanted, rtol=0, atol=tolerance)
    (together,) = session.run([target], {"waveform": waveform.numpy(), "length": length.numpy()})
    np.testing.assert_allclose(together, wanted, rtol=0, atol=tolerance)
    for row, clip in enumerate(clips):
        feed = {"waveform": clip[None].numpy(), "length": np.array([len(clip)], np.int64)}
        (alone,) = session.run([target], feed)
        # What is left is rounding: sums over other numbers of frames, and a head that was scaled up. See below.
        np.testing.assert_allclose(alone[0], together[row], rtol=0, atol=5e-5)
    assert_exact_in_a_batch(source)
    assert np.ptp(wanted, axis=0).max() > 0.01, "answers that never move show nothing"


def assert_exact_in_a_batch(source: Source) -> None:
    """In double precision a clip has the same answer alone and in a batch, so no padding leaks into it."""
    (target,) = source.targets
    model = Deployable(source.classifier, [target]).double()
    waveform, length = make_clips([1_600, 16_000, 400, 9_999], seed=5)
    try:
        with torch.inference_mode():
            (together,) = model(waveform.double(), length)
            for row, samples in enumerate(length.tolist()):
                (alone,) = model(waveform[row : row + 1, :samples].double(), length[row : row + 1])
                torch.testing.assert_close(alone[0], together[row], rtol=0, atol=1e-10)
    finally:
        source.classifier.float()
