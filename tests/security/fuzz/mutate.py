"""Mutations that know a little of structure: tags and the numbers beside them, tables, pages; trees of JSON; text.

All take their choices from a ``random.Random``, so that its seed is all that is needed to make a case again.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from tests.hostile_audio import with_page_checksums

Mutation = Callable[[Random, bytearray], None]

NUMBERS = (
    0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 44, 63, 64, 127, 128, 255, 256, 999, 8_000, 32_767, 32_768, 65_535, 65_536,
    1 << 20, 1 << 24, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, -1, -2, 1 << 40, (1 << 53) + 1, (1 << 63) - 1, 1 << 63,
)  # fmt: skip
"""At the edges of what types and limits hold."""
_TAG = re.compile(rb"[A-Za-z0-9\xa9 ]{4}")
_HEAD_BYTES = 256
_MOST_BYTES = 200_000
_LONG = 70


def mutated(random: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """Some bytes changed in one to four ways, or not at all, once in a hundred.

    Args:
        random: makes the choices.
        content: what is changed.
        others: of the same kind; parts of them are put in.
    """
    data = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 4)) if random.random() < 0.99 else 0):
        if random.random() < 0.15:
            _splice(random, data, random.choice(others))
        else:
            random.choice(_MUTATIONS)(random, data)
    changed = bytes(data[:_MOST_BYTES])
    return with_page_checksums(changed) if changed.startswith(b"OggS") and random.random() < 0.7 else changed


def _place(random: Random, data: bytearray) -> int:
    """A position, most often in the head."""
    most = min(len(data), _HEAD_BYTES) if random.random() < 0.6 else len(data)
    return random.randrange(most) if most else 0


def _packed(random: Random) -> bytes:
    size = random.choice((1, 2, 4, 4, 4, 8))
    return (random.choice(NUMBERS) % (1 << 8 * size)).to_bytes(size, random.choice(("little", "big")))


def _number_at_tag(random: Random, data: bytearray) -> None:
    """A size or a count beside a tag of four letters, as chunks, boxes and pages have them."""
    tags = [found.start() for found in _TAG.finditer(bytes(data[: 1 << 15]))]
    at = (random.choice(tags) if tags else 0) + random.choice((-4, 4, 4, 4, 6, 8, 8, 10, 12, 14, 16, 20, 24, 26))
    _write(data, max(0, at), _packed(random))


def _number(random: Random, data: bytearray) -> None:
    _write(data, _place(random, data), _packed(random))


def _write(data: bytearray, at: int, content: bytes) -> None:
    data[at : at + len(content)] = content


def _other_tag(random: Random, data: bytearray) -> None:
    tags = [found.start() for found in _TAG.finditer(bytes(data[: 1 << 15]))]
    if tags:
        one, other = random.choice(tags), random.choice(tags)
        data[one : one + 4] = data[other : other + 4]


def _bits(random: Random, data: bytearray) -> None:
    for _ in range(random.choice((1, 1, 2, 8, 64))):
        if data:
            data[_place(random, data)] ^= 1 << random.randrange(8)


def _cut(random: Random, data: bytearray) -> None:
    del data[_place(random, data) :]


def _remove(random: Random, data: bytearray) -> None:
    at = _place(random, data)
    del data[at : at + random.choice((1, 2, 4, 8, 64, 1024))]


def _repeat(random: Random, data: bytearray) -> None:
    at = _place(random, data)
    part = data[at : at + random.choice((1, 4, 8, 64, 512, 4096))]
    data[at:at] = bytes(part) * random.choice((1, 1, 2, 16, 100))
    del data[_MOST_BYTES:]


def _overwrite(random: Random, data: bytearray) -> None:
    at, size = _place(random, data), random.choice((1, 4, 16, 256, 2048))
    size = min(size, len(data) - at)
    data[at : at + size] = random.choice((bytes(size), b"\xff" * size, random.randbytes(size)))


def _insert(random: Random, data: bytearray) -> None:
    at, size = _place(random, data), random.choice((1, 3, 8, 100, 3000))
    data[at:at] = random.choice((bytes(size), random.randbytes(size)))


def _splice(random: Random, data: bytearray, other: bytes) -> None:
    """Its beginning before the end of another, one inside the other, or the two behind each other."""
    at, from_other = _place(random, data), random.randrange(len(other) + 1)
    kind = random.randrange(3)
    if kind == 0:
        data[at:] = other[from_other:]
    elif kind == 1:
        data[at:at] = other[from_other : from_other + random.choice((16, 256, 4096))]
    else:
        data += other


_MUTATIONS: tuple[Mutation, ...] = (
    *(_number_at_tag,) * 4, _number, _other_tag, _bits, _bits, _cut, _remove, _repeat, _overwrite, _insert,
)  # fmt: skip


def odd_value(random: Random, depth: int = 0) -> Any:
    """A value that JSON can say, seldom one that is expected."""
    kinds: Sequence[Callable[[], Any]] = (
        lambda: random.choice(NUMBERS),
        lambda: random.choice((0.5, -0.0, 1e-320, 1e308, 3e38, float("nan"), float("inf"), -float("inf"), 10**400)),
        lambda: random.choice((None, True, False)),
        lambda: odd_text(random),
        lambda: [odd_value(random, depth + 1) for _ in range(random.choice((0, 1, 2, 70)) if depth < 2 else 0)],
        lambda: {odd_text(random): odd_value(random, depth + 1) for _ in range(random.choice((0, 1, 3)))},
    )
    return random.choice(kinds[: 4 if depth > 2 else None])()


def odd_text(random: Random) -> str:
    """A text that breaks what is careless: empty, long, control characters, other scripts, names of what is there."""
    return random.choice((
        "", " ", "\0", "\n", "\x1b[2J", "a", "NaN", "-1", "1e999", "0x10", "true", "null", "file", "audio", "../../x",
        "/etc/passwd", "file:///etc/passwd", "http://127.0.0.1:1/x", "$$ROOT_DIR$$", "=cmd()", "\ud800", "\u202e",
        "é中🎧", "%00", "data:,", "x" * random.choice((10, 300, 70_000)), "1" * 5000, "None", "[]", "{}",
    ))  # fmt: skip


def mutated_tree(random: Random, value: Any, odds: float = 0.12) -> Any:
    """A JSON value with parts of it replaced, left out, renamed, repeated or moved.

    Args:
        random: makes the choices.
        value: what is changed; itself it stays.
        odds: how often a part is changed.
    """
    if random.random() < odds:
        return odd_value(random)
    if isinstance(value, dict):
        found = {}
        for name, each in value.items():
            kind = random.random()
            if kind < 0.3 * odds:
                continue
            key = odd_text(random) if kind < 0.5 * odds else random.choice([*value]) if kind < 0.6 * odds else name
            found[key] = mutated_tree(random, each, odds)
        return found | ({odd_text(random): odd_value(random)} if random.random() < odds else {})
    if isinstance(value, list):
        items = [*value] if len(value) > _LONG else [mutated_tree(random, each, odds) for each in value]
        if items and random.random() < odds:
            items[random.randrange(len(items))] = odd_value(random)
        return items * random.choice((0, 2, 40 if len(items) < 9 else 3)) if random.random() < odds else items
    return value


def mutated_text(random: Random, text: bytes) -> bytes:
    """Text with some bytes changed as text is broken: cut, repeated, in another encoding, with marks between."""
    data = bytearray(text)
    for _ in range(random.choice((0, 1, 1, 2, 3))):
        random.choice((_cut, _remove, _repeat, _bits, _insert, _mark, _mark, _mark, _encoded))(random, data)
    return bytes(data[:_MOST_BYTES])


def _mark(random: Random, data: bytearray) -> None:
    marks = (
        b'"',
        b"'",
        b",",
        b";",
        b"\t",
        b"\n",
        b"\r",
        b"\0",
        b"\\",
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
        b"\xff",
        b"\xef\xbb\xbf",
    )
    at = _place(random, data)
    data[at : at + random.randrange(2)] = random.choice(marks) * random.choice((1, 1, 1, 2, 500))


def _encoded(random: Random, data: bytearray) -> None:
    data[:] = data.decode("utf-8", "replace").encode(
        random.choice(("utf-16", "utf-16-le", "utf-32", "utf-7", "cp1252")), "replace"
    )


def lengths(random: Random, parts: Sequence[bytes]) -> bytes:
    """Parts, each behind its length in 4 bytes, of which one may be another."""
    wrong = random.randrange(2 * len(parts) + 1)
    sizes = [random.choice(NUMBERS) % (1 << 32) if number == wrong else len(part) for number, part in enumerate(parts)]
    return b"".join(struct.pack("<I", size) + part for size, part in zip(sizes, parts, strict=True))
