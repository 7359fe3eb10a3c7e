"""Before the first worker: find the bundle, and prove in a process of its own that it loads and answers its probe.

``python -m serving.startup`` is that process. Workers that fail are started again and again; a server that fails here
says why in one line and ends. A process of its own, so that the server's parent holds no model and no GPU.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from emotions.bundle import newest_bundle
from emotions.errors import BundleError, EmotionsError
from emotions.predictor import Predictor, load
from serving.settings import PREFIX, Settings, read_settings

BUNDLES = Path("bundles")
"""Where the newest bundle is looked for when none is named: below the working directory, or beside the code."""
BUNDLE_VARIABLE = f"{PREFIX}BUNDLE"

_FAULT = 2
_SOURCE = Path(__file__).resolve().parent.parent


def find_bundle(settings: Settings) -> Path:
    """Absolute path of the bundle to serve.

    Raises:
        BundleError: none is named and ``bundles`` holds none.
    """
    # In a Bento the bundles lie beside the code, and the working directory is anyone's.
    packed = _SOURCE / BUNDLES
    return (settings.bundle or newest_bundle(packed if packed.is_dir() and not BUNDLES.is_dir() else BUNDLES)).resolve()


def open_predictor(settings: Settings) -> Predictor:
    """Load the bundle as a worker does. Raises as ``emotions.load`` does."""
    threads = settings.threads or settings.cores
    return load(find_bundle(settings), device=settings.device, variant=settings.variant, threads=threads)


def check(settings: Settings) -> Path:
    """Load the bundle once, in another process.

    Returns:
        Absolute path of the bundle, for the workers: one that is exported meanwhile is not theirs.

    Raises:
        BundleError: it does not load, or does not answer as it did at export.
    """
    bundle = find_bundle(settings)
    path = os.pathsep.join(filter(None, [str(_SOURCE), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, BUNDLE_VARIABLE: str(bundle), "PYTHONPATH": path}
    command = [sys.executable, "-m", "serving.startup"]
    done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise BundleError(done.stderr.strip() or f"{bundle}: loading it ended with exit status {done.returncode}")
    return bundle


def main() -> int:
    """Load the bundle that the environment names; the exit status says whether that went well."""
    try:
        open_predictor(read_settings(os.environ))
    except EmotionsError as error:
        print(error, file=sys.stderr)
        return _FAULT
    return 0


if __name__ == "__main__":
    sys.exit(main())
