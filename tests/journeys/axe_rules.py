"""The rules of axe-core for pages, from npm's cache where they were fetched before."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.conftest import needs

_PINNED = Path(__file__).parents[1] / "axe"


def axe_script(folder: Path) -> str:
    """The rules as a script.

    Args:
        folder: where npm installs them.
    """
    needs(bool(shutil.which("npm")), "npm is needed")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(_PINNED / name, folder)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    needs(done.returncode == 0, "the npm registry cannot be reached")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
