"""Layers that are services: started with the same model, device and threads as the bare session."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from emotions.errors import MissingExtra
from emotions.predictor import Predictor
from serving.benchmark.driver.clips import Clip
from serving.benchmark.driver.passes import Layer
from serving.benchmark.layers.layers import CONNECTIONS, NULL_MODEL, SERVICE
from serving.benchmark.scenarios.names import Scenario
from serving.serve_command import TARGET

SERVED: tuple[tuple[Scenario, str, str], ...] = (
    ("waterfall", NULL_MODEL, "serving.benchmark.layers.null_model_service:EmotionService"),
    ("service", SERVICE, TARGET),
)
"""Scenario, name of the layer, target of ``bentoml serve``."""


@contextlib.contextmanager
def served(name: str, target: str, predictor: Predictor, clips: Sequence[Clip], scratch: Path) -> Iterator[list[Layer]]:
    """The layers of a service, which runs until the block ends.

    Args:
        name: of the layer.
        target: what ``bentoml serve`` serves.
        predictor: names the bundle, variant, device and threads.
        clips: recordings to send.
        scratch: folder for the log.
    """
    need_bentoml()
    from serving.benchmark.driver.server_process import running
    from serving.benchmark.driver.target import OURS, driven, layer

    log = scratch / f"{name.replace(' ', '-')}.log"
    started = running(service_settings(predictor, clips), log, target)
    with started as server, driven(server, OURS, clips, read=name != NULL_MODEL) as driver:
        yield [layer(driver, name, connections, len(clips)) for connections in CONNECTIONS]


def need_bentoml() -> None:
    """Check that what serves is installed; ``MissingExtra`` where it is not."""
    for name in ("bentoml", "psutil"):
        if find_spec(name) is None:
            raise MissingExtra("serve", name)


def service_settings(predictor: Predictor, clips: Sequence[Clip]) -> dict[str, str]:
    """Settings of a service, by variable, with the same model, variant, device and threads as the predictor.

    Args:
        predictor: the model.
        clips: the largest of them is the largest upload.
    """
    return {
        "EMOTIONS_BUNDLE": str(predictor.bundle.path.absolute()),
        "EMOTIONS_VARIANT": predictor.session.variant,
        "EMOTIONS_DEVICE": predictor.session.device,
        "EMOTIONS_THREADS": str(predictor.session.threads),
        "EMOTIONS_MAX_BYTES": str(max(len(clip.content) for clip in clips) + (1 << 20)),
    }
