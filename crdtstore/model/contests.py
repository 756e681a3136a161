"""Contests: what becomes of one Yjs id under which two replicas were given different elements.

Yjs takes two elements of one client and clock for the same. An honest client never writes two; one
that takes another's id does, at two replicas that do not hear of each other. So what is known
already is compared, and joined as a value of its own, element by element:

- its **place**, the elements between which it was written: if what was to its left differs, that is
  what its client wrote before it; if what was to its right differs, that is nothing;
- its **content**: if two differ, it is deleted; and so is the other half of its character.

A character is deleted too if something stands between its halves: it was, where that was taken.

Both are flat lattices, so the join is associative, commutative and idempotent, and all replicas end
with the same elements in whatever order they heard of them. No elements wait for each other in a
circle: each refers to what came before it wherever it was first written, or to its own client's.
"""

import struct
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple, TypeAlias

from crdtstore.model.update_contents import DELETED, STRING
from crdtstore.model.updates import Block, Pairs, Place, Update, note_pairs, torn_characters

Span: TypeAlias = tuple[int, int]
"""A clock, and how many there are from it on."""

_LOW_FIRST: Final = 0xDC
_LOW_LAST: Final = 0xDF
"""The upper bytes of the second half of a character in UTF-16."""


class Contest(NamedTuple):
    """What two histories tell differently: elements that lose a neighbour, and those deleted."""

    lefts: dict[int, set[int]]
    rights: dict[int, list[Span]]
    deleted: dict[int, list[Span]]


def overlap(update: Update, clocks: Mapping[int, int]) -> dict[int, int]:
    """Return the clients of whom an update tells something known, with the first such clock."""
    return {
        client: blocks[0].clock
        for client, blocks in update.blocks.items()
        if blocks[0].clock < clocks.get(client, 0)
    }


def contest_of(own: Update, given: Update, pairs: Pairs) -> Contest | None:
    """Return in what an update contradicts the state here; None if in nothing, as honest ones."""
    contest = Contest({}, {}, {})
    torn: dict[int, list[Span]] = {}
    for client, clock in torn_characters(given, pairs):
        torn.setdefault(client, []).append((clock - 1, 2))
    for client, blocks in given.blocks.items():
        known = own.blocks.get(client, [])
        lefts: set[int] = set()
        rights: list[Span] = []
        spans: list[Span] = []
        for mine, other, start, end in _met(known, blocks):
            if mine.right not in (None, other.right):
                rights.append((start, end - start))
            left = _left(client, mine, start)
            if left not in (_before(client, start), _left(client, other, start)):
                lefts.add(start)
            spans += _different(mine, other, start, end)
        if spans:
            spans = _whole_characters(spans, (*known, *blocks))
        for gone in (own, given):
            spans = _without(spans, gone.deleted.get(client, []))
        if lefts:
            contest.lefts[client] = lefts
        if rights:
            contest.rights[client] = _united(rights)
        if spans:
            contest.deleted[client] = spans
    for client, halves in torn.items():  # before what stands in them comes, also if it goes with it
        contest.deleted[client] = _united([*contest.deleted.get(client, []), *halves])
    return contest if any(contest) else None


def settled(own: Update, contest: Contest) -> Update:
    """Return the whole state after a contest."""
    blocks = dict(own.blocks)
    for client in contest.lefts.keys() | contest.rights.keys():
        lefts, rights = contest.lefts.get(client, set()), contest.rights.get(client, [])
        blocks[client] = list(_displaced(client, own.blocks[client], lefts, rights))
    deleted = dict(own.deleted)
    for client, spans in contest.deleted.items():
        deleted[client] = _united([*deleted.get(client, []), *spans])
    return Update(blocks, deleted)


def without_halves(update: Update, clocks: Mapping[int, int]) -> Update:
    """Return an update of which no character is half known here: such a one counts as deleted.

    Only where a client's id was taken by another does one begin within what is known.
    """
    blocks = dict(update.blocks)
    for client, own in update.blocks.items():
        known = clocks.get(client, 0)
        for at, block in enumerate(own):
            offset = known - block.clock
            if 0 < offset < block.length and offset in _low_offsets(block):
                pieces = _cut(client, block, [offset])
                blocks[client] = [*own[:at], *pieces, *own[at + 1 :]]
    return Update(blocks, update.deleted)


def without_torn(update: Update) -> Update:
    """Return an update whose own characters are whole: of those that it cuts both halves go.

    A state of a peer has such ones where something stood in a character that was then deleted.
    """
    own: Pairs = {}
    note_pairs(own, Update(update.blocks, {}))
    torn: dict[int, set[int]] = {}
    for client, clock in torn_characters(update, own):
        torn.setdefault(client, set()).add(clock)
    if not torn:
        return update
    blocks, deleted = dict(update.blocks), dict(update.deleted)
    for client, clocks in torn.items():
        pieces: list[Block] = []
        for block in blocks[client]:
            inner = [at - block.clock for at in clocks if 0 < at - block.clock < block.length]
            pieces += _cut(client, block, inner) if inner else [block]
        blocks[client] = pieces
        spans = [(clock - 1, 2) for clock in clocks]
        deleted[client] = _united([*deleted.get(client, []), *spans])
    return Update(blocks, deleted)


def together(updates: Iterable[Update]) -> Update:
    """Return updates that go in one after the other as one."""
    blocks: dict[int, list[Block]] = {}
    deleted: dict[int, list[Span]] = {}
    for update in updates:
        for client, own in update.blocks.items():
            blocks.setdefault(client, []).extend(own)
        for client, spans in update.deleted.items():
            deleted.setdefault(client, []).extend(spans)
    return Update(blocks, {client: _united(spans) for client, spans in deleted.items()})


def forget_pairs(pairs: Pairs, contest: Contest) -> None:
    """Take note that what is contested is deleted: it has no characters of two halves."""
    for client, spans in contest.deleted.items():
        for start, length in spans:
            pairs.get(client, set()).difference_update(range(start, start + length))


def _met(mine: Sequence[Block], given: Sequence[Block]) -> list[tuple[Block, Block, int, int]]:
    """Return the pairs of blocks that tell of the same clocks, with these clocks."""
    met = []
    at = 0
    for other in given:
        while at < len(mine) and mine[at].clock + mine[at].length <= other.clock:
            at += 1
        each = at
        while each < len(mine) and mine[each].clock < other.clock + other.length:
            block = mine[each]
            start = max(block.clock, other.clock)
            end = min(block.clock + block.length, other.clock + other.length)
            met.append((block, other, start, end))
            each += 1
    return met


def _left(client: int, block: Block, clock: int) -> Place | None:
    return block.left if clock == block.clock else _before(client, clock)


def _before(client: int, clock: int) -> Place | None:
    return (client, clock - 1) if clock else None


def _different(mine: Block, other: Block, start: int, end: int) -> list[Span]:
    """Return the elements whose contents differ; of what is deleted here no content is known."""
    if mine.ref == DELETED:
        return []
    if mine.ref != other.ref:
        return [(start, end - start)]
    one, two = (_elements(block, start, end) for block in (mine, other))
    return (
        [] if one == two else [(start + at, 1) for at in range(end - start) if one[at] != two[at]]
    )


def _elements(block: Block, start: int, end: int) -> Sequence[object]:
    """Return what stands at some clocks of a block, one object each: of a string UTF-16 units."""
    first, last = start - block.clock, end - block.clock
    content = block.content
    if isinstance(content, str):
        if len(content) == block.length:
            return [*map(ord, content[first:last])]
        units = content.encode("utf-16-le")[2 * first : 2 * last]
        return struct.unpack(f"<{last - first}H", units)
    if isinstance(content, tuple):
        return content[first:last]
    return [content] * (last - first)


def _whole_characters(spans: Sequence[Span], blocks: Sequence[Block]) -> list[Span]:
    """Return elements with the other halves of their characters, by whoever has such there."""
    clocks = {clock for start, length in spans for clock in range(start, start + length)}
    for block in blocks:
        for offset in _low_offsets(block):
            pair = {block.clock + offset - 1, block.clock + offset}
            if not clocks.isdisjoint(pair):
                clocks |= pair
    return _united([(clock, 1) for clock in clocks])


def _low_offsets(block: Block) -> list[int]:
    """Return where in a block the second halves of characters stand."""
    content = block.content
    if block.ref != STRING or not isinstance(content, str) or len(content) == block.length:
        return []
    upper = content.encode("utf-16-le")[1::2]
    return [at for at, byte in enumerate(upper) if _LOW_FIRST <= byte <= _LOW_LAST]


def _without(spans: Sequence[Span], others: Sequence[Span]) -> list[Span]:
    """Return what of some ranges is in none of others; both are in order."""
    rest: list[Span] = []
    at = 0
    for start, length in spans:
        end = start + length
        while at < len(others) and sum(others[at]) <= start:
            at += 1
        each = at
        while each < len(others) and others[each][0] < end:
            if others[each][0] > start:
                rest.append((start, others[each][0] - start))
            start = sum(others[each])
            each += 1
        if start < end:
            rest.append((start, end - start))
    return rest


def _united(spans: Sequence[Span]) -> list[Span]:
    """Return ranges in order, each once."""
    united: list[Span] = []
    for start, length in sorted(spans):
        if united and start <= sum(united[-1]):
            first, known = united.pop()
            united.append((first, max(known, start + length - first)))
        else:
            united.append((start, length))
    return united


def _displaced(
    client: int, blocks: Sequence[Block], lefts: set[int], rights: Sequence[Span]
) -> Iterator[Block]:
    """Yield blocks in pieces, of which some have lost a neighbour."""
    at = 0
    for block in blocks:
        start, end = block.clock, block.clock + block.length
        spans: list[Span] = []
        while at < len(rights) and rights[at][0] < end:
            spans.append(rights[at])
            if sum(rights[at]) > end:
                break
            at += 1
        edges = {edge - start for span in spans for edge in (span[0], sum(span))}
        firsts = {max(span[0], start) for span in spans if sum(span) > start}
        ends = {sum(span) for span in spans}
        has_lost = False
        for piece in _cut(client, block, edges):
            has_lost = piece.clock in firsts or (has_lost and piece.clock not in ends)
            if piece.clock in lefts:
                piece = piece._replace(left=_before(client, piece.clock))
            yield piece._replace(right=None) if has_lost else piece


def _cut(client: int, block: Block, offsets: Collection[int]) -> list[Block]:
    """Return a block in pieces; the halves of a character that is cut are deleted ones."""
    content = block.content
    halves = {at for low in _low_offsets(block) if low in offsets for at in (low - 1, low + 1)}
    units = content.encode("utf-16-le") if isinstance(content, str) else b""
    pieces = []
    inner = {at for at in {*offsets, *halves} if 0 < at < block.length}
    edges = sorted({0, *inner, block.length})
    for start, end in pairwise(edges):
        ref, part = block.ref, content
        if isinstance(content, tuple):
            part = content[start:end]
        elif isinstance(content, str):
            try:
                part = units[2 * start : 2 * end].decode("utf-16-le")
            except UnicodeDecodeError:
                ref, part = DELETED, None
        clock = block.clock + start
        left = _left(client, block, clock)
        pieces.append(Block(clock, end - start, ref, left, block.right, part))
    return pieces
