"""Build the site: ``python -m docs.site [FOLDER]``, by default ``build/site``; every warning is an error."""

from __future__ import annotations

import sys
from pathlib import Path

from docs.site.build import ROOT, build

if __name__ == "__main__":
    site = build(Path(sys.argv[1]) if sys.argv[1:] else ROOT / "build/site")
    print(f"{site / 'index.html'}")
