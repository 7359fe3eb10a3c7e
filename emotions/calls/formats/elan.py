"""EAF files of ELAN: written as version 3.0, read in any version.

Source: the schema EAFv3.0.xsd of the Max Planck Institute for Psycholinguistics. Times are whole milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from mimetypes import guess_type
from pathlib import PurePosixPath
from urllib.parse import quote, unquote, urlsplit
from xml.etree import ElementTree

from emotions.calls.formats.annotation import Annotation, Interval, Tier, rounded
from emotions.calls.formats.xml_text import parse_xml
from emotions.errors import DataError

DIGITS = 3
_SCHEMA = "http://www.w3.org/2001/XMLSchema-instance"
_TYPE = "default-lt"


def elan(annotation: Annotation) -> str:
    """A recording's tiers as an EAF file, beside which the recording is looked for.

    Args:
        annotation: of the recording.
    """
    root = ElementTree.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": annotation.rater,
            "DATE": datetime.now(UTC).isoformat(timespec="seconds"),
            "FORMAT": "3.0",
            "VERSION": "3.0",
            "xmlns:xsi": _SCHEMA,
            "xsi:noNamespaceSchemaLocation": "http://www.mpi.nl/tools/elan/EAFv3.0.xsd",
        },
    )
    _add_header(root, annotation)
    tiers = [(tier, rounded(tier, DIGITS)) for tier in annotation.tiers]
    slots = iter(_add_slots(root, [each for _, intervals in tiers for each in intervals]))
    for tier, intervals in tiers:
        element = ElementTree.SubElement(root, "TIER", _tier_attributes(tier))
        for each in intervals:
            _add_annotation(element, each, *next(slots))
    ElementTree.SubElement(
        root,
        "LINGUISTIC_TYPE",
        {"LINGUISTIC_TYPE_ID": _TYPE, "TIME_ALIGNABLE": "true", "GRAPHIC_REFERENCES": "false"},
    )
    ElementTree.indent(root)
    text: str = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _add_header(root: ElementTree.Element, annotation: Annotation) -> None:
    header = ElementTree.SubElement(root, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"})
    url = quote(PurePosixPath(annotation.file).name)
    kind = guess_type(annotation.file)[0] or "audio/x-wav"
    ElementTree.SubElement(
        header, "MEDIA_DESCRIPTOR", {"MEDIA_URL": url, "MIME_TYPE": kind, "RELATIVE_MEDIA_URL": f"./{url}"}
    )


def _tier_attributes(tier: Tier) -> dict[str, str]:
    attributes = {"TIER_ID": tier.name, "LINGUISTIC_TYPE_REF": _TYPE}
    attributes |= {"PARTICIPANT": tier.speaker} if tier.speaker else {}
    return attributes | ({"ANNOTATOR": tier.rater} if tier.rater else {})


def _add_slots(root: ElementTree.Element, intervals: Sequence[Interval]) -> list[tuple[int, int]]:
    """Add the start and end of all intervals, in the order of time, and give the numbers of each interval's two."""
    edges = [round(seconds * 1000) for each in intervals for seconds in (each.start, each.end)]
    numbers = {edge: number for number, edge in enumerate(sorted(range(len(edges)), key=edges.__getitem__), 1)}
    order = ElementTree.SubElement(root, "TIME_ORDER")
    for edge, number in numbers.items():
        ElementTree.SubElement(order, "TIME_SLOT", {"TIME_SLOT_ID": f"ts{number}", "TIME_VALUE": str(edges[edge])})
    return [(numbers[edge], numbers[edge + 1]) for edge in range(0, len(edges), 2)]


def _add_annotation(tier: ElementTree.Element, each: Interval, begin: int, end: int) -> None:
    refs = {"ANNOTATION_ID": f"a{begin}", "TIME_SLOT_REF1": f"ts{begin}", "TIME_SLOT_REF2": f"ts{end}"}
    outer = ElementTree.SubElement(ElementTree.SubElement(tier, "ANNOTATION"), "ALIGNABLE_ANNOTATION", refs)
    ElementTree.SubElement(outer, "ANNOTATION_VALUE").text = each.label


def read_elan(data: bytes, name: str) -> Annotation:
    """The tiers of an EAF file; annotations without a value are left out.

    An annotation that refers to another one has the times of that one. The rater is the annotator of the tier, else its
    name.

    Args:
        data: of the file.
        name: of the file, for messages.

    Raises:
        DataError: it is no EAF file, or an annotation has no times.
    """
    root = parse_xml(data, name)
    if root.tag != "ANNOTATION_DOCUMENT":
        raise DataError(f"{name}: is not an EAF file of ELAN: its root is {root.tag[:40]!r}")
    times = _times(root, name)
    tiers = tuple(_tier(element, times) for element in root.iter("TIER"))
    end = max((each.end for tier in tiers for each in tier.intervals), default=0.0)
    return Annotation(_media(root), end, tiers)


def _times(root: ElementTree.Element, name: str) -> dict[str, tuple[float, float]]:
    """Start and end in seconds of each annotation, by its id."""
    values = {each.get("TIME_SLOT_ID", ""): each.get("TIME_VALUE") for each in root.iter("TIME_SLOT")}
    found: dict[str, tuple[float, float]] = {}
    for each in root.iter("ALIGNABLE_ANNOTATION"):
        edges = [values.get(each.get(f"TIME_SLOT_REF{number}", "")) for number in (1, 2)]
        if any(edge is None or not edge.isdecimal() or len(edge) > 12 for edge in edges):
            raise DataError(
                f"{name}: the annotation {each.get('ANNOTATION_ID', '')[:40]!r} has no times; align it in ELAN"
            )
        begin, end = (int(edge or 0) / 1000 for edge in edges)
        found[each.get("ANNOTATION_ID", "")] = begin, end
    refs = {each.get("ANNOTATION_ID", ""): each.get("ANNOTATION_REF", "") for each in root.iter("REF_ANNOTATION")}
    for key in refs:
        if (time := _referred(key, refs, found)) is None:
            raise DataError(f"{name}: the annotation {key[:40]!r} refers to none that has times")
        found[key] = time
    return found


def _referred(
    key: str, refs: Mapping[str, str], found: Mapping[str, tuple[float, float]]
) -> tuple[float, float] | None:
    """The times of the annotation at the end of a chain of references; None where there is none."""
    seen: set[str] = set()
    while key not in found and key in refs and key not in seen:
        seen.add(key)
        key = refs[key]
    return found.get(key)


def _tier(element: ElementTree.Element, times: Mapping[str, tuple[float, float]]) -> Tier:
    name, speaker = element.get("TIER_ID", ""), element.get("PARTICIPANT", "")
    intervals = sorted(_intervals(element, times), key=lambda each: (each.start, each.end))
    return Tier(name, tuple(intervals), speaker=speaker, rater=element.get("ANNOTATOR") or name)


def _intervals(element: ElementTree.Element, times: Mapping[str, tuple[float, float]]) -> Iterator[Interval]:
    for outer in element.iter("ANNOTATION"):
        for each in outer:
            label = (each.findtext("ANNOTATION_VALUE") or "").strip()
            if label and each.get("ANNOTATION_ID", "") in times:
                yield Interval(*times[each.get("ANNOTATION_ID", "")], label)


def _media(root: ElementTree.Element) -> str:
    """The recording that the file is of, as it names it; empty where it names none."""
    for each in root.iter("MEDIA_DESCRIPTOR"):
        url = each.get("RELATIVE_MEDIA_URL") or each.get("MEDIA_URL") or ""
        if name := PurePosixPath(unquote(urlsplit(url).path)).name:
            return name
    return ""
