"""Tiny random classifiers of every kind, and clips to try them on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    ASTForAudioClassification,
    Data2VecAudioConfig,
    Data2VecAudioForSequenceClassification,
    HubertForSequenceClassification,
    SeamlessM4TFeatureExtractor,
    SEWConfig,
    SEWForSequenceClassification,
    UniSpeechConfig,
    UniSpeechForSequenceClassification,
    UniSpeechSatConfig,
    UniSpeechSatForSequenceClassification,
    Wav2Vec2BertConfig,
    Wav2Vec2BertForSequenceClassification,
    Wav2Vec2ConformerConfig,
    Wav2Vec2ConformerForSequenceClassification,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForSequenceClassification,
    WavLMForSequenceClassification,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForAudioClassification,
)

from benchmarks.export.huggingface import spread
from export.huggingface.source import Original
from tests.training.models.encoders import BANDS, BERT_SIZES, KINDS, STABLE, TINY, vary
from training.models.frontends.hub import quiet_transformers

LABELS = ["гнев", "happy", "neutral", "sad"]
SPEECH: dict[str, tuple[str, bool]] = {
    "wav2vec2-group": ("wav2vec2-group", False),
    "wav2vec2-layer": ("wav2vec2-layer", False),
    "wav2vec2-layer-weighted": ("wav2vec2-layer", True),
    "hubert-group": ("hubert-group", False),
    "hubert-layer": ("hubert-layer", False),
    "wavlm-group-weighted": ("wavlm-group", True),
    "wavlm-layer": ("wavlm-layer", False),
}
"""name -> kind of encoder, whether its layers are weighed."""
OTHERS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "data2vec": (
        Data2VecAudioConfig,
        Data2VecAudioForSequenceClassification,
        {"num_conv_pos_embeddings": 3, "conv_pos_kernel_size": 5},
    ),
    "data2vec-weighted": (
        Data2VecAudioConfig,
        Data2VecAudioForSequenceClassification,
        {"num_conv_pos_embeddings": 2, "conv_pos_kernel_size": 4, "use_weighted_layer_sum": True},
    ),
    "unispeech": (UniSpeechConfig, UniSpeechForSequenceClassification, {}),
    "unispeech-sat": (UniSpeechSatConfig, UniSpeechSatForSequenceClassification, STABLE),
    "conformer-relative": (
        Wav2Vec2ConformerConfig,
        Wav2Vec2ConformerForSequenceClassification,
        {"feat_extract_norm": "layer", "conv_depthwise_kernel_size": 5, "max_source_positions": 1_600},
    ),
    "conformer-rotary": (
        Wav2Vec2ConformerConfig,
        Wav2Vec2ConformerForSequenceClassification,
        {"position_embeddings_type": "rotary", "conv_depthwise_kernel_size": 5},
    ),
    "sew": (
        SEWConfig,
        SEWForSequenceClassification,
        {"conv_dim": [16] * 7, "conv_kernel": [10, 3, 3, 3, 3, 2, 2], "conv_stride": [5, 2, 2, 2, 2, 2, 2]},
    ),
    "sew-thirds": (
        SEWConfig,
        SEWForSequenceClassification,
        {
            "conv_dim": [16] * 7,
            "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
            "conv_stride": [5, 2, 2, 2, 2, 2, 2],
            "squeeze_factor": 3,
            "hidden_size": 48,
            "feat_extract_norm": "layer",
        },
    ),
    "bert": (Wav2Vec2BertConfig, Wav2Vec2BertForSequenceClassification, BERT_SIZES),
    "bert-weighted": (
        Wav2Vec2BertConfig,
        Wav2Vec2BertForSequenceClassification,
        {**BERT_SIZES, "use_weighted_layer_sum": True},
    ),
}
"""name -> configuration, classifier and settings of encoders that are built otherwise."""
SPECTRAL = ("ast", "whisper", "short-ast", "short-whisper")
_MODELS: dict[str, Any] = {
    "wav2vec2": Wav2Vec2ForSequenceClassification,
    "hubert": HubertForSequenceClassification,
    "wavlm": WavLMForSequenceClassification,
}
_SMALL: Any = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
_TOKENS = ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id")


def make_classifier(folder: Path, name: str) -> Path:
    """Write a tiny classifier with random weights, all of them different, whose answers follow the clip."""
    torch.manual_seed(0)
    labels: dict[str, Any] = {
        "id2label": dict(enumerate(LABELS)),
        "label2id": {label: number for number, label in enumerate(LABELS)},
    }
    build = _spectral if name in SPECTRAL else _other if name in OTHERS else _speech
    model, extractor = build(name, labels)
    vary(model)
    waveform, _ = make_clips([8_000] * 6, seed=1)
    head = getattr(model.classifier, "dense", model.classifier)
    spread(Original(model, extractor, "emotion"), head, list(waveform.numpy()))
    with quiet_transformers():
        model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return folder


def _speech(name: str, labels: dict[str, Any]) -> tuple[Any, Any]:
    kind, weighted = SPEECH[name]
    config, _, changes, normalize = KINDS[kind]
    head = {"classifier_proj_size": 16, "use_weighted_layer_sum": weighted}
    model = _MODELS[kind.split("-")[0]](config(**{**TINY, **changes, **head, **labels})).eval()
    return model, Wav2Vec2FeatureExtractor(do_normalize=normalize)  # type: ignore[no-untyped-call]


def _other(name: str, labels: dict[str, Any]) -> tuple[Any, Any]:
    config, model, changes = OTHERS[name]
    settings = {**TINY, "classifier_proj_size": 16, **changes, **labels}
    banks: Any = SeamlessM4TFeatureExtractor
    extractor: Any = Wav2Vec2FeatureExtractor(do_normalize=True)  # type: ignore[no-untyped-call]
    if config is Wav2Vec2BertConfig:
        extractor = banks(feature_size=BANDS, num_mel_bins=BANDS)
    return model(config(**settings)).eval(), extractor


def _spectral(name: str, labels: dict[str, Any]) -> tuple[Any, Any]:
    short = name.startswith("short")
    return _ast(short, labels) if name.endswith("ast") else _whisper(short, labels)


def _ast(short: bool, labels: dict[str, Any]) -> tuple[Any, Any]:
    size: Any = {"max_length": 100, "num_mel_bins": 64} if short else {}
    model: Any = ASTForAudioClassification(ASTConfig(**_SMALL, **size, **labels, initializer_range=0.3))
    return model.eval(), ASTFeatureExtractor(**size)  # type: ignore[no-untyped-call]


def _whisper(short: bool, labels: dict[str, Any]) -> tuple[Any, Any]:
    seconds = 2 if short else 30
    layers = {"encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 4, "encoder_ffn_dim": 48}
    sizes = {"d_model": 32, "vocab_size": 20, "max_source_positions": 50 * seconds, "classifier_proj_size": 16}
    config: Any = {**dict.fromkeys(_TOKENS, 0), **layers, **sizes, **labels, "init_std": 0.3}
    model: Any = WhisperForAudioClassification(WhisperConfig(**config))
    return model.eval(), WhisperFeatureExtractor(chunk_length=seconds)  # type: ignore[no-untyped-call]


def make_clips(lengths: list[int], seed: int = 0) -> tuple[Tensor, Tensor]:
    """Noise of several levels and colours, off centre, with garbage past the length: (clips, longest) and (clips,)."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(lengths), max(lengths), generator=generator)
    for row in range(0, len(lengths), 2):
        noise[row] = torch.cumsum(noise[row], 0) / 20
        noise[row] -= torch.cat([noise[row, :50], noise[row, :-50]])
    level = torch.tensor([0.1, 0.3, 0.02, 0.2, 0.4])[torch.arange(len(lengths)) % 5, None]
    length = torch.tensor(lengths)
    garbage = 10 * torch.randn(noise.shape, generator=generator)
    return torch.where(torch.arange(max(lengths)) < length[:, None], noise * level + 0.05, garbage), length


def edit(file: Path, **changes: Any) -> None:
    """Change keys of a JSON file; None takes a key out."""
    settings = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({key: value for key, value in settings.items() if value is not None}))
