"""Render templates: every value is escaped, and what is rendered needs no network and no other file."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2

_TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, **values: Any) -> str:
    """A template filled in; every value is escaped.

    Args:
        template: name of a file in ``templates``.
        values: what the template shows, by the names that it uses.
    """
    return _environment().get_template(template).render(values)


@cache
def _environment() -> jinja2.Environment:
    import jinja2  # not at the top: commands that write no report do not need it

    from emotions.files.html.glossary import anchor, explained, terms_in

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"explained": explained, "terms_in": terms_in, "anchor": anchor}
    return environment
