"""A try of a written site: its own scripts replay the probe, run and timed by Node where that is installed."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from emotions.errors import BundleError, first_line, plain

_LIMIT_SEC = 600
_SCRIPT = Path(__file__).parent / "trial.mjs"
_NOT_MEASURED = "not measured here (node is not installed); the page replays the probe itself, and says what is wrong"


def trial(site: Path) -> str:
    """Replay the probe by the runtime of a site, and say how fast that was.

    Args:
        site: its folder.

    Raises:
        BundleError: the runtime cannot run the model, or it answers otherwise than at export.
    """
    node = shutil.which("node")
    if node is None:
        return _NOT_MEASURED
    command = [node, str(_SCRIPT), str(site.resolve())]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_SEC, check=False)
    except subprocess.TimeoutExpired as error:
        raise BundleError(f"the model takes longer than {_LIMIT_SEC} s for its probe") from error
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        said = first_line(ValueError(done.stderr.strip() or "node has ended"))
        raise BundleError(f"the site cannot be tried: {plain(said)}")
    found = json.loads(lines[-1])
    if "error" in found:
        raise BundleError(plain(str(found["error"])))
    return f"{found['milliseconds']:.0f} ms a window by Node here, one thread; the probe passes"
