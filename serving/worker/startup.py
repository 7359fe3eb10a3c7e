"""Before the first worker: find the bundle, and check in a separate process that it loads and passes its probe.

Workers that fail are restarted for ever; a server that fails here says why in one line and ends. The process is
separate so that the server's parent holds no model and no GPU, and forked so that it need not import everything again.
"""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path

from emotions.bundle.bundle import read_bundle
from emotions.bundle.folders import newest_bundle
from emotions.bundle.named import named_bundles
from emotions.errors import BundleError, EmotionsError, ModelError
from emotions.predictor import Predictor
from emotions.runtime.devices import cpu_parallel_batches, gpu_parallel_batches
from emotions.runtime.failures import reason
from emotions.runtime.load_check import asked_seconds
from emotions.runtime.session import open_session
from serving.settings import PREFIX, Settings
from serving.telemetry.drift.gauges import embeds
from serving.telemetry.metrics import Metrics
from serving.worker.engine import Engine
from serving.worker.shared import Shared

BUNDLES = Path("bundles")
"""Folder of bundles, searched when none is named: in the working directory, or beside the code."""
BUNDLE_VARIABLE, BUNDLES_VARIABLE, SHADOW_VARIABLE = f"{PREFIX}BUNDLE", f"{PREFIX}BUNDLES", f"{PREFIX}SHADOW"
SOURCE_VARIABLE = "_EMOTIONS_BUNDLE_SOURCE"
"""Set by the process that starts the workers, for them: the default bundle as it was named, perhaps a link."""

_LOAD_SEC = 300
"""A graph may hold a loop that never ends, or one that ends on a CPU alone."""
_SOURCE = Path(__file__).resolve().parents[2]


def find_bundle(settings: Settings) -> Path:
    """Absolute path of the bundle to serve by default, links followed. Raises as ``given_bundle``."""
    return given_bundle(settings).resolve()


def given_bundle(settings: Settings) -> Path:
    """Absolute path of the bundle to serve by default, perhaps a link.

    Args:
        settings: the service's settings.

    Raises:
        BundleError: none is named, and ``bundles`` holds none.
        ConfigError: several are named, and two of them alike.
    """
    if settings.bundle is not None:
        return settings.bundle.absolute()
    if settings.bundles:
        return next(iter(named_bundles(settings.bundles).values()))
    # In a Bento the bundles lie beside the code, and the working directory may be any.
    packed = _SOURCE / BUNDLES
    return newest_bundle(packed if packed.is_dir() and not BUNDLES.is_dir() else BUNDLES).absolute()


def open_predictor(settings: Settings, worker: int = 0) -> Predictor:
    """Load the bundle as a worker does. Raises as ``emotions.load``.

    Args:
        settings: the service's settings.
        worker: number of the worker, from 0; it runs on the GPU of that number, modulo the number of GPUs.
    """
    bundle = read_bundle(find_bundle(settings))
    long = bundle.manifest.window.long
    _, threads = cpu_parallel_batches(settings.model_threads, long=long, asked=settings.parallel_batches)
    session = open_session(
        bundle,
        device=settings.device,
        variant=settings.variant,
        threads=threads,
        device_id=worker % max(1, settings.gpus),
        embedding=embeds(bundle, settings.drift_window),
        streams=gpu_parallel_batches(long=long, asked=settings.parallel_batches),
    )
    return Predictor(bundle, session)


def started(
    predictor: Predictor, settings: Settings, metrics: Metrics, shared: Shared | None = None, name: str = ""
) -> Engine:
    """The engine of a worker, warmed up.

    Args:
        predictor: the loaded bundle.
        settings: the service's settings.
        metrics: what it counts in.
        shared: what it shares with other models; None where it is the only one.
        name: in URLs and metrics; by default the bundle's.

    Raises:
        ModelError: the model fails on a batch of silence.
        OutOfMemory: the device lacks memory for one window.
    """
    engine = Engine(predictor, settings, metrics, shared, name)
    try:
        engine.warm_up()
    except Exception as error:
        engine.close()
        if isinstance(error, EmotionsError):
            raise
        raise ModelError(f"the model fails while it is warmed up ({reason(error)})") from error
    return engine


class BundleCheck:
    """Loads a bundle once, in another process that begins now.

    Args:
        settings: the service's settings.

    Raises:
        BundleError, ConfigError: as ``given_bundle``.
    """

    begun: BundleCheck | None = None
    """Of this process: begun before the service is imported, which takes as long."""

    def __init__(self, settings: Settings) -> None:
        self.bundle = find_bundle(settings)
        processes = multiprocessing.get_context("fork")
        self._receiver, sender = processes.Pipe(duplex=False)
        known = settings.model_copy(update={"bundle": self.bundle})
        self._process = processes.Process(target=_try, args=(known, sender))
        self._process.start()
        sender.close()

    def wait(self) -> None:
        """Wait for its outcome; ``BundleError`` where the bundle does not load or fails its probe."""
        seconds = _LOAD_SEC + asked_seconds(_LOAD_SEC)  # to check it within limits, where it is new, and to load it
        if not self._receiver.poll(seconds):
            self._process.kill()
            raise BundleError(f"{self.bundle}: loading it took longer than {seconds:.0f} s")
        try:
            reason = self._receiver.recv()  # before the process is joined: it ends once its reason is taken
        except EOFError:
            self._process.join()
            raise BundleError(f"{self.bundle}: loading it ended with exit status {self._process.exitcode}") from None
        self._process.join()
        if reason:
            raise BundleError(reason)


def check(settings: Settings) -> Path:
    """Check that the bundle loads and passes its probe, perhaps by what ``BundleCheck.begun`` finds; else BundleError.

    The absolute path that it returns is for the workers, which must not pick a bundle that is exported meanwhile.
    """
    checking, BundleCheck.begun = BundleCheck.begun or BundleCheck(settings), None
    checking.wait()
    return checking.bundle


def _try(settings: Settings, sender: Connection) -> None:
    """Load the bundle, and send the reason why it does not load, or an empty text."""
    reason = ""
    try:
        open_predictor(settings)
    except EmotionsError as error:
        reason = str(error)
    sender.send(reason)
