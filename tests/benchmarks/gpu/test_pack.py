"""The archive: machine code that a card does not need is gone, the rest is as it was, and nothing unpinned comes in."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

import pyarrow
import pytest

from benchmarks.gpu.pack import archive
from benchmarks.gpu.pack.archive import MOST_BYTES, add_project, pack, requirements, slim, write_archive
from benchmarks.gpu.pack.fatbin import containers, kernels, prune
from emotions.errors import DataError, EmotionsError
from tests.conftest import needs

NEEDED, MOE = b"_ZN7softmaxE", b"_ZN7cutlass9MoeFCGemmE"


def entry(capability: int, kernel: bytes, padding: int = 0) -> bytes:
    """Compressed machine code as ``nvcc`` writes it: a header of 64 bytes, then zstd."""
    code = b"\x7fELF\0.text." + kernel + b"\0" + bytes(range(256)) * (1 + padding)
    packed = pyarrow.Codec("zstd").compress(code).to_pybytes()
    payload = packed + bytes(-len(packed) % 8)
    fields = (2, 0x101, 64, len(payload), len(packed), 0, 8, 1, capability, 0, 0, 0x8011, 0, len(code))
    return struct.pack("<HHIQIIHHIIIQQQ", *fields) + payload


def container(*entries: bytes) -> bytes:
    body = b"".join(entries)
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body


def library(*parts: bytes, section: bytes = b".nv_fatbin") -> bytearray:
    """An ELF file of two sections: machine code, and the sections' names."""
    code = b"".join(parts)
    names = b"\0" + section + b"\0.shstrtab\0"
    table = 64 + len(code) + len(names)
    head = (
        b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 0, table, 0, 64, 0, 0, 64, 3, 2)
    )
    rows = [
        struct.pack("<IIQQQQIIQQ", *row)
        for row in (
            (0,) * 10,
            (1, 1, 2, 64, 64, len(code), 0, 0, 8, 0),
            (1 + len(section) + 1, 3, 0, 0, 64 + len(code), len(names), 0, 0, 1, 0),
        )
    ]
    return bytearray(head + code + names + b"".join(rows))


def test_code_for_other_cards_and_of_unneeded_kernels_goes_and_the_layout_stays() -> None:
    ours, theirs, unneeded = entry(90, NEEDED, 3), entry(75, NEEDED), entry(90, MOE)
    parts = (
        container(theirs, ours),
        bytes(24),
        container(entry(80, MOE, 2), unneeded),
        container(theirs, unneeded, ours),
    )
    before = library(*parts)
    pruned = bytearray(before)
    assert prune(pruned, [90]) == (
        sum(len(part) for part in parts) - 24,
        2 * len(ours) + len(unneeded) + len(theirs),
    )
    assert len(pruned) == len(before)
    first, second, third = containers(pruned)
    assert [each.start for each in (first, third)] == [64, 64 + len(parts[0]) + 24 + len(parts[2])]
    assert bytes(pruned[first.entries[0].start : first.entries[0].stop]) == ours
    assert [(len(each.entries), each.entries[0].capability) for each in (first, second)] == [(1, 90), (1, 75)]
    assert [kernels(pruned, each) for each in third.entries] == [{MOE.decode()}, {NEEDED.decode()}]
    assert not any(pruned[first.stop : second.start])
    again = bytearray(pruned)
    prune(again, [90])
    assert again == pruned


def test_a_card_that_the_library_has_no_code_for_is_named() -> None:
    with pytest.raises(DataError, match="no machine code for compute capability 70"):
        prune(library(container(entry(75, NEEDED))), [70])
    with pytest.raises(DataError, match="has no machine code for NVIDIA cards"):
        prune(library(container(entry(75, NEEDED)), section=b".text"), [75])
    with pytest.raises(DataError, match="no 64-bit ELF file"):
        prune(bytearray(b"MZ" + bytes(100)), [75])


def test_code_of_an_unknown_layout_is_refused_rather_than_cut() -> None:
    broken = container(entry(75, NEEDED)[:40])
    with pytest.raises(DataError, match="of a layout that is not known"):
        prune(library(broken), [75])


def test_every_package_that_is_carried_is_pinned_with_its_hashes() -> None:
    carried = [*requirements()]
    names = {re.split("==", block)[0] for block in carried}
    assert {"onnxruntime-gpu", "bentoml", "soundfile", "pydantic", "vit-pytorch"} <= names
    assert not {name for name in names if name.startswith("nvidia-") or name in ("torch", "numpy", "onnxruntime", "av")}
    assert all("--hash=sha256:" in block for block in carried)


def test_what_is_large_and_unused_is_left_out(tmp_path: Path) -> None:
    kept = ("onnxruntime/capi/libonnxruntime_providers_shared.so", "onnxruntime/quantization/__init__.py")
    gone = (
        *("onnxruntime/capi/libonnxruntime.so.1.31.1", "onnxruntime/capi/libonnxruntime_providers_tensorrt.so"),
        *("onnxruntime/tools/x.py", "zmq/tests/test_socket.py", "bentoml/__pycache__/x.pyc"),
    )
    for name in (*kept, *gone):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    slim(tmp_path)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == sorted(kept)


def test_the_archive_is_the_same_for_the_same_content_and_runs_what_is_in_it(tmp_path: Path) -> None:
    stage = tmp_path / "emotions-gpu"
    (stage / "site").mkdir(parents=True)
    add_project(stage)
    for name in ("one", "two"):
        write_archive(stage, tmp_path / f"{name}.tar.xz")
    assert (tmp_path / "one.tar.xz").read_bytes() == (tmp_path / "two.tar.xz").read_bytes()
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    subprocess.run(["tar", "xf", tmp_path / "one.tar.xz"], cwd=unpacked, check=True)
    here = unpacked / "emotions-gpu"
    assert (here / "benchmarks" / "gpu" / "catalogue.py").is_file()
    assert not [*here.rglob("__pycache__")]
    assert (here / "run").stat().st_mode & 0o111
    shellcheck = Path(sys.executable).with_name("shellcheck")
    checked = subprocess.run([shellcheck, here / "run"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_archive_of_today_is_small_enough_to_carry(tmp_path: Path) -> None:
    said: list[str] = []
    try:
        whole = pack(tmp_path, [90], said.append)
    except EmotionsError as error:
        needs("the packages cannot be had" not in str(error), "needs the packages of the locks")
        raise
    assert 30_000_000 < whole.stat().st_size <= MOST_BYTES
    assert [*tmp_path.iterdir()] == [whole]
    assert re.search(rf"{whole.stat().st_size / 1e6:.1f} MB, for compute capability 90", said[-1])
    with tarfile.open(whole) as opened:
        names = {*opened.getnames()}
    assert {"emotions-gpu/run", "emotions-gpu/site/onnxruntime/capi/libonnxruntime_providers_cuda.so"} <= names
    assert any(name.startswith("emotions-gpu/site/emotions/runtime/") for name in names)


def test_what_stands_in_for_pyav_is_imported_and_fails_when_it_is_used(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    add_project(tmp_path)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import av\n"
        "from emotions.audio import ffmpeg, ffmpeg_track, packet_index\n"
        "from emotions.audio.decode import decode\n"
        "import io, numpy, soundfile\n"
        "assert av.__file__.startswith(sys.argv[1])\n"
        "whole = io.BytesIO(); soundfile.write(whole, numpy.ones(16000) / 3, 16000, format='WAV')\n"
        "assert len(decode(whole.getvalue())) == 16000\n"
        "try: av.open('clip.mp3')\n"
        "except RuntimeError as error: print(error)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "site")]
    done = subprocess.run(command, cwd=archive.ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "PyAV is not carried in this archive\n", done.stderr
