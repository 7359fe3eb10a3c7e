"""What a person reads on a page."""

from __future__ import annotations

import html
import re


def text_of(page: str) -> str:
    """The words of an HTML document, without its style and its tags."""
    return html.unescape(re.sub(r"<[^>]*>", "", re.sub(r"(?s)<style>.*?</style>", "", page)))
