"""From the pages to the site: Zensical in strict mode, then ``llms.txt`` and the pages as Markdown beside it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from docs.site.pages import lay_out, title
from docs.site.reference import generated

ROOT = Path(__file__).parents[2]


class SiteError(Exception):
    """What Zensical found wrong, in its words."""


def build(site: Path, root: Path = ROOT) -> Path:
    """Build the site anew.

    Args:
        site: its folder; what was there before goes.
        root: the checkout whose pages are built.

    Returns:
        The folder.

    Raises:
        DeadLinkError: pages link to files that are not there, or lie outside the navigation.
        SiteError: Zensical warns of something: an unknown anchor, an unknown reference.
    """
    with tempfile.TemporaryDirectory() as temporary:
        project = Path(temporary)
        pages = lay_out(root, project / "docs", generated())
        shutil.copyfile(root / "mkdocs.yml", project / "mkdocs.yml")
        command = [sys.executable, "-m", "zensical", "build", "--strict"]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SiteError(re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr))
        _for_language_models(project, pages)
        shutil.rmtree(site, ignore_errors=True)
        shutil.copytree(project / "site", site)
    return site


def _for_language_models(project: Path, pages: Sequence[PurePosixPath]) -> None:
    """``llms.txt``, and the pages that it names as the Markdown that they are made of."""
    lines = []
    for page in pages:
        text = (project / "docs" / page).read_text(encoding="utf-8")
        shutil.copyfile(project / "docs" / page, project / "site" / page)
        lines.append(f"- [{title(text)}]({page})")
    summary = "> Speech emotion recognition, from a folder of recordings to a served classifier."
    text = "\n".join(["# emotions-toolkit", "", summary, "", "## Pages", "", *lines, ""])
    (project / "site" / "llms.txt").write_text(text, encoding="utf-8")
