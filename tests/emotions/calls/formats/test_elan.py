from __future__ import annotations

import tempfile
from pathlib import Path
from xml.etree import ElementTree

import pympi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotions.calls.formats.annotation import Annotation
from emotions.calls.formats.elan import elan, read_elan
from emotions.errors import DataError
from tests.emotions.calls.formats.conftest import annotations, told


def by_pympi(text: str) -> pympi.Eaf:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "call.eaf"
        path.write_text(text, encoding="utf-8")
        return pympi.Eaf(str(path))


def test_pympi_reads_what_is_written(annotation: Annotation) -> None:
    found = by_pympi(elan(annotation))
    assert [*found.get_tier_names()] == [tier.name for tier in annotation.tiers]
    for tier in annotation.tiers:
        entries = sorted(found.get_annotation_data_for_tier(tier.name))
        assert [(start, end, label) for start, end, label in entries] == [
            (round(each.start * 1000), round(each.end * 1000), each.label) for each in tier.intervals
        ]
        assert found.get_parameters_for_tier(tier.name)["PARTICIPANT"] == tier.speaker
    assert found.get_linked_files()[0]["RELATIVE_MEDIA_URL"] == "./call.wav"


def test_what_pympi_writes_is_read(tmp_path: Path) -> None:
    eaf = pympi.Eaf()
    eaf.add_linked_file("file:///somewhere/a%20call.wav", relpath="./a%20call.wav", mimetype="audio/x-wav")
    eaf.add_linguistic_type("ref", "Symbolic_Association")
    eaf.add_tier("speech", part="agent", ann="Ann")
    eaf.add_annotation("speech", 100, 900, "hello")
    eaf.add_tier("emotion", ling="ref", parent="speech")
    eaf.add_ref_annotation("emotion", "speech", 500, "гнев & <joy>")
    eaf.to_file(str(tmp_path / "a.eaf"))
    found = read_elan((tmp_path / "a.eaf").read_bytes(), "a.eaf")
    assert found.file == "a call.wav"
    assert told(found) == [
        ("default", []),
        ("speech", [(0.1, 0.9, "hello")]),
        ("emotion", [(0.1, 0.9, "гнев & <joy>")]),
    ]
    assert [tier.rater for tier in found.tiers] == ["default", "Ann", "emotion"]


@given(annotations())
def test_what_is_written_is_read(annotation: Annotation) -> None:
    expected = told(annotation)
    for tier in expected:
        tier[1][:] = [(*times, label.strip()) for *times, label in tier[1] if label.strip()]  # type: ignore[misc]
    assert told(read_elan(elan(annotation).encode(), "call")) == expected


def test_time_slots_are_in_order(annotation: Annotation) -> None:
    root = ElementTree.fromstring(elan(annotation))  # noqa: S314 - ours
    values = [int(each.get("TIME_VALUE", "")) for each in root.iter("TIME_SLOT")]
    assert values == sorted(values)
    assert len({each.get("TIME_SLOT_ID") for each in root.iter("TIME_SLOT")}) == len(values)


BOMB = '<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;&b;">]><ANNOTATION_DOCUMENT>&c;</ANNOTATION_DOCUMENT>'
OUTSIDE = '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><ANNOTATION_DOCUMENT>&b;</ANNOTATION_DOCUMENT>'
LOOP = "".join(
    f'<ANNOTATION><REF_ANNOTATION ANNOTATION_ID="{one}" ANNOTATION_REF="{other}"/></ANNOTATION>'
    for one, other in (("a", "b"), ("b", "a"))
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no element found"),
        ("<a/>", "its root is 'a'"),
        (BOMB, "document type"),
        (OUTSIDE, "document type"),
        ("<ANNOTATION_DOCUMENT>" + "<a>" * 99, "nested too deep"),
        ("<ANNOTATION_DOCUMENT>&x;</ANNOTATION_DOCUMENT>", "undefined entity"),
        ('<?xml version="1.0" encoding="rot13"?><ANNOTATION_DOCUMENT/>', "XML"),
        (f"<ANNOTATION_DOCUMENT><TIER>{LOOP}</TIER></ANNOTATION_DOCUMENT>", "refers to none"),
        (
            '<ANNOTATION_DOCUMENT><TIER><ALIGNABLE_ANNOTATION ANNOTATION_ID="a"/></TIER></ANNOTATION_DOCUMENT>',
            "no times",
        ),
    ],
)
def test_hostile_files_are_refused(text: str, reason: str) -> None:
    for encoding in ("utf-8", "utf-16"):
        if encoding == "utf-8" or "encoding=" not in text:
            with pytest.raises(DataError, match=reason):
                read_elan(text.encode(encoding), "a.eaf")


@given(st.binary())
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with pytest.raises(DataError):
        read_elan(b"<ANNOTATION_DOCUMENT>" + data, "a.eaf")
