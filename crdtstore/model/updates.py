"""Yjs updates, form 1: a strict decoder of bytes from outside, and what is done with them here.

An update is blocks by client, each client's with consecutive clocks, and ranges of clocks that are
deleted. ``decode_update`` takes it apart and refuses whatever an honest client never sends;
``fit`` sees to it that all of it goes into a document at once, so nothing is left pending there,
and cuts off what that has already. Only what passed both may reach native code.

    decode    minimal integers, no trailing bytes, known contents, the declared root alone, no gaps
              within a client, no client twice, bounded clients, blocks, clocks, depths
    fit       no gap and no straddling: what is known is cut away; every origin is known or comes
              before; deletes of known clocks only; no character is cut in two

All functions raise InvalidValue, and change nothing.
"""

from collections.abc import Container, Iterator, Mapping
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from crdtstore import limits
from crdtstore.errors import InvalidValue
from crdtstore.model.update_contents import (
    ANY,
    DELETED,
    REFS_OF_KIND,
    STRING,
    ByteReader,
    Content,
    UpdateAhead,
    read_content,
)

Clocks: TypeAlias = dict[int, int]
"""Client to the number of its clocks: a Yjs state vector."""

Pairs: TypeAlias = dict[int, set[int]]
"""Client to the clocks at which the second half of a character stands: an emoji has two clocks, and
native code writes nonsense where something comes between them. Deleted characters do not count."""

Place: TypeAlias = tuple[int, int]
"""Client and clock of one element."""

EMPTY_UPDATE: Final = b"\x00\x00"

_SMALL_BYTES: Final = 2 * limits.KIBIBYTE


class Block(NamedTuple):
    """Consecutive elements of one client: where they stand, and what they hold.

    ``left`` and ``right`` are the elements between which it was written, None at the ends.
    """

    clock: int
    length: int
    ref: int
    left: Place | None
    right: Place | None
    content: Content


class Update(NamedTuple):
    """Blocks by client, and deleted ranges (clock, length) by client, both in ascending order."""

    blocks: dict[int, list[Block]]
    deleted: dict[int, list[tuple[int, int]]]

    @property
    def is_empty(self) -> bool:
        """Whether it changes nothing."""
        return not self.blocks and not self.deleted


def decode_update(raw: object, kind: str) -> Update:
    """Return the parts of an update of a document of a kind ("text" or "list")."""
    if type(raw) is not bytes:
        raise InvalidValue("an update is bytes")
    if len(raw) > limits.UPDATE_BYTES_MAX:
        raise InvalidValue(
            f"an update has {len(raw):,} bytes; the limit is {limits.UPDATE_BYTES_MAX:,} bytes"
        )
    return _decode_small(raw, kind) if len(raw) <= _SMALL_BYTES else _decode(raw, kind)


def decode_own(raw: bytes, kind: str) -> Update:
    """Return the parts of an update of our own making, which may be beyond the bounds."""
    return _decode(raw, kind, is_bounded=False)


def _decode(raw: bytes, kind: str, is_bounded: bool = True) -> Update:
    reader = ByteReader(raw)
    root = kind.encode()
    refs = REFS_OF_KIND[kind]
    blocks: dict[int, list[Block]] = {}
    clients_max = limits.UPDATE_CLIENTS_MAX if is_bounded else limits.UPDATE_CLOCK_MAX
    blocks_max = limits.UPDATE_BLOCKS_MAX if is_bounded else limits.UPDATE_CLOCK_MAX
    for _ in range(_bounded(reader, clients_max, "clients")):
        count = _bounded(reader, blocks_max, "blocks")
        client, clock = reader.number(), reader.number()
        if client in blocks or not count:
            raise InvalidValue("an update names a client twice, or for nothing")
        blocks[client] = own = []
        for _ in range(count):
            block = _read_block(reader, clock, root, refs)
            clock += block.length
            if clock > limits.UPDATE_CLOCK_MAX:
                raise InvalidValue("an update has a clock out of range")
            own.append(block)
    deleted = _read_deleted(reader, clients_max, blocks_max)
    if reader.at != len(raw):
        raise InvalidValue("an update has trailing bytes")
    return Update(blocks, deleted)


_decode_small = lru_cache(maxsize=64)(_decode)
"""What one write brings is decoded where it comes in, and again where it is joined."""


def _bounded(reader: ByteReader, maximum: int, what: str) -> int:
    count = reader.number()
    if count > maximum:
        raise InvalidValue(f"an update has {count:,} {what}; the limit is {maximum:,} {what}")
    return count


def _read_block(reader: ByteReader, clock: int, root: bytes, refs: Container[int]) -> Block:
    info = reader.take(1)[0]
    ref = info & 0x1F
    if ref not in refs or info & 0x20:
        raise InvalidValue(f"an update has a block that a {root.decode()} does not hold")
    left = (reader.number(), reader.number()) if info & 0x80 else None
    right = (reader.number(), reader.number()) if info & 0x40 else None
    if (
        left is None
        and right is None
        and (reader.take(1) != b"\x01" or reader.take(reader.number()) != root)
    ):
        raise InvalidValue(f"an update writes elsewhere than to the root {root.decode()!r}")
    length, content = read_content(reader, ref)
    return Block(clock, length, ref, left, right, content)


def _read_deleted(
    reader: ByteReader, clients_max: int, ranges_max: int
) -> dict[int, list[tuple[int, int]]]:
    deleted: dict[int, list[tuple[int, int]]] = {}
    for _ in range(_bounded(reader, clients_max, "clients")):
        client = reader.number()
        count = _bounded(reader, ranges_max, "deleted ranges")
        if client in deleted or not count:
            raise InvalidValue("an update deletes of a client twice, or nothing of it")
        deleted[client] = ranges = []
        end = 0
        for _ in range(count):
            clock, length = reader.number(), reader.number()
            if clock < end or not length or clock + length > limits.UPDATE_CLOCK_MAX:
                raise InvalidValue("an update has deleted ranges out of order or out of range")
            end = clock + length
            ranges.append((clock, length))
    return deleted


def fit(update: Update, clocks: Mapping[int, int], pairs: Pairs) -> Update:
    """Return what of an update is new to a document with these clocks; all of it must go in."""
    blocks: dict[int, list[Block]] = {}
    for client, given in update.blocks.items():
        known = clocks.get(client, 0)
        if given[0].clock > known:
            raise UpdateAhead("an update leaves a gap: it lacks what its client wrote before")
        fresh = [
            block if block.clock >= known else _cut(client, block, known - block.clock)
            for block in given
            if block.clock + block.length > known
        ]
        if fresh:
            blocks[client] = fresh
    fitted = Update(blocks, update.deleted)
    reached = dict(clocks)
    for _ in in_causal_order(fitted, reached):
        pass
    for client, ranges in update.deleted.items():
        if ranges[-1][0] + ranges[-1][1] > reached.get(client, 0):
            raise UpdateAhead("an update deletes what nobody has written")
    _check_whole_characters(fitted, pairs)
    return fitted


def _check_whole_characters(update: Update, pairs: Pairs) -> None:
    """Check that nothing comes between the two halves of a character, or deletes one of them."""
    fresh: Pairs = {}
    note_pairs(fresh, Update(update.blocks, {}))
    for client, clock in (*torn_characters(update, pairs), *torn_characters(update, fresh)):
        if any(start < clock < start + size for start, size in update.deleted.get(client, ())):
            raise UpdateAhead("an update stands in a character whose deletion is not known here")
        raise InvalidValue("an update writes within a character, or deletes a part of one")


def torn_characters(update: Update, pairs: Pairs) -> Iterator[Place]:
    """Yield the second halves of the characters that an update would cut in two."""
    if not pairs:
        return
    for blocks in update.blocks.values():
        for block in blocks:
            left, right = block.left, block.right
            if left is not None and left[1] + 1 in pairs.get(left[0], ()):
                yield left[0], left[1] + 1
            if right is not None and right[1] in pairs.get(right[0], ()):
                yield right
    for client, ranges in update.deleted.items():
        own = pairs.get(client, ())
        for clock, length in ranges:
            yield from ((client, edge) for edge in (clock, clock + length) if edge in own)


def note_pairs(pairs: Pairs, update: Update) -> None:
    """Take note of the characters of two halves that an update brings and deletes."""
    for client, blocks in update.blocks.items():
        for block in blocks:
            if block.ref == STRING and block.length != len(block.content or ""):
                assert isinstance(block.content, str)
                clock = block.clock
                own = pairs.setdefault(client, set())
                for character in block.content:
                    clock += 1
                    if character > "\uffff":
                        own.add(clock)
                        clock += 1
    if pairs:
        for client, ranges in update.deleted.items():
            own = pairs.get(client, set())
            for start, length in ranges:
                own.difference_update(
                    [c for c in own if start <= c < start + length]
                    if length > len(own)
                    else range(start, start + length)
                )


def _cut(client: int, block: Block, offset: int) -> Block:
    """Return a block without its first elements."""
    if offset == 0:
        return block
    rest: Content = None
    if block.ref == STRING:
        assert isinstance(block.content, str)
        rest = _split_text(block.content, offset)[1]
    elif block.ref == ANY:
        assert isinstance(block.content, tuple)
        rest = block.content[offset:]
    clock = block.clock + offset
    return Block(clock, block.length - offset, block.ref, (client, clock - 1), block.right, rest)


def _split_text(text: str, units: int) -> tuple[str, str]:
    """Return a text in two, the first of so many UTF-16 units."""
    if text.isascii():
        return text[:units], text[units:]
    encoded = text.encode("utf-16-le")
    try:
        return encoded[: 2 * units].decode("utf-16-le"), encoded[2 * units :].decode("utf-16-le")
    except UnicodeDecodeError:
        raise InvalidValue("an update is cut within a character") from None


def halves(client: int, block: Block) -> tuple[Block, Block]:
    """Return a block in two, as long as it has more than one element."""
    middle = block.length // 2
    content: Content = None
    if block.ref == STRING:
        assert isinstance(block.content, str)
        try:
            content = _split_text(block.content, middle)[0]
        except InvalidValue:
            middle += 1
            content = _split_text(block.content, middle)[0]
    elif block.ref == ANY:
        assert isinstance(block.content, tuple)
        content = block.content[:middle]
    return block._replace(length=middle, content=content), _cut(client, block, middle)


def in_causal_order(update: Update, clocks: Clocks) -> Iterator[tuple[int, Block]]:
    """Yield client and block, every block after those that it stands beside; advance ``clocks``."""
    waiting: dict[int, list[int]] = {}
    following = dict.fromkeys(update.blocks, 0)
    ready = list(update.blocks)
    while ready:
        client = ready.pop()
        blocks = update.blocks[client]
        at = following[client]
        blocker = None
        while at < len(blocks):
            block = blocks[at]
            for place in (block.left, block.right):
                if place is not None and place[1] >= clocks.get(place[0], 0):
                    blocker = place[0]
            if blocker is not None:
                break
            clocks[client] = block.clock + block.length
            yield client, block
            at += 1
        has_moved = at > following[client]
        following[client] = at
        if blocker is not None:
            waiting.setdefault(blocker, []).append(client)
        if has_moved:
            ready += waiting.pop(client, ())
    if waiting:
        raise UpdateAhead("an update stands beside what nobody has written")


def encode_update(update: Update, kind: str) -> bytes:
    """Return the bytes of an update."""
    out = bytearray()
    _write_number(out, len(update.blocks))
    root = b"\x01" + bytes([len(kind)]) + kind.encode()
    for client, blocks in sorted(update.blocks.items(), reverse=True):
        for number in (len(blocks), client, blocks[0].clock):
            _write_number(out, number)
        for block in blocks:
            _write_block(out, block, root)
    _write_number(out, len(update.deleted))
    for client, ranges in sorted(update.deleted.items(), reverse=True):
        _write_number(out, client)
        _write_number(out, len(ranges))
        for clock, length in ranges:
            _write_number(out, clock)
            _write_number(out, length)
    return bytes(out)


def _write_block(out: bytearray, block: Block, root: bytes) -> None:
    left, right, content = block.left, block.right, block.content
    out.append(block.ref | (0x80 if left else 0) | (0x40 if right else 0))
    for place in (left, right):
        if place is not None:
            _write_number(out, place[0])
            _write_number(out, place[1])
    if left is None and right is None:
        out += root
    if isinstance(content, str):
        encoded = content.encode()
        _write_number(out, len(encoded))
        out += encoded
    elif isinstance(content, tuple):
        _write_number(out, len(content))
        out += b"".join(content)
    elif isinstance(content, bytes):
        out += content
    else:
        assert block.ref == DELETED
        _write_number(out, block.length)


def _write_number(out: bytearray, value: int) -> None:
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def advance(clocks: Clocks, update: Update) -> None:
    """Take note that a document was given an update that fits it."""
    for client, blocks in update.blocks.items():
        clocks[client] = blocks[-1].clock + blocks[-1].length


def decode_clocks(raw: object) -> Clocks:
    """Return a state vector; it may name each client once, and no more of them than a text has."""
    if type(raw) is not bytes:
        raise InvalidValue("a state vector is bytes")
    reader = ByteReader(raw)
    clocks: Clocks = {}
    for _ in range(_bounded(reader, limits.TEXT_CLIENTS_MAX, "clients")):
        client, clock = reader.number(), reader.number()
        if client in clocks or clock > limits.UPDATE_CLOCK_MAX:
            raise InvalidValue("a state vector names a client twice, or a clock out of range")
        clocks[client] = clock
    if reader.at != len(raw):
        raise InvalidValue("a state vector has trailing bytes")
    return clocks


def encode_clocks(clocks: Mapping[int, int]) -> bytes:
    """Return the bytes of a state vector."""
    out = bytearray()
    _write_number(out, len(clocks))
    for client, clock in sorted(clocks.items(), reverse=True):
        _write_number(out, client)
        _write_number(out, clock)
    return bytes(out)
