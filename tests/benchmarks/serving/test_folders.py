"""Benchmarks of folders: formats beside WAV, and what a run of very many files does beside classifying them."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.serving.folder_bookkeeping import bookkeeping, link
from benchmarks.serving.folder_formats import to_wav
from emotions.inputs.discovery import find_files
from tests.conftest import Tone, WriteWav


@pytest.fixture
def clips(tmp_path: Path, tone: Tone, write_wav: WriteWav) -> Path:
    for number in range(3):
        write_wav(tmp_path / "clips" / f"{number}.wav", tone(0.5, 300 + 100 * number))
    return tmp_path / "clips"


def test_every_format_is_measured_beside_wav(tiny_bundle: Path, clips: Path) -> None:
    found = to_wav(tiny_bundle, clips, 2, 2)
    assert {*found} == {"flac", "mp3", "m4a"}
    assert all(0 < lowest <= middle <= highest for middle, lowest, highest in found.values())


def test_links_are_found_as_recordings_and_their_sources_are_not(clips: Path, tmp_path: Path) -> None:
    link(clips, tmp_path / "links", 1_002)
    found = find_files([tmp_path / "links"]).files
    assert len(found) == 1_002
    assert {file.path.read_bytes() for file in found} == {path.read_bytes() for path in clips.iterdir()}


def test_what_a_run_does_beside_classifying_is_timed(tiny_bundle: Path, clips: Path) -> None:
    found = bookkeeping(tiny_bundle, clips, 2_500)
    assert all(seconds > 0 for seconds in (found.listed, found.signed, found.resumed, found.joined))
    assert found.ms_a_file < 5
    assert 0 <= found.peak_mb < 500
