"""Checkpoints of Hugging Face: found by name or folder, and read without running anything they bring along.

Everything is fetched into a local folder first and loaded from there, so that a name and a folder take one path, the
offline mode of Hugging Face is honoured, and transformers starts no conversion service in the background.
"""

from __future__ import annotations

import json
import logging
import pickle
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from safetensors import SafetensorError
from torch import nn
from transformers import logging as transformers_logging

from emotions.errors import ConfigError, first_line
from emotions.files.content import open_regular
from training.models.model_size import check_numbers, without_memory

CONFIG = "config.json"
PREPROCESSOR = "preprocessor_config.json"
CARD = "README.md"

_SETTINGS = [CONFIG, PREPROCESSOR, "processor_config.json"]
_SAFETENSORS = ["model.safetensors", "model-*.safetensors", "model.safetensors.index.json"]
_PICKLED = ["pytorch_model.bin", "pytorch_model-*.bin", "pytorch_model.bin.index.json"]  # loaded as weights only
_MAX_SETTINGS_BYTES = 16 << 20
_SMALL = 1 << 20
"""Parameters that a file of weights need not have: what training alone uses."""
_BROKEN = (SafetensorError, pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError, KeyError)

Found = TypeVar("Found")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in a local folder.

    Attributes:
        key: config key or option that names it; errors begin with it.
        name: the folder or the name on the hub, as the user gave it.
        folder: the folder of its files.
        on_hub: whether ``name`` is a name on the hub.
    """

    key: str
    name: str
    folder: Path
    on_hub: bool = False

    def error(self, message: str) -> ConfigError:
        """An error about this checkpoint; ``{}`` in the message stands for its name."""
        return ConfigError(f"{self.key}: {message.replace('{}', self.name)}")

    def read_json(self, file: str) -> dict[str, Any]:
        """Read a settings file. Raises ConfigError where it is missing, holds no JSON object, or absurd numbers."""
        try:
            with open_regular(self.folder / file) as stream:
                settings = json.loads(stream.read(_MAX_SETTINGS_BYTES).decode())
        except (OSError, ValueError, RecursionError) as error:
            raise self.error(f"{{}} has no readable {file} ({first_line(error)})") from error
        if not isinstance(settings, dict):
            raise self.error(f"{{}}: {file} holds no JSON object")
        try:
            check_numbers(settings)
        except ConfigError as error:
            raise self.error(f"{{}}: {file}: {error}") from error
        return settings

    def read_settings(self, families: Collection[str], file: str = CONFIG) -> dict[str, Any]:
        """Read the configuration of the model. Raises ConfigError where it cannot be read, or is of another model type.

        Args:
            families: the model types that are supported.
            file: name of the configuration file.
        """
        settings = self.read_json(file)
        found = settings.get("model_type", "none")
        if found not in families:
            raise self.error(f"{{}} is of model type {found}; allowed are {', '.join(families)}")
        return settings

    def understood(self, read: Callable[[], Found], file: str) -> Found:
        """Parse a settings file. Raises ConfigError where ``read`` fails.

        Args:
            read: parses it.
            file: its name, for the error.
        """
        try:
            return read()
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise self.error(f"{{}}: {file} is not understood ({first_line(error)})") from error

    def read_preprocessor(self, extractor: Any, rate: int) -> Any:
        """Read the feature extractor. Raises ConfigError where there is none for the sampling rate.

        Args:
            extractor: its class in transformers.
            rate: the sampling rate that is supported, in Hz.
        """
        if not _has(self.folder, _SETTINGS[1:]):
            raise self.error(
                f"{{}} has no {PREPROCESSOR}, so how to feed it is unknown; "
                f'copy the one of its origin, or write {{"sampling_rate": {rate}, "do_normalize": true or false}}'
            )
        for file in _SETTINGS[1:]:
            if (self.folder / file).exists():
                self.read_json(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a rate that is refused below
            found = self.understood(lambda: extractor.from_pretrained(self.folder), PREPROCESSOR)
        if found.sampling_rate != rate:
            raise self.error(f"{{}} is for {found.sampling_rate} Hz; only {rate} Hz is supported")
        return found

    @property
    def has_weights(self) -> bool:
        """Whether there is a file of weights."""
        return _has(self.folder, _SAFETENSORS + _PICKLED)

    def load_weights(self, model: Any, **options: Any) -> tuple[nn.Module, dict[str, Any]]:
        """Load the weights as float32: no pickle runs, and no code of the checkpoint. Raises ConfigError.

        Args:
            model: class of transformers, whose ``from_pretrained`` loads.
            options: further arguments of ``from_pretrained``; ``config`` is one of them.

        Returns:
            The model in evaluation mode, and what transformers reports of missing and unexpected keys.
        """
        config = options["config"]
        auto = getattr(model, "from_config", None)
        try:  # a description of any size costs a moment this way, and no memory
            with quiet_transformers():
                without_memory(lambda: auto(config) if auto else model(config), self._weight_bytes() + _SMALL)
        except ConfigError as error:
            raise self.error(f"{{}}: {CONFIG}: {error}") from error
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
            raise self.error(f"the weights of {{}} cannot be read ({first_line(error)})") from error
        network: nn.Module = loaded.eval()
        return network, report

    def _weight_bytes(self) -> int:
        """Bytes of the files of weights, each of which is at most a parameter."""
        files = {path for pattern in _SAFETENSORS + _PICKLED for path in self.folder.glob(pattern)}
        return sum(path.stat().st_size for path in files)


def find_checkpoint(
    name: str, key: str, *, also: Collection[str] = (), pickled: Collection[str] = (), weights: bool = True
) -> Checkpoint:
    """Find a local folder, or download a checkpoint of the hub.

    Args:
        name: a folder, or a name on the hub.
        key: config key or option that names it, for errors.
        also: further files to download, such as the model card.
        pickled: further files of weights to download where there are no safetensors.
        weights: download its weights as well as its settings.

    Raises:
        ConfigError: there is no such folder, and the hub cannot be reached or has no such name.
    """
    local = _local_folder(name, key)
    if local is not None:
        return Checkpoint(key, name, local)
    files = [*_SETTINGS, *also]
    folder = _download(name, files + (_SAFETENSORS if weights else []), key)
    if weights and not _has(folder, _SAFETENSORS):
        folder = _download(name, [*files, *_PICKLED, *pickled], key)
    return Checkpoint(key, name, folder, on_hub=True)


def _local_folder(name: str, key: str) -> Path | None:
    """The folder of that name, or None where it is a name on the hub."""
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1 or path.exists():
        raise ConfigError(
            f"{key}: {name} is no folder; give a folder with config.json and weights, or a name on the hub"
        )
    return None


def _download(name: str, files: list[str], key: str) -> Path:
    try:
        return Path(snapshot_download(name, allow_patterns=files))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise ConfigError(
            f"{key}: {name} is neither a folder here nor reachable on the Hugging Face hub ({first_line(error)}); "
            "give a local folder, or download it once and set HF_HUB_OFFLINE=1 to use the copy in the cache"
        ) from error


def _has(folder: Path, patterns: list[str]) -> bool:
    return any(next(folder.glob(pattern), None) for pattern in patterns)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Suppress the reports and progress bars of transformers: callers check the missing keys themselves."""
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
