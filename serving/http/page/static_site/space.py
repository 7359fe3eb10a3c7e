"""The README of a static Space of Hugging Face: what the Hub shows, and the headers that the site asks it for."""

from __future__ import annotations

import json

from emotions.bundle.bundle import Bundle
from emotions.bundle.summary import warnings
from emotions.errors import plain

_LONGEST_TITLE = 100
_HEADERS = {
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "cross-origin",
}


def space_readme(bundle: Bundle) -> str:
    """The README.md of a bundle's Space. Values are JSON, which YAML reads: a name can end no line of it.

    Args:
        bundle: an opened bundle.
    """
    manifest = bundle.manifest
    front = {
        "title": plain(manifest.name)[:_LONGEST_TITLE],
        "emoji": "🎙️",
        "sdk": "static",
        "app_file": "index.html",
        "pinned": False,
        "custom_headers": _HEADERS,
    }
    lines = [f"{key}: {json.dumps(value)}" for key, value in front.items()]
    labels = "; ".join(f"{target}: {', '.join(names)}" for target, names in manifest.targets.items())
    notes = [f"- {plain(each)}" for each in warnings(manifest)]
    return "\n".join(
        [
            *("---", *lines, "---", ""),
            f"# {_text(manifest.name)}",
            "",
            f"Emotions in speech, recognised in the browser: {_text(labels)}.",
            "Recordings stay on the visitor's machine.",
            "",
            *notes,
            "",
        ]
    )


def _text(written: str) -> str:
    """A name as Markdown shows it, not as it would be read."""
    return "".join(f"\\{each}" if each in "\\`*_{}[]<>()#+!|&~" else each for each in plain(written))
