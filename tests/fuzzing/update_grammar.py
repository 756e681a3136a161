"""Yjs updates of hostile clients: real ones, mutated ones, and ones made by a grammar that lies."""

import random
import struct
from functools import cache

import pycrdt

from tests.fuzzing.mutation import mutated_bytes

CLIENTS = (1, 2, 7, 77, 2**32 - 1, 2**53 - 1, 2**53)
NUMBERS = (0, 1, 2, 3, 5, 8, 63, 64, 127, 128, 255, 2**16, 2**31 - 1, 2**31, 2**32, 2**53, 2**64)

REPRODUCERS = {
    "zero-length-block-poisons": "01010a01000000",
    "clock-near-32-bits-poisons": "01014dfeffffff0f000500",
    "skip-and-key-panic-in-commit": "01030a002801016d026b3001780000000000",
    "panic-on-a-live-document": "01010302a107030000",
    "string-at-a-list-root-hangs": "0101010104010004f09f988000",
    "string-at-a-live-list-hangs": "010102000401016104f09f988000",
    "next-read-crashes": (
        "020203000801016d037d007e7c5b82fad80901016d0267317d3f"
        "0103010801016d037e797bbac3b96f2a9c8c1a00"
    ),
    "panic-and-then-a-crash": "010107feffffff0f88ffffffffffffff0f01037f7f7901ffffffff0f00",
    "deletes-what-is-yet-to-be-written": "00014d0100ffffffff0f",
}
"""What harmed a process through pycrdt, in hexadecimal: the smallest known, by what it did."""


def number(value: int) -> bytes:
    """Return the shortest form of an unsigned integer."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def nested(depth: int) -> bytes:
    """Return a list whose one item is nested so deep: well formed, and ends a process by 26,257."""
    return b"\x01\x01\x02\x00\x08\x01\x04list\x01" + b"\x75\x01" * depth + b"\x7e\x00"


@cache
def real_updates(kind: str) -> tuple[bytes, ...]:
    """Return updates of honest clients: one after the other, and all in one."""
    documents = [pycrdt.Doc(client_id=client) for client in (2, 7)]
    roots = [d.get(kind, type=pycrdt.Text if kind == "text" else pycrdt.Array) for d in documents]
    updates: list[bytes] = []
    for turn in range(6):
        document, root = documents[turn % 2], roots[turn % 2]
        before = document.get_state()
        if kind == "text":
            root.insert(len(root), f"w{turn} é日 ")
            root.insert(0, "😀", {"bold": True})
            root.format(0, 4, {"bold": None, "link": "a"})
            root.insert_embed(0, {"image": "a.png"})
            del root[0:1]
        else:
            root.extend([turn, 2.5, "é", None, [1, {"k": [True]}], b"\x00"])
            del root[0]
        updates.append(bytes(document.get_update(before)))
        documents[1 - turn % 2].apply_update(updates[-1])
    return (*updates, bytes(documents[0].get_update()))


def lying_update(chance: random.Random, kind: str) -> bytes:
    """Return an update by the grammar, whose parts need not go together."""
    sections = chance.choice((0, 1, 1, 1, 2, 3))
    out = [number(sections)]
    for _ in range(sections):
        blocks = chance.choice((0, 1, 1, 2, 4))
        out += [number(blocks + chance.choice((0,) * 9 + (1,))), _client(chance)]
        out.append(number(chance.choice((0, 0, 0, 1, 3, *NUMBERS))))
        out += [_block(chance, kind) for _ in range(blocks)]
    ranges = chance.choice((0, 0, 0, 1, 2))
    out.append(number(ranges))
    for _ in range(ranges):
        out += [_client(chance), b"\x01", _small(chance), _small(chance)]
    return b"".join(out) + chance.choice((b"",) * 9 + (b"\x00",))


def _client(chance: random.Random) -> bytes:
    return number(chance.choice(CLIENTS))


def _small(chance: random.Random) -> bytes:
    return number(chance.choice((0, 1, 2, 3, 4) if chance.random() < 0.8 else NUMBERS))


def _block(chance: random.Random, kind: str) -> bytes:
    usual = (1, 4, 4, 4, 5, 6) if kind == "text" else (1, 3, 8, 8, 8)
    ref = chance.choice(usual) if chance.random() < 0.8 else chance.randrange(12)
    info = ref | chance.choice((0, 0, 0x80, 0x40, 0xC0, 0x20))
    out = [bytes((info,))]
    for flag in (0x80, 0x40):
        if info & flag:
            out += [_client(chance), _small(chance)]
    if not info & 0xC0:
        if chance.random() < 0.9:
            name = kind if chance.random() < 0.9 else chance.choice(("text", "list", "m", ""))
            out += [b"\x01", _text(name.encode())]
        else:
            out += [b"\x00", _client(chance), _small(chance)]
    if info & 0x20:
        out.append(_text(b"k"))
    return b"".join((*out, _content(chance, ref)))


def _text(raw: bytes) -> bytes:
    return number(len(raw)) + raw


def _content(chance: random.Random, ref: int) -> bytes:
    if ref in (0, 1, 10):
        return _small(chance)
    if ref == 4:
        return _text(chance.choice((b"a", b"bc", "é".encode(), "😀x".encode(), b"", b"\xff")))
    if ref == 5:
        return _text(chance.choice((b'{"image":"a"}', b"{}", b"1", b"[[[", b'{"a":NaN}')))
    if ref == 6:
        value = chance.choice((b"true", b"null", b'"red"', b"", b"[1,", b'"\\ud800"'))
        return _text(chance.choice((b"bold", b"", b"k" * 99))) + _text(value)
    if ref in (2, 8):
        items = [_any(chance, 1) for _ in range(chance.choice((0, 1, 1, 3)))]
        return number(len(items) + chance.choice((0,) * 9 + (1, 2**20))) + b"".join(items)
    return _small(chance) + bytes(chance.randrange(4))


def _any(chance: random.Random, depth: int) -> bytes:
    tag = chance.choice(range(0x74, 0x80)) if chance.random() < 0.95 else chance.randrange(256)
    inner = chance.choice((0, 1, 2)) if depth < 12 else 0
    match tag:
        case 0x7D:
            return bytes((tag, chance.randrange(64)))
        case 0x7C:
            return bytes((tag,)) + chance.randbytes(4)
        case 0x7B | 0x7A:
            return bytes((tag,)) + chance.randbytes(8)
        case 0x77 | 0x74:
            return bytes((tag,)) + _text(chance.choice((b"", b"ab", b"\xff")))
        case 0x75:
            items = [_any(chance, depth + 1) for _ in range(inner)]
            return bytes((tag,)) + number(inner) + b"".join(items)
        case 0x76:
            pairs = [_text(b"k") + _any(chance, depth + 1) for _ in range(inner)]
            return bytes((tag,)) + number(inner) + b"".join(pairs)
    return bytes((tag,))


def mutated_update(data: bytes, chance: random.Random) -> bytes:
    """Return bytes with a bit, a byte, a length or a piece of them changed."""
    match chance.randrange(8):
        case 0:
            place = chance.randrange(len(data) + 1)
            return data[:place] + number(chance.choice(NUMBERS)) + data[place + 1 :]
        case 1:
            one, other = sorted(chance.randrange(len(data) + 1) for _ in range(2))
            place = chance.randrange(len(data) + 1)
            return data[:place] + data[one:other] + data[place:]
        case 2:
            place = chance.randrange(len(data) + 1)
            return data[:place] + struct.pack(">I", chance.getrandbits(32)) + data[place + 4 :]
    return mutated_bytes(data, chance)


def hostile_update(chance: random.Random, kind: str) -> bytes:
    """Return an update of any sort: real, mutated, of the grammar, a reproducer, or noise."""
    choice = chance.random()
    if choice < 0.03:
        return chance.choice(real_updates(kind))
    if choice < 0.05:
        return chance.randbytes(chance.randrange(64))
    if choice < 0.10:
        data = bytes.fromhex(chance.choice(sorted(REPRODUCERS.values())))
    elif choice < 0.12:
        data = nested(chance.choice((7, 8, 9, 100, 3_000)))
    elif choice < 0.5:
        return lying_update(chance, kind)
    else:
        data = chance.choice(real_updates(kind))
    for _ in range(chance.choice((0, 1, 1, 1, 2, 4))):
        data = mutated_update(data, chance)
    return data
