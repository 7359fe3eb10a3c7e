"""The rules of axe-core for pages, from npm's cache where they were fetched before."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

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
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=200)
    except subprocess.TimeoutExpired:
        needs(False, "the npm registry does not answer in time")
        raise
    needs(done.returncode == 0, "the npm registry cannot be reached")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


def grave(page: Page, axe: str) -> list[dict[str, Any]]:
    """What the rules find serious on a page; run as its policy lets no script in.

    Args:
        page: the page.
        axe: the rules.
    """
    page.evaluate(f"{axe};0")
    found = page.evaluate("axe.run().then(each => each.violations)")
    return [each for each in found if each["impact"] in ("serious", "critical")]
