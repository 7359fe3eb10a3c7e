"""What all models of a worker share: its decoders, and its places for bodies that arrive."""

from __future__ import annotations

from dataclasses import dataclass

from serving.settings import Settings
from serving.worker.arrivals import Arrivals
from serving.worker.decoding import RequestDecoder


@dataclass(frozen=True)
class Shared:
    """One pool of decoders, and one bound for the bytes of bodies, whatever models the requests are for."""

    decoder: RequestDecoder
    arrivals: Arrivals

    @classmethod
    def of(cls, settings: Settings) -> Shared:
        """New ones, for a worker or for a model that is alone.

        Args:
            settings: the service's settings.
        """
        return cls(RequestDecoder(settings), Arrivals(settings))
