"""Mutation of inputs by their structure: msgpack trees, and parts put end to end.

A tree is unpacked into a form that can also say what msgpack forbids (keys twice, lengths that
lie), changed at one or more places, and packed again. What is no msgpack is changed byte by byte.
"""

import random
import struct
from collections.abc import Callable
from typing import Any

import msgpack

Mutation = Callable[[bytes, random.Random], bytes]


class Pairs(list):
    """The pairs of a map, in order, a key perhaps twice."""


class Raw(bytes):
    """Bytes that stand in a packed tree as they are."""


NUMBERS = (
    0, 1, -1, 2, 31, 32, 127, 128, -32, -33, 255, 256, 4095, 4096, 5_000, 15_000, 65_535, 65_536,
    1 << 31, (1 << 32) - 1, 1 << 32, 1_700_000_000_000 << 16, (1 << 63) - 1, 1 << 63,
    (1 << 64) - 1, -(1 << 63), -(1 << 31),
)  # fmt: skip

ODDITIES = (
    None, True, False, 0.0, -0.0, 1.0, float("nan"), float("inf"), 1e308, "", "a", " ", "\x00",
    "\x1f", "\ud7ff", "\U0010ffff", "a" * 64, "a" * 65, "a" * 255, "a" * 256, b"", b"\x00" * 16,
    b"\x00" * 15, [], [[]], Pairs(), Pairs([("a", 1), ("a", 2)]), Pairs([(1, 1)]),
    Pairs([([], 1)]), msgpack.ExtType(1, b""), msgpack.ExtType(1, b"\x90"),
    msgpack.ExtType(1, b"\x81\xa1a\x01"), msgpack.ExtType(5, b"x"), Raw(b""), Raw(b"\xc1"),
    Raw(b"\xa1\xff"), Raw(b"\xa3\xed\xa0\x80"), Raw(b"\xd9\x01a"), Raw(b"\xcd\x00\x01"),
    Raw(b"\xca\x3f\x80\x00\x00"), Raw(b"\xdc\xff\xff"), Raw(b"\xdd\xff\xff\xff\xff"),
    Raw(b"\xdc\x3a\x98"), Raw(b"\xdc\x3a\x98" * 300), Raw(b"\xde\xff\xff"),
    Raw(b"\xdf\xff\xff\xff\xff"), Raw(b"\xc6\xff\xff\xff\xff"), Raw(b"\xdb\xff\xff\xff\xff"),
    Raw(b"\xc9\xff\xff\xff\xff\x01"), Raw(b"\x91" * 40), Raw(b"\x91" * 600 + b"\x90"),
    Raw(b"\x91" * 2000), Raw(b"\x81\xa1a" * 40 + b"\x01"), Raw(b"\xd6\xff\x00\x00\x00\x00"),
    Raw(b"\xc7\x0c\xff" + b"\xff" * 12), Raw(b"\xc7\x0c\xff" + b"\x00" * 4 + b"\x7f" * 8),
    Raw(b"\xd7\xff" + b"\xff" * 8), Raw(b"\xd4\xff\x00"),
)  # fmt: skip


def unpacked(data: bytes) -> Any:
    """Return the tree of packed bytes; raises ValueError or another error of msgpack."""
    return msgpack.unpackb(
        data, strict_map_key=False, object_pairs_hook=Pairs, unicode_errors="surrogateescape"
    )


def packed(tree: Any) -> bytes:
    """Return the bytes of a tree."""
    packer = msgpack.Packer(unicode_errors="surrogateescape")
    match tree:
        case Raw():
            return bytes(tree)
        case msgpack.ExtType():
            return bytes(packer.pack(tree))
        case Pairs():
            parts = [packed(part) for pair in tree for part in pair]
            return bytes(packer.pack_map_header(len(tree))) + b"".join(parts)
        case list() | tuple():
            head = bytes(packer.pack_array_header(len(tree)))
            return head + b"".join(packed(part) for part in tree)
    return bytes(packer.pack(tree))


def mutated_tree(data: bytes, chance: random.Random) -> bytes:
    """Return packed bytes with some places of their tree changed."""
    try:
        tree = unpacked(data)
        for _ in range(chance.choice((1, 1, 1, 2, 5))):
            tree = _changed(tree, chance)
        return packed(tree)
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException):
        return mutated_bytes(data, chance)


def _changed(node: Any, chance: random.Random) -> Any:
    """Return a tree with one place changed: here, or somewhere below."""
    is_container = isinstance(node, list) and node
    if is_container and chance.random() < 0.75:
        place = chance.randrange(len(node))
        if isinstance(node, Pairs):
            key, value = node[place]
            is_key = chance.random() < 0.3
            pair = (_changed(key, chance), value) if is_key else (key, _changed(value, chance))
            return Pairs([*node[:place], pair, *node[place + 1 :]])
        return [*node[:place], _changed(node[place], chance), *node[place + 1 :]]
    if is_container and chance.random() < 0.6:
        return _reshaped(node, chance)
    if isinstance(node, int) and not isinstance(node, bool) and chance.random() < 0.6:
        near = node + chance.choice((-1, 1, 1 << 16, -(1 << 16)))
        number = chance.choice((*NUMBERS, near, -node))
        return number if -(1 << 63) <= number < 1 << 64 else 0
    if isinstance(node, str | bytes) and node and chance.random() < 0.5:
        return _cut(node, chance)
    return chance.choice(ODDITIES)


def _reshaped(node: list[Any], chance: random.Random) -> Any:
    kind = type(node)
    place = chance.randrange(len(node))
    match chance.randrange(6):
        case 0:
            return kind(node[:place] + node[place + 1 :])
        case 1:
            return kind([*node[:place], node[place], *node[place:]])
        case 2:
            return kind(node * chance.choice((2, 3, 40)))
        case 3:
            other = chance.randrange(len(node))
            copy = kind(node)
            copy[place], copy[other] = copy[other], copy[place]
            return copy
        case 4:
            head = chance.choice((b"\x9f", b"\xdc\x00\x10", b"\xdd\x00\x00\x00\x05", b"\x90"))
            return Raw(head + b"".join(packed(part) for part in node))
    return kind(node[:place])


def _cut(text: Any, chance: random.Random) -> Any:
    place = chance.randrange(len(text) + 1)
    odd = chance.choice(("", "\x00", "\x1f", "é", "\udcff", "t", "p", "0", "a" * 300))
    middle = odd if isinstance(text, str) else odd.encode("utf-8", "surrogateescape")
    return text[:place] + middle + text[place + chance.choice((0, 1)) :]


def mutated_bytes(data: bytes, chance: random.Random) -> bytes:
    """Return bytes with one of them changed, added or taken away, or cut short."""
    if not data:
        return bytes((chance.randrange(256),))
    place = chance.randrange(len(data))
    match chance.randrange(6):
        case 0:
            return (
                data[:place]
                + bytes((data[place] ^ (1 << chance.randrange(8)),))
                + data[place + 1 :]
            )
        case 1:
            return data[:place] + bytes((chance.randrange(256),)) + data[place:]
        case 2:
            return data[:place] + data[place + 1 :]
        case 3:
            return data[:place]
        case 4:
            other = chance.randrange(len(data))
            return data[: max(place, other)] + data[min(place, other) :]
    return data[:place] + struct.pack(">I", chance.choice(NUMBERS) & 0xFFFFFFFF) + data[place + 4 :]


# --- parts end to end: a tag, a length of two bytes, and the part ---------------------------------


def joined(parts: list[tuple[int, bytes]]) -> bytes:
    """Return tagged parts end to end."""
    return b"".join(bytes((tag,)) + len(part).to_bytes(2, "big") + part for tag, part in parts)


def split(data: bytes, parts_max: int) -> list[tuple[int, bytes]]:
    """Return the tagged parts of any bytes; the last may be shorter than it says."""
    parts: list[tuple[int, bytes]] = []
    start = 0
    while start < len(data) and len(parts) < parts_max:
        size = int.from_bytes(data[start + 1 : start + 3], "big")
        parts.append((data[start], data[start + 3 : start + 3 + size]))
        start += 3 + size
    return parts


def mutated_parts(
    data: bytes, chance: random.Random, mutations: dict[int, Mutation], parts_max: int
) -> bytes:
    """Return parts of which one was changed as its tag says, or that were put together anew."""
    parts = split(data, parts_max) or [(0, b"")]
    place = chance.randrange(len(parts))
    tag, part = parts[place]
    match chance.randrange(8):
        case 0:
            del parts[place]
        case 1:
            parts.insert(place, parts[place])
        case 2:
            chance.shuffle(parts)
        case 3:
            parts[place] = (chance.choice((*mutations, chance.randrange(256))), part)
        case _:
            parts[place] = (tag, mutations.get(tag, mutated_bytes)(part, chance)[:65_535])
    return joined(parts)
