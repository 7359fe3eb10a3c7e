"""XML that somebody else wrote, without entities: none is expanded, and nothing outside the text is read."""

from __future__ import annotations

from xml.etree import ElementTree

from emotions.errors import DataError

_MAX_DEPTH = 50


class _Builder(ElementTree.TreeBuilder):
    """Builds a tree of bounded depth, and refuses what declares entities."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0

    def doctype(self, *_: object) -> None:
        """Refuse a document type: only there entities are declared."""
        raise ValueError("it has a document type, which may declare entities")

    def start(self, tag: str, attrs: dict[str, str]) -> ElementTree.Element:
        """Begin an element."""
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise ValueError("it is nested too deep")
        return super().start(tag, attrs)

    def end(self, tag: str) -> ElementTree.Element:
        """End an element."""
        self._depth -= 1
        return super().end(tag)


def parse_xml(data: bytes, name: str) -> ElementTree.Element:
    """The root of an XML document.

    Args:
        data: the document, of bounded size.
        name: of the file, for messages.

    Raises:
        DataError: it is not XML, has a document type, or is nested too deep.
    """
    # The parser never asks for anything else than these bytes, and a document type ends it before an entity is known.
    parser = ElementTree.XMLParser(target=_Builder())  # noqa: S314 - see above
    try:
        parser.feed(data)
        root: ElementTree.Element = parser.close()
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise DataError(f"{name}: is not XML that can be read ({error})") from error
    return root
