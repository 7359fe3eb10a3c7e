"""Encoders of Hugging Face: found by name or folder, checked, and loaded without running anything they bring along.

Everything is fetched into a local folder first and loaded from there, so that a name and a folder take one path, the
offline mode of Hugging Face is honoured, and transformers starts no conversion service in the background.
"""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    HubertConfig,
    HubertModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMModel,
)
from transformers import logging as transformers_logging

from emotions.audio import SAMPLE_RATE
from emotions.errors import ConfigError

RANDOM = "random:"
"""Prefix of an encoder that asks for random weights: ``random:FOLDER`` or ``random:FILE.json``, of a config.json."""

_KEY = "model_architecture.encoder"
_FAMILIES: dict[str, tuple[Any, Any]] = {
    "wav2vec2": (Wav2Vec2Config, Wav2Vec2Model),
    "hubert": (HubertConfig, HubertModel),
    "wavlm": (WavLMConfig, WavLMModel),
}
_SETTINGS = ["config.json", "preprocessor_config.json", "processor_config.json"]
_SAFETENSORS = ["model.safetensors", "model-*.safetensors", "model.safetensors.index.json"]
_PICKLED = ["pytorch_model.bin", "pytorch_model-*.bin", "pytorch_model.bin.index.json"]  # loaded as weights only
# Of these a forward pass has no use: the vector that replaces masked frames in pre-training, and adapters after the
# last layer, which the features are taken before.
_UNUSED = ("masked_spec_embed", "adapter.")
_BROKEN = (SafetensorError, pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError, KeyError)

Found = TypeVar("Found")


@dataclass(frozen=True)
class Encoder:
    """An encoder and how it wants to be fed.

    Attributes:
        model: ``Wav2Vec2Model``, ``HubertModel`` or ``WavLMModel``, float32, in evaluation mode.
        normalize: each clip is brought to mean 0 and variance 1 first.
    """

    model: nn.Module
    normalize: bool

    def description(self) -> dict[str, Any]:
        """All but the weights, as JSON: what ``blank_encoder`` builds the same network from, without names or paths."""
        config: Any = self.model.config
        dropped = {"_name_or_path", "transformers_version", "architectures", "dtype"}
        settings = {key: value for key, value in config.to_diff_dict().items() if key not in dropped}
        described = {"normalize": self.normalize, "config": {**settings, "model_type": config.model_type}}
        plain: dict[str, Any] = json.loads(json.dumps(described))  # no tuples, which JSON would turn into lists
        return plain


def load_encoder(name: str) -> Encoder:
    """Load an encoder.

    Args:
        name: a folder with config.json, preprocessor_config.json and weights; a name on the Hugging Face hub; or
            ``random:`` and a folder or file with a config.json, for an encoder that knows nothing.

    Raises:
        ConfigError: it cannot be reached, is not a wav2vec2, HuBERT or WavLM encoder for 16 kHz, or its weights are
            missing, incomplete or broken.
    """
    if name.startswith(RANDOM):
        return _random_encoder(name)
    folder = _local_folder(name)
    if folder is None:
        folder = _fetched(name, _SETTINGS + _SAFETENSORS)
        if not _has(folder, _SAFETENSORS):
            folder = _fetched(name, _SETTINGS + _PICKLED)
    _read_settings(folder, name)
    config = _understood(lambda: AutoConfig.from_pretrained(folder, trust_remote_code=False), "config.json", name)
    normalize = _read_normalize(folder, name)
    return Encoder(_load_weights(folder, name, config), normalize)


def blank_encoder(description: Mapping[str, Any]) -> Encoder:
    """Build an encoder of an ``Encoder.description`` with random weights, for a state dict to be loaded into.

    Raises:
        ConfigError: the description is of no encoder that we know.
    """
    settings = dict(description["config"])
    family = _FAMILIES.get(settings.pop("model_type", ""))
    if family is None:
        raise ConfigError(f"{_KEY}: the model type must be one of {', '.join(_FAMILIES)}")
    config, model = family
    return Encoder(
        model(config(**settings, attn_implementation="eager")).float().eval(), bool(description["normalize"])
    )


def _random_encoder(name: str) -> Encoder:
    path = Path(name.removeprefix(RANDOM)).expanduser()
    settings = _read_settings(path, name)
    logging.getLogger(__name__).warning(
        "%s: %s has RANDOM weights: it has learnt nothing, and results will be poor", _KEY, name
    )
    return _understood(lambda: blank_encoder({"normalize": True, "config": settings}), "config.json", name)


def _local_folder(name: str) -> Path | None:
    """The folder that a name means, or nothing where it is a name on the hub."""
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1 or path.exists():
        raise ConfigError(
            f"{_KEY}: {name} is no folder; give a folder with config.json and weights, or a name on the hub"
        )
    return None


def _fetched(name: str, files: list[str]) -> Path:
    try:
        return Path(snapshot_download(name, allow_patterns=files))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise ConfigError(
            f"{_KEY}: {name} is neither a folder here nor reachable on the Hugging Face hub ({_brief(error)}); "
            "give a local folder, or download it once and set HF_HUB_OFFLINE=1 to use the copy in the cache"
        ) from error


def _brief(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".:") if lines else type(error).__name__


def _has(folder: Path, patterns: list[str]) -> bool:
    return any(next(folder.glob(pattern), None) for pattern in patterns)


def _read_settings(path: Path, name: str) -> dict[str, Any]:
    """What config.json holds, for a model type that we know."""
    settings = _read_json(path / "config.json" if path.is_dir() else path, name)
    if settings.get("model_type") not in _FAMILIES:
        found = settings.get("model_type", "none")
        raise ConfigError(f"{_KEY}: {name} is of model type {found}; allowed are {', '.join(_FAMILIES)}")
    return settings


def _read_json(file: Path, name: str) -> dict[str, Any]:
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{_KEY}: {name} has no readable {file.name} ({_brief(error)})") from error
    if not isinstance(settings, dict):
        raise ConfigError(f"{_KEY}: {name}: {file.name} holds no JSON object")
    return settings


def _read_normalize(folder: Path, name: str) -> bool:
    """Whether clips are normalised; refuses another sampling rate."""
    if not _has(folder, _SETTINGS[1:]):
        raise ConfigError(
            f"{_KEY}: {name} has no preprocessor_config.json, so how to feed it is unknown; "
            'copy the one of its origin, or write {"sampling_rate": 16000, "do_normalize": true or false}'
        )
    extractor = _understood(lambda: Wav2Vec2FeatureExtractor.from_pretrained(folder), "preprocessor_config.json", name)
    if extractor.sampling_rate != SAMPLE_RATE:
        raise ConfigError(f"{_KEY}: {name} is for {extractor.sampling_rate} Hz; only {SAMPLE_RATE} Hz is supported")
    return bool(extractor.do_normalize)


def _understood(read: Callable[[], Found], file: str, name: str) -> Found:
    try:
        return read()
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"{_KEY}: {name}: {file} is not understood ({_brief(error)})") from error


def _load_weights(folder: Path, name: str, config: Any) -> nn.Module:
    if not _has(folder, _SAFETENSORS + _PICKLED):
        raise ConfigError(
            f"{_KEY}: {name} has no weights (model.safetensors or pytorch_model.bin); "
            f"for random ones, which have learnt nothing, write {RANDOM}{name}"
        )
    try:
        with _quiet_transformers():
            # One attention for all: its code is never called, but sdpa and flash attention would be checked for.
            model, report = AutoModel.from_pretrained(
                folder,
                config=config,
                attn_implementation="eager",
                dtype="float32",
                weights_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except _BROKEN as error:
        raise ConfigError(f"{_KEY}: the weights of {name} cannot be read ({_brief(error)})") from error
    lacking = sorted(key for key in report["missing_keys"] if not key.startswith(_UNUSED))
    if lacking:
        raise ConfigError(f"{_KEY}: the weights of {name} lack {lacking[0]} and {len(lacking) - 1} more")
    encoder: nn.Module = model.eval()
    return encoder


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """No report of pre-training weights that are left over, no bar: what matters is checked here."""
    controls: Any = transformers_logging
    verbosity, bars = controls.get_verbosity(), controls.is_progress_bar_enabled()
    controls.set_verbosity(logging.CRITICAL)
    controls.disable_progress_bar()
    try:
        yield
    finally:
        controls.set_verbosity(verbosity)
        if bars:
            controls.enable_progress_bar()
