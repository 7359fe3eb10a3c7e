"""The limits that the pages state are those of the code: every setting that bounds something, its default, its unit."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from emotions.audio import sample_counts
from emotions.audio.decoders import read
from emotions.audio.decoders.protocol import DecoderLimits
from emotions.bundle import checked_file, manifest
from emotions.bundle.bundle import MAX_MANIFEST_BYTES
from emotions.runtime import load_check
from serving import settings
from serving.http.body import stream
from serving.settings import PREFIX, Settings
from training.data.waveforms import array_store

ROOT = Path(__file__).parent.parent
SECURITY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
SERVICE = (ROOT / "docs" / "how-to" / "service.md").read_text(encoding="utf-8")
FORMATS = (ROOT / "docs" / "reference" / "formats.md").read_text(encoding="utf-8")
NO_LIMIT = {
    *(
        "bundle",
        "bundles",
        "shadow",
        "shadow_share",
        "reload_sec",
        "device",
        "variant",
        "threads",
        "parallel_batches",
        "workers",
        "strict",
        "log_format",
        "trace_rate",
        "ui",
    ),
    *("api_keys_file", "allow_anonymous", "cors_origins", "trusted_proxies"),
}
"""Settings that bound nothing; a new one is a limit unless it is named here."""
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "s": 1, "B/s": 1, "": 1}
MIB, GIB = 1 << 20, 1 << 30
IN_WORDS = {
    "MAX_SAMPLES": f"{settings._MOST_SAMPLES_A_SECOND:,} x `EMOTIONS_MAX_SECONDS`",
    "MAX_HELD_BYTES": f"3 times the largest request, at least {settings._LEAST_HELD_BYTES // MIB} MiB",
    "DECODE_THREADS": "cores / workers",
    "MAX_BATCH": f"{Settings().batch_limit('cpu')} on a CPU, {Settings().batch_limit('cuda')} on a GPU",
    "LOAD_CHECK": "",
    "STREAM_AHEAD_SEC": "",
    "LOAD_CHECK_GB": f"{load_check._BASE_GB} and {load_check._TIMES} times the file, at most the machine's memory",
    "LOAD_CHECK_SEC": f"{load_check._BASE_SEC:.0f} and {load_check._SEC_PER_GB:.0f} for each GiB of the file",
    "CACHE_GB": f"{array_store.DEFAULT_LIMIT_GB:g} GiB",
}
"""Variables whose default is no plain number, or stands elsewhere than in ``Settings``."""


def rows(page: str) -> dict[str, str]:
    """Variable, without its prefix -> default, of all the tables of a page; two variables of a row share its cells."""
    found: dict[str, str] = {}
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip()[1:-1].split("|")]
        names = re.findall(rf"`{PREFIX}(\w+)`", cells[0])
        if not line.startswith("| `EMOTIONS_") or len(cells) != 3:
            continue
        for name, default in zip(names, cells[1].split(", ") if len(names) > 1 else cells[1:2], strict=True):
            assert name not in found, f"{name} has two rows"
            found[name] = default
    return found


def amount(written: str) -> tuple[float, str]:
    """A number with its unit, as the pages write it."""
    number = re.fullmatch(r"([\d,.]+)(?: (\S+))?", written)
    assert number, written
    unit = number[2] or ""
    return float(number[1].replace(",", "")) * UNITS[unit], unit


def unit_of(name: str) -> set[str]:
    if name == "min_body_rate":
        return {"B/s"}
    if name.endswith("_bytes") or name == "decoder_memory":
        return {"KiB", "MiB", "GiB"}
    return {"s"} if name.endswith(("_sec", "_seconds")) else {""}


LIMITS = sorted(set(Settings.model_fields) - NO_LIMIT)


def test_security_has_a_row_for_every_limit_and_no_other() -> None:
    elsewhere = {load_check.SWITCH, load_check.MEMORY, load_check.SECONDS, "EMOTIONS_CACHE_GB"}
    expected = {name.upper() for name in LIMITS} | {name.removeprefix(PREFIX) for name in elsewhere}
    assert set(rows(SECURITY)) == expected


@pytest.mark.parametrize("name", LIMITS)
def test_its_default_and_unit_are_those_of_the_code(name: str) -> None:
    written, default = rows(SECURITY)[name.upper()], Settings.model_fields[name].default
    if default is None:
        assert written == IN_WORDS[name.upper()]
        return
    value, unit = amount(written)
    assert value == default
    assert unit in unit_of(name)


@pytest.mark.parametrize("name", sorted(IN_WORDS))
def test_defaults_in_words_are_those_of_the_code(name: str) -> None:
    assert rows(SECURITY)[name] == IN_WORDS[name]


def test_limits_without_a_setting_are_those_of_the_code() -> None:
    for row in (
        f"| | {MAX_MANIFEST_BYTES // MIB} MiB, 100 levels | bytes and depth of a manifest |",
        f"| | {manifest._MAX_FILES:,} files, {checked_file.MAX_BYTES // GIB} GiB each | files of a bundle |",
        f"| | {manifest._MAX_WINDOW // 16_000} s, {manifest._MAX_OVERLAP} | longest window; how often windows over",
        f"| | {stream._MAX_MEMBERS} | gzip members of one body |",
        f"| | as many as the file has bytes, or {sample_counts._FEW:,} | entries of a table of an MP4 |",
    ):
        assert row in SECURITY


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_service_page_has_every_setting_with_its_default(name: str) -> None:
    found, default = rows(SERVICE), Settings.model_fields[name].default
    assert set(found) == {*(each.upper() for each in Settings.model_fields), "CONFIG"}
    written = found[name.upper()].strip("`")
    if isinstance(default, bool | int | float):
        assert float(written) == default
    elif isinstance(default, str):
        assert written == default
    elif default == ():
        assert written == ""


def test_the_page_of_formats_states_the_limits_of_a_decoder() -> None:
    default = read.default_limits()
    assert DecoderLimits().memory == default.memory == Settings().decoder_memory
    assert f"`EMOTIONS_DECODER_MEMORY`, {default.memory // MIB} MiB | the same variable |" in FORMATS
    folders = f"{default.cpu_sec} s, and {default.cpu_sec_a_mb} s more a megabyte"
    assert f"`EMOTIONS_DECODER_CPU_SEC`, {Settings().decoder_cpu_sec} s | {folders} |" in FORMATS
    assert f"in folders, training and Python {default.cpu_sec} s and {default.cpu_sec_a_mb} s a megabyte" in SECURITY


def test_no_page_names_a_variable_that_nothing_reads() -> None:
    code = "".join(
        path.read_text(encoding="utf-8")
        for package in ("emotions", "training", "export", "serving", "tests")
        for path in (ROOT / package).rglob("*.py")
        if path != Path(__file__)
    )
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    known |= set(re.findall(r"\bEMOTIONS_[A-Z_]+\b", code))
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        if page.name != "CHANGELOG.md":
            assert set(re.findall(r"\bEMOTIONS_[A-Z_]*[A-Z]\b", page.read_text(encoding="utf-8"))) <= known, page
