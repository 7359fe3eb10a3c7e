"""Tiny random checkpoints of every kind of encoder, and what transformers itself makes of a clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    Data2VecAudioConfig,
    Data2VecAudioModel,
    HubertConfig,
    HubertModel,
    SeamlessM4TFeatureExtractor,
    UniSpeechConfig,
    UniSpeechModel,
    UniSpeechSatConfig,
    UniSpeechSatModel,
    Wav2Vec2BertConfig,
    Wav2Vec2BertModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForPreTraining,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMModel,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperModel,
)

HIDDEN, LAYERS, CONV = 32, 2, 16
TINY: dict[str, Any] = {
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "conv_dim": [CONV] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    # Random weights of the usual deviation, 0.02, make every frame alike, and hide what masks get wrong.
    "initializer_range": 0.3,
}
STABLE: dict[str, Any] = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
WAVLM: dict[str, Any] = {"num_buckets": 32, "max_bucket_distance": 20}
DATA2VEC: dict[str, Any] = {"num_conv_pos_embeddings": 3, "conv_pos_kernel_size": 19}
KINDS: dict[str, tuple[Any, Any, dict[str, Any], bool]] = {
    "wav2vec2-group": (Wav2Vec2Config, Wav2Vec2Model, {}, True),
    "wav2vec2-layer": (Wav2Vec2Config, Wav2Vec2Model, {**STABLE, "adapter_attn_dim": 8}, True),
    "hubert-group": (HubertConfig, HubertModel, {"feat_proj_layer_norm": False}, False),
    "hubert-layer": (HubertConfig, HubertModel, {**STABLE, "conv_pos_batch_norm": True}, True),
    "wavlm-group": (WavLMConfig, WavLMModel, WAVLM, False),
    "wavlm-layer": (WavLMConfig, WavLMModel, {**STABLE, **WAVLM}, True),
    "data2vec-audio": (Data2VecAudioConfig, Data2VecAudioModel, DATA2VEC, True),
    "unispeech-layer": (UniSpeechConfig, UniSpeechModel, STABLE, True),
    "unispeech-sat-group": (UniSpeechSatConfig, UniSpeechSatModel, {}, True),
    "unispeech-sat-layer": (UniSpeechSatConfig, UniSpeechSatModel, {**STABLE, "adapter_attn_dim": 8}, False),
}
"""name -> config class, model class, what differs from the tiny config, whether clips are normalised."""
WHISPER, WHISPER_LAYERS, BANDS = "whisper", 3, 16
"""A kind beside those: name, layers, mel bands; 2 s at most."""
BERT = "wav2vec2-bert"
"""Another, on as many mel bands, of ``LAYERS`` layers."""
BERT_SIZES: dict[str, Any] = {
    "feature_projection_input_dim": 2 * BANDS,
    "conv_depthwise_kernel_size": 5,
    "left_max_position_embeddings": 6,
    "right_max_position_embeddings": 3,
}


def make_encoder(folder: Path, kind: str, seed: int = 0) -> Path:
    """Write the tiny checkpoint of a kind to a folder; every parameter and statistic is random."""
    if kind == WHISPER:
        return make_whisper(folder, seed=seed)
    if kind == BERT:
        return make_bert(folder, seed=seed)
    config, model, changes, normalize = KINDS[kind]
    torch.manual_seed(seed)
    encoder = model(config(**{**TINY, **changes})).eval()
    vary(encoder)
    encoder.save_pretrained(folder)
    save_extractor(folder, normalize=normalize)
    return folder


def make_whisper(folder: Path, model: Any = WhisperModel, *, normalize: bool = False, seed: int = 0) -> Path:
    """Write a tiny Whisper checkpoint, decoder included, to a folder."""
    torch.manual_seed(seed)
    config: Any = WhisperConfig
    sizes = {"d_model": HIDDEN, "encoder_layers": WHISPER_LAYERS, "encoder_attention_heads": 4, "encoder_ffn_dim": 48}
    sizes |= {"decoder_layers": 1, "decoder_attention_heads": 1, "decoder_ffn_dim": 8, "vocab_size": 16}
    sizes |= {"num_mel_bins": BANDS, "max_source_positions": 100, "max_target_positions": 8}
    tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    whole = model(config(**sizes, **tokens, init_std=0.2)).eval()
    vary(whole)
    whole.save_pretrained(folder)
    extractor: Any = WhisperFeatureExtractor
    extractor(feature_size=BANDS, do_normalize=normalize, chunk_length=2).save_pretrained(folder)
    return folder


def make_bert(folder: Path, *, seed: int = 0, **changes: Any) -> Path:
    """Write a tiny Wav2Vec2-BERT checkpoint, with what follows its last layer, to a folder."""
    torch.manual_seed(seed)
    config: Any = Wav2Vec2BertConfig
    sizes = {"hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": 4, "intermediate_size": 48}
    more = {"add_adapter": True, "use_intermediate_ffn_before_adapter": True, "initializer_range": 0.3}
    whole = Wav2Vec2BertModel(config(**{**sizes, **BERT_SIZES, **more, **changes})).eval()
    vary(whole)
    whole.save_pretrained(folder)
    extractor: Any = SeamlessM4TFeatureExtractor
    extractor(feature_size=BANDS, num_mel_bins=BANDS).save_pretrained(folder)
    return folder


def vary(model: Any) -> None:
    """Make what starts alike random: its initial values, 0 and 1, hide faults as well."""
    for name, value in model.state_dict().items():
        if "norm" in name and value.is_floating_point():
            value.uniform_(0.5, 1.5)
        elif "rel_attn_embed" in name or "layer_weights" in name:
            value.normal_()


def make_pretraining_checkpoint(folder: Path) -> Path:
    """Write a checkpoint as Hugging Face's are: a pickled state dict with the encoder under a prefix, and more."""
    torch.manual_seed(0)
    model = Wav2Vec2ForPreTraining(Wav2Vec2Config(**TINY, codevector_dim=16, proj_codevector_dim=16))
    model.config.save_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    save_extractor(folder, normalize=True)
    return folder


def save_extractor(folder: Path, *, normalize: bool, rate: int = 16_000) -> None:
    """Write preprocessor_config.json."""
    extractor: Any = Wav2Vec2FeatureExtractor
    extractor(sampling_rate=rate, do_normalize=normalize).save_pretrained(folder)


def reference(folder: Path, kind: str, clip: Tensor) -> dict[str | int, Tensor]:
    """What transformers computes for one clip (samples,) alone, by embedding: (dims, frames) each."""
    encoder = KINDS[kind][1].from_pretrained(folder).eval()
    extractor = Wav2Vec2FeatureExtractor.from_pretrained(folder)
    values = extractor(clip.numpy(), sampling_rate=16_000, return_tensors="pt").input_values
    with torch.no_grad():
        conv = encoder.feature_extractor(values)
        projected = encoder.feature_projection(conv.transpose(1, 2))
        projected = projected[0] if isinstance(projected, tuple) else projected
        states = encoder(values, output_hidden_states=True).hidden_states
    layers: dict[str | int, Tensor] = {number: state[0].T for number, state in enumerate(states)}
    return {"conv": conv[0], "projection": projected[0].T, **layers}
