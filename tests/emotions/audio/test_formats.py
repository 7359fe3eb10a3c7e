"""One table of formats: folders, messages and the page of reference say the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from emotions.audio import decode
from emotions.audio.formats import EXTENSIONS, FORMATS, format_of, format_table
from emotions.errors import NotAudio
from emotions.inputs.discovery import find_files
from tests.servers import REPOSITORY


def test_the_page_of_reference_has_the_table() -> None:
    assert format_table() in (REPOSITORY / "docs" / "reference" / "formats.md").read_text(encoding="utf-8")


def test_a_folder_is_searched_for_every_ending(tmp_path: Path) -> None:
    for number, each in enumerate(FORMATS):
        for ending in each.endings:
            (tmp_path / f"{number}.{ending.upper()}").touch()
    (tmp_path / "notes.txt").touch()
    found = find_files([tmp_path])
    assert {Path(file.name).suffix.lower() for file in found.files} == EXTENSIONS
    assert found.skipped == 1


def test_a_message_names_every_format() -> None:
    with pytest.raises(NotAudio) as caught:
        decode.decode(b"PK\3\4" + bytes(100))
    assert all(each.name in str(caught.value) for each in FORMATS)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"RIFX\0\0\0\0WAVE", "WAV"),
        (b"BW64\xff\xff\xff\xffWAVE", "WAV"),
        (b"\0\0\0\x08wide", "MP4"),
        (b"#!AMR-WB\n", "AMR"),
        (b"\xff\xf1\x50", "AAC"),
        (b"\xff\xfb\x90", "MP3"),
        ((b"\xd4" + bytes(32)) * 20, "GSM"),
    ],
)
def test_first_bytes_tell_the_format(head: bytes, name: str) -> None:
    kind = format_of(head)
    assert kind is not None
    assert kind.name == name


@pytest.mark.parametrize("head", [b"", b"RIFF\0\0\0\0AVI ", b"\xd4" + bytes(600), b"#EXTM3U", b"FORM\0\0\0\x008SVX"])
def test_other_bytes_are_of_no_format(head: bytes) -> None:
    assert format_of(head) is None
