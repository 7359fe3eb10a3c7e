"""A bundle as a model of the Hugging Face Hub: ``hf://OWNER/NAME``, or ``hf://OWNER/NAME@REVISION``.

The model card is the Hub's: with what the Hub's search reads before it, which is taken off again on the way back.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from emotions.bundle.manifest import MANIFEST
from emotions.errors import BundleError, ConfigError, MissingExtra, first_line

CARD = "README.md"
_URL = re.compile(r"hf://([\w.-]+/[\w.-]+)(?:@([\w./-]+))?/?")
_HEAD = """---
library_name: emotions-toolkit
pipeline_tag: audio-classification
tags: [speech-emotion-recognition, onnx]
---

"""


class Hub:
    """The files of one bundle in a repository of the Hub, or of the server that ``HF_ENDPOINT`` names.

    Args:
        url: of the repository.

    Raises:
        MissingExtra: ``huggingface_hub`` is not installed.
        ConfigError: the URL is no such.
    """

    def __init__(self, url: str) -> None:
        found = _URL.fullmatch(url)
        if found is None:
            raise ConfigError(f"{url}: write hf://OWNER/NAME, or hf://OWNER/NAME@REVISION")
        self.url, self._repository, self._revision = url, found[1], found[2]
        try:
            import huggingface_hub
        except ImportError as error:
            raise MissingExtra("train", "huggingface_hub") from error
        self._hub: Any = huggingface_hub

    @cached_property
    def _commit(self) -> str:
        """The commit that all files are read of, whatever is pushed meanwhile."""
        return str(self._hub.HfApi().model_info(self._repository, revision=self._revision).sha)

    def get(self, name: str, target: Path, most_bytes: int) -> None:
        """Fetch a file. Args and Raises as ``ObjectStore.get``."""
        try:
            url = self._hub.hf_hub_url(self._repository, name, revision=self._commit)
            size = self._hub.get_hf_file_metadata(url).size
            if size is None or size > most_bytes + len(_HEAD):
                raise BundleError(f"{self.url}: {name} is larger than its manifest allows")
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as folder:
                found = self._hub.hf_hub_download(self._repository, name, revision=self._commit, local_dir=folder)
                shutil.move(found, target)
        except BundleError:
            raise
        except Exception as error:  # the Hub's client and its HTTP client have many
            raise BundleError(f"{self.url}: {name} cannot be fetched ({first_line(error)})") from error
        if name == CARD:
            target.write_bytes(target.read_bytes().removeprefix(_HEAD.encode()))

    def put(self, folder: Path, names: Sequence[str]) -> str:
        """Upload files as one commit, to a private repository where there is none; return its URL.

        Args:
            folder: where they lie.
            names: of the files beside the manifest.

        Raises:
            BundleError: they cannot be written.
            ConfigError: the URL names a revision, which cannot be written.
        """
        if self._revision:
            raise ConfigError(f"{self.url}: a push makes a new revision; leave out @{self._revision}")
        operations = [self._operation(folder, name) for name in (*names, MANIFEST)]
        try:
            api = self._hub.HfApi()
            api.create_repo(self._repository, private=True, exist_ok=True)
            commit = api.create_commit(self._repository, operations, commit_message="Push a bundle")
        except Exception as error:  # as in ``get``
            raise BundleError(f"{self.url}: cannot be written ({first_line(error)})") from error
        return f"hf://{self._repository}@{commit.oid}"

    def _operation(self, folder: Path, name: str) -> Any:
        content: Path | bytes = folder / name
        if name == CARD:
            content = _HEAD.encode() + (folder / name).read_bytes()
        return self._hub.CommitOperationAdd(path_in_repo=name, path_or_fileobj=content)
