"""A bundle as a model of MLflow's registry, of the flavour pyfunc: ``mlflow://NAME``, ``mlflow://NAME/VERSION``.

MLflow finds its server as it does elsewhere, by ``MLFLOW_TRACKING_URI`` and ``MLFLOW_REGISTRY_URI``.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any

from emotions.bundle.manifest import MANIFEST
from emotions.errors import BundleError, ConfigError, first_line

LOADER = "serving.batch.pyfunc"
"""The module by which ``mlflow.pyfunc.load_model`` loads a bundle."""
_URL = re.compile(r"mlflow://([^/@:]{1,200})(?:/([0-9]{1,9}))?")
_MOST_CARD = 5_000


class MlflowRegistry:
    """The files of one bundle in MLflow's registry.

    Args:
        url: of the model.

    Raises:
        ConfigError: the URL is no such, or ``mlflow`` is not installed.
    """

    def __init__(self, url: str) -> None:
        found = _URL.fullmatch(url)
        if found is None:
            raise ConfigError(f"{url}: write mlflow://NAME, or mlflow://NAME/VERSION")
        self.url, self._name, self._version = url, found[1], found[2]
        try:
            import mlflow
        except ImportError as error:
            raise ConfigError("mlflow is not installed: pip install mlflow") from error
        self._mlflow: Any = mlflow
        self._open = ExitStack()

    @cached_property
    def _folder(self) -> Path:
        """The bundle's folder in what MLflow downloads, which it does as a whole."""
        folder = self._open.enter_context(tempfile.TemporaryDirectory(prefix="emotions-mlflow-"))
        uri = f"models:/{self._name}/{self._version or 'latest'}"
        got = Path(self._mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder))
        manifests = [*got.glob(f"data/*/{MANIFEST}")]
        if len(manifests) != 1:
            raise BundleError(f"{self.url}: is no bundle")
        return manifests[0].parent

    def get(self, name: str, target: Path, most_bytes: int) -> None:
        """Fetch a file. Args and Raises as ``ObjectStore.get``."""
        try:
            source = self._folder / name
            if source.is_symlink() or source.stat().st_size > most_bytes:
                raise BundleError(f"{self.url}: {name} is larger than its manifest allows")
            shutil.copyfile(source, target)
        except BundleError:
            raise
        except Exception as error:  # MLflow raises whatever its stores do
            raise BundleError(f"{self.url}: {name} cannot be fetched ({first_line(error)})") from error

    def put(self, folder: Path, names: Sequence[str]) -> str:
        """Register files as a new version, with the model card as its description; return its URL.

        Args:
            folder: where they lie.
            names: of the files beside the manifest.

        Raises:
            BundleError: they cannot be written.
            ConfigError: the URL names a version, which cannot be written.
        """
        if self._version:
            raise ConfigError(f"{self.url}: a push makes a new version; leave out /{self._version}")
        try:
            with tempfile.TemporaryDirectory(prefix="emotions-mlflow-") as scratch, self._mlflow.start_run():
                bundle = Path(scratch) / "bundle"
                bundle.mkdir()
                for name in (*names, MANIFEST):
                    shutil.copyfile(folder / name, bundle / name)
                logged = self._mlflow.pyfunc.log_model(
                    name="bundle",
                    loader_module=LOADER,
                    data_path=str(bundle),
                    registered_model_name=self._name,
                    pip_requirements=["emotions-toolkit"],
                )
            version = str(logged.registered_model_version)
            card = (folder / "README.md").read_text(encoding="utf-8") if "README.md" in names else ""
            self._mlflow.MlflowClient().update_model_version(self._name, version, card[:_MOST_CARD])
        except Exception as error:  # as in ``get``
            raise BundleError(f"{self.url}: cannot be written ({first_line(error)})") from error
        return f"mlflow://{self._name}/{version}"
