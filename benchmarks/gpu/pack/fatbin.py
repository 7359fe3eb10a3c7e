"""Takes machine code out of a CUDA library that one card, and one project, do not need; the library's layout stays.

The section ``.nv_fatbin`` holds one container for each source file: a header, then an entry of compressed machine code
for each kind of card, whose kernels' names are in its ELF. The library points to the containers' beginnings, so that
entries may move inside theirs. A container that is not needed keeps one entry for another kind of card: the driver
then finds no code for the card, as it does in files that were never built for it, and says so when one of its kernels
is started, not before. Read from the files that ``nvcc`` 13 writes; NVIDIA documents none of it.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import pyarrow

from emotions.errors import DataError

UNNEEDED = re.compile(
    r"MixedInput|GroupProblemShape|[Mm]o[Ee]|fpA_intB|masked_multihead|PagedAttention|bfloat16|BFloat16"
)
"""Kernels of weights in 4 and 8 bits, mixtures of experts, generation of text, and bfloat16, by their names."""

_MAGIC, _HEADER = 0xBA55ED50, struct.Struct("<IHHQ")
_ENTRY = struct.Struct("<HHIQIIHHIIIQQQ")
_ZSTD = 0x8000
_KERNEL = re.compile(rb"\.text\.([A-Za-z0-9_$.]+)")


@dataclass(frozen=True)
class Entry:
    """Machine code for one kind of card: where it begins and ends, header included, and its compute capability."""

    start: int
    stop: int
    capability: int


@dataclass(frozen=True)
class Container:
    """The machine code of one source file."""

    start: int
    stop: int
    entries: tuple[Entry, ...]


def prune(library: bytearray, capabilities: Collection[int], unneeded: re.Pattern[str] = UNNEEDED) -> tuple[int, int]:
    """Take out, in place, the machine code for other cards, and of files of which all kernels are not needed.

    Args:
        library: the shared library.
        capabilities: of the cards to keep, such as 90 for 9.0.
        unneeded: what the names of kernels hold that are not needed.

    Returns:
        Bytes of machine code before and after.

    Raises:
        DataError: it has no machine code of the known layout, or none for these cards.
    """
    found = [*containers(library)]
    others = [entry for each in found for entry in each.entries if entry.capability not in capabilities]
    spare = min(others, key=lambda entry: entry.stop - entry.start, default=None)
    stand_in = bytes(library[spare.start : spare.stop]) if spare else b""
    after = kept_files = 0
    for container in found:
        kept = [entry for entry in container.entries if entry.capability in capabilities]
        needed = any(not _all_match(library, entry, unneeded) for entry in kept)
        parts = [bytes(library[entry.start : entry.stop]) for entry in kept] if needed else [stand_in]
        after += sum(map(len, parts))
        kept_files += needed
        _write(library, container, b"".join(parts))
    if not kept_files:
        raise DataError(f"the library has no machine code for compute capability {', '.join(map(str, capabilities))}")
    return sum(each.stop - each.start for each in found), after


def containers(library: bytes | bytearray) -> Iterator[Container]:
    """The containers of a library. Raises as ``prune``."""
    at, end = _section(library, b".nv_fatbin")
    while at < end:
        magic, _, header, size = _HEADER.unpack_from(library, at)
        if magic != _MAGIC:
            at += 8  # between containers, which begin at multiples of eight bytes
            continue
        stop = at + header + size
        yield Container(at, stop, tuple(_entries(library, at + header, stop)))
        at = stop


def _entries(library: bytes | bytearray, at: int, stop: int) -> Iterator[Entry]:
    while at < stop:
        _, _, header, size, *_, capability = _ENTRY.unpack_from(library, at)[:9]
        if at + header + size > stop or not header:
            raise DataError("the library's machine code is of a layout that is not known")
        yield Entry(at, at + header + size, capability)
        at += header + size


def kernels(library: bytes | bytearray, entry: Entry) -> set[str]:
    """Names of an entry's kernels; none where it is compressed in a way that is not known.

    Args:
        library: the shared library.
        entry: of one of its containers.
    """
    fields = _ENTRY.unpack_from(library, entry.start)
    header, compressed, flags, size = fields[2], fields[4], fields[11], fields[13]
    payload = bytes(library[entry.start + header : entry.stop])
    if flags & _ZSTD:
        payload = pyarrow.Codec("zstd").decompress(payload[:compressed], size).to_pybytes()
    elif compressed:
        return set()
    return {name.decode() for name in _KERNEL.findall(payload)}


def _all_match(library: bytearray, entry: Entry, pattern: re.Pattern[str]) -> bool:
    names = kernels(library, entry)
    return bool(names) and all(map(pattern.search, names))


def _write(library: bytearray, container: Container, entries: bytes) -> None:
    """Put entries at a container's beginning, and zeros behind them."""
    magic, version, header, _ = _HEADER.unpack_from(library, container.start)
    if container.start + header + len(entries) > container.stop:
        entries = b""  # of a file that was built for no other card: smaller than the smallest entry
    _HEADER.pack_into(library, container.start, magic, version, header, len(entries))
    first = container.start + header
    library[first : container.stop] = entries.ljust(container.stop - first, b"\0")


def _section(library: bytes | bytearray, name: bytes) -> tuple[int, int]:
    """Where a section of a 64-bit ELF file begins and ends."""
    if library[:5] != b"\x7fELF\x02":
        raise DataError("the library is no 64-bit ELF file")
    (table,) = struct.unpack_from("<Q", library, 40)
    size, count, names = struct.unpack_from("<HHH", library, 58)
    headers = [struct.unpack_from("<IIQQQQ", library, table + size * index) for index in range(count)]
    strings = headers[names][4]
    for offset, *_, start, length in headers:
        begins = strings + offset
        if library[begins : begins + len(name) + 1] == name + b"\0":
            return start, start + length
    raise DataError("the library has no machine code for NVIDIA cards")
