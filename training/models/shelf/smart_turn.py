"""Smart Turn's encoder out of its ONNX file: 8-bit weights made float32, proven against the file's own graph.

The graph is a Whisper encoder of four layers (Radford et al., "Robust Speech Recognition via Large-Scale Weak
Supervision", 2022) on 8 s, below a classifier that is left out. Its weights are quantised by channel, and its
activations too; the latter is undone, as a linear classifier on the features is better off without.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import torch
from safetensors.torch import save_file
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from emotions.errors import ConfigError
from emotions.files.json_text import write_json

_PREFIX = "inner.encoder."
_BANDS, _FRAMES = 80, 800
_CONFIG: dict[str, Any] = {
    "model_type": "whisper",
    "d_model": 384,
    "encoder_layers": 4,
    "encoder_attention_heads": 6,
    "encoder_ffn_dim": 1536,
    "num_mel_bins": _BANDS,
    "max_source_positions": _FRAMES // 2,
    # The decoder is no part of the weights; it is described as small as can be.
    "decoder_layers": 1,
    "decoder_attention_heads": 1,
    "decoder_ffn_dim": 4,
    "vocab_size": 2,
    "pad_token_id": 0,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "decoder_start_token_id": 0,
    "max_target_positions": 2,
    "begin_suppress_tokens": None,
    "suppress_tokens": None,
}
_PREPROCESSOR = {
    "feature_extractor_type": "WhisperFeatureExtractor",
    "feature_size": _BANDS,
    "sampling_rate": 16_000,
    "hop_length": 160,
    "chunk_length": 8,
    "n_fft": 400,
    "do_normalize": True,
}
_TOLERANCE = 1e-3
"""Features have a deviation of about 1 to 3."""

Array = npt.NDArray[Any]


def convert_smart_turn(artefact: bytes, folder: Path) -> str:
    """Write the encoder as a folder as transformers has it: config.json, preprocessor_config.json, model.safetensors.

    Args:
        artefact: the ONNX file.
        folder: an empty folder.

    Returns:
        What was proven, in words.

    Raises:
        ConfigError: the file is not that graph, or the encoder does not equal it.
    """
    import onnx  # of the extra for exports

    graph = onnx.load_from_string(artefact).graph
    config: Any = WhisperConfig(**_CONFIG)
    config._attn_implementation = "eager"
    encoder: Any = WhisperEncoder(config)
    encoder.eval()
    state = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in _weights(graph).items()}
    try:
        encoder.load_state_dict(state)
    except RuntimeError as error:
        what = str(error).splitlines()[0]
        raise ConfigError(f"the artefact's weights are not those of its encoder ({what})") from error
    furthest = _furthest(encoder, artefact)
    if not furthest <= _TOLERANCE:
        raise ConfigError(f"the encoder differs from the artefact's graph by {furthest:.1e}, at most {_TOLERANCE:.0e}")
    save_file({f"encoder.{name}": value for name, value in state.items()}, folder / "model.safetensors")
    write_json(folder / "config.json", _CONFIG)
    write_json(folder / "preprocessor_config.json", _PREPROCESSOR)
    rounded = "the artefact's graph without its rounding of activations"
    return f"equal to {rounded} to {furthest:.0e} (at most {_TOLERANCE:.0e})"


def _weights(graph: Any) -> dict[str, Array]:
    """The encoder's weights by their names in transformers."""
    from onnx import numpy_helper

    plain = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    restored = {
        node.output[0]: _dequantised(*(plain[name] for name in node.input))
        for node in graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in plain
    }
    found = {name: value for name, value in (plain | restored).items() if name.startswith(_PREFIX)}
    found = {name: value for name, value in found.items() if name.endswith((".weight", ".bias"))}
    for name in ("conv1", "conv2"):
        found[f"{_PREFIX}{name}.weight"] = restored[f"{_PREFIX}{name}.weight_DequantizeLinear_Output"]
    found |= {name: restored[weight].T for name, weight in _matrices(graph, restored) if weight in restored}
    return {name.removeprefix(_PREFIX): value.astype(np.float32) for name, value in found.items()}


def _dequantised(values: Array, scale: Array, zero: Array) -> Array:
    """Quantised values as float32: by one scale, or one for each channel of the axis that has as many."""
    if scale.ndim and scale.size > 1:
        axis = next(axis for axis, size in enumerate(values.shape) if size == scale.size)
        # A square matrix has two such axes: those of matrix products are quantised along the last one.
        axis = values.ndim - 1 if values.ndim == 2 and values.shape[0] == values.shape[1] else axis
        shape = [-1 if each == axis else 1 for each in range(values.ndim)]
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    return (values.astype(np.float32) - zero.astype(np.float32)) * scale.astype(np.float32)


def _matrices(graph: Any, restored: dict[str, Array]) -> Iterator[tuple[str, str]]:
    """Name of each linear layer's weight, and of the tensor that holds it.

    A layer is known by the bias that is added behind it; the one without, which projects keys, by the input that it
    shares with the queries.
    """
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    products = [node for node in graph.node if node.op_type == "MatMul" and node.input[1] in restored]
    biases = {node.output[0]: _bias_behind(node, readers) for node in products}
    queries = {node.input[0]: bias for node in products if (bias := biases[node.output[0]]).endswith("q_proj.bias")}
    for node in products:
        bias = biases[node.output[0]] or queries.get(node.input[0], "").replace("q_proj", "k_proj")
        if bias.startswith(_PREFIX):
            yield bias.removesuffix(".bias") + ".weight", node.input[1]


def _bias_behind(product: Any, readers: dict[str, list[Any]]) -> str:
    """Name of the bias that is added to a product, behind its quantisation; empty for none."""
    name = product.output[0]
    while len(following := readers.get(name, [])) == 1:
        [node] = following
        named = [each for each in node.input if each.endswith(".bias")]
        if node.op_type == "Add" and named:
            return str(named[0])
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            break
        name = node.output[0]
    return ""


def _furthest(encoder: Any, artefact: bytes) -> float:
    """The largest difference between the encoder and the artefact's graph, on noise and on bands that come and go."""
    random = np.random.default_rng(0)
    noise = random.normal(0.0, 0.4, (2, _BANDS, _FRAMES))
    bands = np.sin(np.linspace(0, 40, _FRAMES)) * np.cos(np.linspace(0, 9, _BANDS))[:, None]
    features = np.concatenate([noise, bands[None], np.full((1, _BANDS, _FRAMES), -0.6)]).astype(np.float32)
    [expected] = _float_session(artefact).run(None, {"input_features": features})
    with torch.inference_mode():
        found = encoder(torch.from_numpy(features)).last_hidden_state.numpy()
    return float(np.abs(found - expected).max())


def _float_session(artefact: bytes) -> ort.InferenceSession:
    """The artefact's graph up to its encoder's end, without the rounding of activations."""
    import onnx

    model = onnx.load_from_string(artefact)
    graph = model.graph
    rounded = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "QuantizeLinear"}
    instead = {
        node.output[0]: rounded[node.input[0]]
        for node in graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in rounded
    }
    for node in graph.node:
        node.input[:] = [instead.get(name, name) for name in node.input]
    [end] = [node.output[0] for node in graph.node if f"{_PREFIX}layer_norm.weight" in node.input]
    del graph.output[:]
    graph.output.append(onnx.helper.make_tensor_value_info(end, onnx.TensorProto.FLOAT, None))
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
