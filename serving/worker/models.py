"""The models of a worker by their names: the default one, and those of ``EMOTIONS_BUNDLES``.

One that does not load answers 503 with the reason, and the others serve.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from emotions.errors import NotReady
from serving.worker.engine import Engine


@dataclass(eq=False)
class ServedModel:
    """A bundle that is served.

    Attributes:
        name: in URLs; empty until the default one, which no setting names, has that of its bundle.
        path: of the bundle that is loaded, or was to be.
        source: of the bundle as settings name it: where a newer one may lie.
        engine: answers requests; None where it does not load.
        fault: why there is no engine, for clients to read; empty where that is not known or not theirs.
    """

    name: str = ""
    path: Path = Path()
    source: Path = Path()
    engine: Engine | None = None
    fault: str = ""

    def loaded_engine(self) -> Engine:
        """The engine.

        Raises:
            NotReady: the model is not loaded.
        """
        if self.engine is None:
            raise NotReady(f"the service is not ready: {self.fault}" if self.fault else "the service is not ready")
        return self.engine


@dataclass(eq=False)
class Models:
    """The models of a worker.

    Attributes:
        default: the one of the routes without a name.
        named: those that settings name; the default one may be among them.
    """

    default: ServedModel = field(default_factory=ServedModel)
    named: dict[str, ServedModel] = field(default_factory=dict)

    def __iter__(self) -> Iterator[ServedModel]:
        yield self.default
        yield from (each for each in self.named.values() if each is not self.default)

    def find(self, name: str) -> ServedModel | None:
        """The model of a name; the default one for an empty name, its bundle's own, or while it is not loaded.

        Args:
            name: as a URL has it.
        """
        if name in self.named:
            return self.named[name]
        engine = self.default.engine
        own = not name or engine is None or name in (engine.name, engine.predictor.manifest.name)
        return self.default if own else None

    @property
    def engines(self) -> list[Engine]:
        """Those of the models that are loaded."""
        return [each.engine for each in self if each.engine is not None]
