"""Models that people ask for, at their true sizes with random weights: clips a second of their graphs on a CPU."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model, WavLMConfig, WavLMModel

from benchmarks.export.huggingface import make_classifier, voice_clips
from emotions.bundle.manifest import LENGTH, WAVEFORM
from emotions.runtime.session import onnx_session
from export.graph.deployable import Deployable
from export.graph.int8 import to_int8
from export.graph.onnx_files import write_onnx
from export.graph.to_onnx import to_onnx
from export.huggingface.source import load_huggingface
from export.importers.emotion2vec.network import Emotion2vec
from export.importers.emotion2vec.settings import Geometry, convolutions_of
from export.importers.importer import ImportOptions
from export.importers.odyssey import network as odyssey
from export.importers.registry import choose
from export.importers.speechbrain import network as speechbrain
from export.proof.signals import padded
from serving.benchmark.driver.interleaved import race
from training.models.frontends.hub import quiet_transformers

TARGET = "emotion"
_LABELS = ("angry", "happy", "neutral", "sad")
_WINDOW = 30 * 16_000
_MIB = 1 << 20
_LARGE: dict[str, Any] = {
    "hidden_size": 1_024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4_096,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
}
_EMOTION2VEC: dict[str, Any] = {
    "eps": 1e-5,
    "convolutions": convolutions_of("[(512, 10, 5)] + [(512, 3, 2)] * 4 + [(512, 2, 2)] * 2"),
    "group_norm": False,
    "positions": 5,
    "position_kernel": 19,
    "position_groups": 16,
    "extra_tokens": 10,
    "normalize": True,
}


def _encoder(family: Any, config: Any) -> Any:
    return family(config).eval()


def _transformers(folder: Path) -> nn.Module:
    return load_huggingface(str(make_classifier(folder, Wav2Vec2Config()))).classifier


def _community(folder: Path, layers: int) -> nn.Module:
    """An encoder of large size under ``classifier.dense`` and ``classifier.output``, through its importer."""
    config = Wav2Vec2Config(**{**_LARGE, "num_hidden_layers": layers})
    encoder, size = _encoder(Wav2Vec2Model, config), config.hidden_size
    with quiet_transformers():
        config.save_pretrained(folder)
    settings = json.loads((folder / "config.json").read_text())
    names = {"id2label": dict(enumerate(_LABELS)), "label2id": {label: n for n, label in enumerate(_LABELS)}}
    (folder / "config.json").write_text(json.dumps({**settings, **names, "architectures": ["X"]}))
    extractor: Any = Wav2Vec2FeatureExtractor
    extractor(return_attention_mask=True).save_pretrained(folder)
    weights = {f"wav2vec2.{name}": value.contiguous() for name, value in encoder.state_dict().items()}
    for name, outputs in (("dense", size), ("output", len(_LABELS))):
        weights[f"classifier.{name}.weight"] = torch.randn(outputs, size) / size**0.5
        weights[f"classifier.{name}.bias"] = torch.zeros(outputs)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return choose(str(folder)).load(ImportOptions()).classifier


def _speechbrain(_folder: Path) -> nn.Module:
    parts = speechbrain.Parts(_encoder(Wav2Vec2Model, Wav2Vec2Config()), len(_LABELS), bias=False)
    return speechbrain.Recipe(parts, normalize=True, output_norm=True, window=_WINDOW, target=TARGET)


def _odyssey(_folder: Path) -> nn.Module:
    parts = odyssey.Parts(_encoder(WavLMModel, WavLMConfig(**_LARGE)), 1, 8)
    return odyssey.Odyssey(parts, 0.0, 1.0, _WINDOW, TARGET)


def _emotion2vec(size: int, heads: int, depth: int, prenet: int) -> nn.Module:
    sizes: dict[str, Any] = {"dims": size, "hidden": 4 * size, "heads": heads, "depth": depth, "prenet_depth": prenet}
    return Emotion2vec(Geometry(**_EMOTION2VEC, **sizes, scales=(1, 1, heads, 1, 1)), 9, TARGET)


MODELS: Mapping[str, Callable[[Path], nn.Module]] = {
    "transformers, wav2vec2-base": _transformers,
    "speechbrain, wav2vec2-base": _speechbrain,
    "emotion2vec, base": lambda _: _emotion2vec(768, 12, 8, 4),
    "community, 12 layers of wav2vec2-large": lambda folder: _community(folder, 12),
    "community, wav2vec2-large": lambda folder: _community(folder, 24),
    "emotion2vec, large": lambda _: _emotion2vec(1_024, 16, 16, 8),
    "odyssey, wavlm-large": _odyssey,
}


def benchmark(names: Sequence[str], threads: int, rounds: int, seconds: float, clips: int) -> Iterator[str]:
    """Build, quantise and race each model; yields the rows of a table as they come.

    Args:
        names: of models; all where empty.
        threads: CPU threads.
        rounds: how often fp32 and int8 take their turn.
        seconds: of the longest clip; the shortest has a third.
        clips: how many clips a round has.
    """
    torch.set_num_threads(threads)
    waves = voice_clips(clips, seconds)
    yield "| importer, model | M parameters | MiB fp32, int8 | clips/s fp32 | clips/s int8 | int8 to fp32 |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for name in names or MODELS:
        with tempfile.TemporaryDirectory() as folder:
            yield _row(name, Path(folder), waves, threads, rounds)


def _row(name: str, folder: Path, clips: Sequence[Any], threads: int, rounds: int) -> str:
    torch.manual_seed(0)
    (folder / "checkpoint").mkdir()
    classifier = MODELS[name](folder / "checkpoint").eval()
    parameters = sum(value.numel() for value in classifier.parameters())
    model = Deployable(classifier, [TARGET])
    fixed = {constant for constant, _ in model.named_buffers()}
    graph = to_onnx(model, _WINDOW, dynamic=True)
    waveform, length = padded(clips, max(map(len, clips)))
    paths = {variant: folder / f"model.{variant}.onnx" for variant in ("fp32", "int8")}
    write_onnx(paths["fp32"], graph)
    write_onnx(paths["int8"], to_int8(graph, {WAVEFORM: waveform, LENGTH: length}, fixed, True))
    del classifier, model, graph
    sizes = ", ".join(f"{sum(f.stat().st_size for f in folder.glob(f'{p.name}*')) / _MIB:.0f}" for p in paths.values())
    taken = race({variant: _side(path, clips, threads) for variant, path in paths.items()}, rounds)
    fp32, int8 = (len(clips) / taken[variant] for variant in paths)
    return f"| {name} | {parameters / 1e6:.0f} | {sizes} | {fp32:.2f} | {int8:.2f} | {int8 / fp32:.2f} |"


def _side(path: Path, clips: Sequence[Any], threads: int) -> Callable[[], object]:
    session = onnx_session(path, threads)
    rows = [{WAVEFORM: clip[None], LENGTH: np.array([len(clip)], np.int64)} for clip in clips]
    return lambda: [session.run(None, row) for row in rows]
