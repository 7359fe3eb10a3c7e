"""Before the first worker: find the bundle, and prove in a process of its own that it loads and answers its probe.

Workers that fail are started again and again; a server that fails here says why in one line and ends. A process of its
own, so that the server's parent holds no model and no GPU; forked, since a new one would import everything again.
"""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path

from emotions.bundle.folders import newest_bundle
from emotions.bundle.manifest import read_bundle
from emotions.errors import BundleError, EmotionsError
from emotions.predictor import Predictor
from emotions.runtime.devices import cpu_parallel_batches
from emotions.runtime.session import open_session
from serving.settings import PREFIX, Settings

BUNDLES = Path("bundles")
"""Where the newest bundle is looked for when none is named: below the working directory, or beside the code."""
BUNDLE_VARIABLE = f"{PREFIX}BUNDLE"

_SOURCE = Path(__file__).resolve().parents[2]


def find_bundle(settings: Settings) -> Path:
    """Absolute path of the bundle to serve.

    Raises:
        BundleError: none is named and ``bundles`` holds none.
    """
    # In a Bento the bundles lie beside the code, and the working directory is anyone's.
    packed = _SOURCE / BUNDLES
    return (settings.bundle or newest_bundle(packed if packed.is_dir() and not BUNDLES.is_dir() else BUNDLES)).resolve()


def open_predictor(settings: Settings, worker: int = 0) -> Predictor:
    """Load the bundle as a worker does: the first one on the first GPU, and so on. Raises as ``emotions.load`` does."""
    bundle = read_bundle(find_bundle(settings))
    _, threads = cpu_parallel_batches(
        settings.model_threads, dynamic=bundle.manifest.window.dynamic, asked=settings.parallel_batches
    )
    session = open_session(
        bundle,
        device=settings.device,
        variant=settings.variant,
        threads=threads,
        device_id=worker % max(1, settings.gpus),
    )
    return Predictor(bundle, session)


def check(settings: Settings) -> Path:
    """Load the bundle once, in another process.

    Returns:
        Absolute path of the bundle, for the workers: one that is exported meanwhile is not theirs.

    Raises:
        BundleError: it does not load, or does not answer as it did at export.
    """
    bundle = find_bundle(settings)
    processes = multiprocessing.get_context("fork")
    told, tell = processes.Pipe(duplex=False)
    process = processes.Process(target=_try, args=(settings.model_copy(update={"bundle": bundle}), tell))
    process.start()
    tell.close()
    process.join()
    if process.exitcode:
        raise BundleError(f"{bundle}: loading it ended with exit status {process.exitcode}")
    if reason := told.recv():
        raise BundleError(reason)
    return bundle


def _try(settings: Settings, tell: Connection) -> None:
    """Load the bundle, and tell what is wrong with it, or nothing."""
    try:
        open_predictor(settings)
    except EmotionsError as error:
        tell.send(str(error))
    else:
        tell.send("")
