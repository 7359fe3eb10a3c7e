"""Checkpoints of Hugging Face: found by name or folder, and read without running anything they bring along.

Everything is fetched into a local folder first and loaded from there, so that a name and a folder take one path, the
offline mode of Hugging Face is honoured, and transformers starts no conversion service in the background.
"""

from __future__ import annotations

import json
import logging
import pickle
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from safetensors import SafetensorError
from torch import nn
from transformers import logging as transformers_logging

from emotions.errors import ConfigError

CONFIG = "config.json"
PREPROCESSOR = "preprocessor_config.json"
CARD = "README.md"

_SETTINGS = [CONFIG, PREPROCESSOR, "processor_config.json"]
_SAFETENSORS = ["model.safetensors", "model-*.safetensors", "model.safetensors.index.json"]
_PICKLED = ["pytorch_model.bin", "pytorch_model-*.bin", "pytorch_model.bin.index.json"]  # loaded as weights only
_BROKEN = (SafetensorError, pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError, KeyError)

Found = TypeVar("Found")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in a folder here.

    Attributes:
        key: what the user named it by, which errors begin with.
        name: the folder or the name on the hub, as the user gave it.
        folder: where its files are.
        on_hub: ``name`` is one on the hub.
    """

    key: str
    name: str
    folder: Path
    on_hub: bool = False

    def error(self, message: str) -> ConfigError:
        """An error about this checkpoint; ``{}`` in the message stands for its name."""
        return ConfigError(f"{self.key}: {message.replace('{}', self.name)}")

    def read_json(self, file: str) -> dict[str, Any]:
        """One of its settings files.

        Raises:
            ConfigError: it is missing, or holds no JSON object.
        """
        return read_object(self.folder / file, self)

    def read_settings(self, families: Mapping[str, Any]) -> dict[str, Any]:
        """What config.json holds.

        Raises:
            ConfigError: it cannot be read, or is of a model type that is not among ``families``.
        """
        settings = self.read_json(CONFIG)
        check_family(settings, families, self)
        return settings

    def understood(self, read: Callable[[], Found], file: str) -> Found:
        """What ``read`` makes of a settings file.

        Raises:
            ConfigError: it fails.
        """
        try:
            return read()
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise self.error(f"{{}}: {file} is not understood ({brief(error)})") from error

    def read_preprocessor(self, extractor: Any, rate: int) -> Any:
        """Its feature extractor, of the class ``extractor``.

        Raises:
            ConfigError: there is none, it cannot be read, or it is for another sampling rate.
        """
        if not _has(self.folder, _SETTINGS[1:]):
            raise self.error(
                f"{{}} has no {PREPROCESSOR}, so how to feed it is unknown; "
                f'copy the one of its origin, or write {{"sampling_rate": {rate}, "do_normalize": true or false}}'
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a rate that is refused below
            found = self.understood(lambda: extractor.from_pretrained(self.folder), PREPROCESSOR)
        if found.sampling_rate != rate:
            raise self.error(f"{{}} is for {found.sampling_rate} Hz; only {rate} Hz is supported")
        return found

    @property
    def has_weights(self) -> bool:
        """There is a file of weights."""
        return _has(self.folder, _SAFETENSORS + _PICKLED)

    def load_weights(self, model: Any, **options: Any) -> tuple[nn.Module, dict[str, Any]]:
        """Load its weights as float32 with ``model.from_pretrained``: no pickle runs, and no code of its folder.

        Returns:
            The model in evaluation mode, and what transformers reports of missing and unexpected keys.

        Raises:
            ConfigError: they cannot be read.
        """
        try:
            with quiet_transformers():
                # One attention for all: sdpa does not export everywhere, and flash attention would be checked for.
                loaded, report = model.from_pretrained(
                    self.folder,
                    attn_implementation="eager",
                    dtype="float32",
                    weights_only=True,
                    output_loading_info=True,
                    **options,
                )
        except _BROKEN as error:
            raise self.error(f"the weights of {{}} cannot be read ({brief(error)})") from error
        network: nn.Module = loaded.eval()
        return network, report


def find_checkpoint(name: str, key: str, *, card: bool = False) -> Checkpoint:
    """Find a folder, or fetch a name of the hub, weights included.

    Args:
        name: a folder, or a name on the hub.
        key: what the user named it by.
        card: fetch the model card as well.

    Raises:
        ConfigError: there is no such folder, and the hub cannot be reached or has no such name.
    """
    local = _local_folder(name, key)
    if local is not None:
        return Checkpoint(key, name, local)
    wanted = _SETTINGS + ([CARD] if card else [])
    folder = _fetched(name, wanted + _SAFETENSORS, key)
    if not _has(folder, _SAFETENSORS):
        folder = _fetched(name, wanted + _PICKLED, key)
    return Checkpoint(key, name, folder, on_hub=True)


def read_object(file: Path, checkpoint: Checkpoint) -> dict[str, Any]:
    """The JSON object in a file of a checkpoint. Raises ``ConfigError`` where there is none."""
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise checkpoint.error(f"{{}} has no readable {file.name} ({brief(error)})") from error
    if not isinstance(settings, dict):
        raise checkpoint.error(f"{{}}: {file.name} holds no JSON object")
    return settings


def check_family(settings: Mapping[str, Any], families: Mapping[str, Any], checkpoint: Checkpoint) -> None:
    """Refuse settings of a model type that is not among ``families``, with a ``ConfigError``."""
    found = settings.get("model_type", "none")
    if found not in families:
        raise checkpoint.error(f"{{}} is of model type {found}; allowed are {', '.join(families)}")


def brief(error: Exception) -> str:
    """The first line of what a library says."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".:") if lines else type(error).__name__


def _local_folder(name: str, key: str) -> Path | None:
    """The folder that a name means, or nothing where it is a name on the hub."""
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1 or path.exists():
        raise ConfigError(
            f"{key}: {name} is no folder; give a folder with config.json and weights, or a name on the hub"
        )
    return None


def _fetched(name: str, files: list[str], key: str) -> Path:
    try:
        return Path(snapshot_download(name, allow_patterns=files))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise ConfigError(
            f"{key}: {name} is neither a folder here nor reachable on the Hugging Face hub ({brief(error)}); "
            "give a local folder, or download it once and set HF_HUB_OFFLINE=1 to use the copy in the cache"
        ) from error


def _has(folder: Path, patterns: list[str]) -> bool:
    return any(next(folder.glob(pattern), None) for pattern in patterns)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No report of pre-training weights that are left over, no bar: what matters is checked by who loads."""
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
