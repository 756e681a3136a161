"""Yjs updates in parts, for a field's whole state may not fit into one message; and in one form."""

from collections.abc import Iterator, Sequence
from typing import Final

from crdtstore.model.update_contents import ANY, DELETED, STRING
from crdtstore.model.updates import (
    Block,
    Update,
    decode_own,
    encode_update,
    halves,
    in_causal_order,
)

_BLOCK_OVERHEAD_BYTES: Final = 48
_RANGE_BYTES: Final = 24


def split_update(raw: bytes, kind: str, bytes_max: int) -> list[bytes]:
    """Return an update as ones of at most about ``bytes_max``, to be applied in this order.

    Each of them goes in whole after those before it. Only a single element that is larger, an
    embed or a list item, makes an update that is.
    """
    if len(raw) <= bytes_max:
        return [raw]
    update = decode_own(raw, kind)
    parts: list[bytes] = []
    blocks: dict[int, list[Block]] = {}
    size = 0
    for client, block in in_causal_order(update, {c: b[0].clock for c, b in update.blocks.items()}):
        for piece in _pieces(client, block, bytes_max):
            piece_bytes = _size_of(piece)
            if blocks and size + piece_bytes > bytes_max:
                parts.append(encode_update(Update(blocks, {}), kind))
                blocks, size = {}, 0
            blocks.setdefault(client, []).append(piece)
            size += piece_bytes
    if blocks:
        parts.append(encode_update(Update(blocks, {}), kind))
    ranges = [(client, span) for client, spans in update.deleted.items() for span in spans]
    step = max(bytes_max // _RANGE_BYTES, 1)
    for start in range(0, len(ranges), step):
        deleted: dict[int, list[tuple[int, int]]] = {}
        for client, span in ranges[start : start + step]:
            deleted.setdefault(client, []).append(span)
        parts.append(encode_update(Update({}, deleted), kind))
    return parts


def _pieces(client: int, block: Block, bytes_max: int) -> Iterator[Block]:
    """Yield a block in pieces that are small enough, in order."""
    stack = [block]
    while stack:
        piece = stack.pop()
        if _size_of(piece) <= bytes_max or not _is_divisible(piece):
            yield piece
        else:
            first, rest = halves(client, piece)
            stack += [rest, first]


def _is_divisible(block: Block) -> bool:
    if block.ref == STRING:
        return isinstance(block.content, str) and len(block.content) > 1
    return block.ref == ANY and block.length > 1


def _size_of(block: Block) -> int:
    content = block.content
    if isinstance(content, str):
        size = len(content) if content.isascii() else len(content.encode())
    elif isinstance(content, tuple):
        size = sum(map(len, content))
    else:
        size = len(content or b"")
    return size + _BLOCK_OVERHEAD_BYTES


def normal_form(raw: bytes, kind: str) -> bytes:
    """Return a whole state in its one form: equal states have equal bytes.

    Native code cuts and joins blocks as edits come in, so its own bytes tell of their order.
    """
    update = decode_own(raw, kind)
    blocks = {client: _merged(client, own) for client, own in update.blocks.items()}
    deleted: dict[int, list[tuple[int, int]]] = {}
    for client, ranges in update.deleted.items():
        merged: list[tuple[int, int]] = []
        deleted[client] = merged
        for clock, length in ranges:
            if merged and sum(merged[-1]) == clock:
                clock, length = merged[-1][0], merged.pop()[1] + length
            merged.append((clock, length))
    return encode_update(Update(blocks, deleted), kind)


def _merged(client: int, blocks: Sequence[Block]) -> list[Block]:
    """Return blocks of which those are one that were written one after the other."""
    merged: list[Block] = []
    for block in blocks:
        last = merged[-1] if merged else None
        if (
            last is not None
            and last.ref == block.ref
            and block.left == (client, block.clock - 1)
            and block.right == last.right
        ):
            both = last.length + block.length
            if block.ref == DELETED:
                merged[-1] = last._replace(length=both)
                continue
            if isinstance(last.content, str) and isinstance(block.content, str):
                merged[-1] = last._replace(length=both, content=last.content + block.content)
                continue
            if isinstance(last.content, tuple) and isinstance(block.content, tuple):
                merged[-1] = last._replace(length=both, content=last.content + block.content)
                continue
        merged.append(block)
    return merged
