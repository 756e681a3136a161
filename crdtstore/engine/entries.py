"""Entries: single writes, as frames hold them, and whole documents, as snapshots and repairs do.

| in    | entry                             | texts                                            |
|-------|-----------------------------------|--------------------------------------------------|
| frame | [profile id, epoch, cells]        | edits: cells of four                             |
| chunk | [profile id, epoch, cells]        | none                                             |
| chunk | [profile id, epoch, cells, texts] | trails among the cells; name -> [update, history] |

What is too large for one entry comes as several, texts before the trails that stand for them.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from crdtstore import limits
from crdtstore.errors import FrameCorrupt, InvalidValue
from crdtstore.model.cells import (
    COLLABORATIVE_KINDS,
    KIND_OF_LETTER,
    NEWEST_KINDS,
    Cell,
    Cells,
    parse_key,
)
from crdtstore.model.document import check_delta, unpack_canonical
from crdtstore.model.text_history import Edit
from crdtstore.model.texts import Text
from crdtstore.model.update_parts import split_update
from crdtstore.model.updates import decode_update
from crdtstore.model.values import pack
from crdtstore.names import is_name

WholeTexts: TypeAlias = Mapping[str, tuple[bytes, tuple[Edit, ...]]]
"""Texts by letter and field, each as one update and its newest edits."""

CHUNK_BYTES: Final = limits.FRAME_BYTES_MAX - 16 * limits.KIBIBYTE
_TEXT_PART_BYTES: Final = CHUNK_BYTES - 40 * limits.KIBIBYTE
"""The newest edits of a text travel with its last part."""

Entry: TypeAlias = tuple[str, int, Cells]
"""A write as frames and chunks have it: profile id, epoch, cells."""


def check_entry(write: Any, timestamp_max: int, origin: int | None) -> None:
    """Check one write of a frame or snapshot; raises FrameCorrupt.

    With an origin, every newest cell must be that origin's own, and so must every addition to a
    set and every revocation; of another origin's it may only mark what it has seen.
    """
    if type(write) is not tuple or len(write) != 3:
        if origin is None and type(write) is tuple and len(write) == 4:
            return _check_with_texts(write, timestamp_max)
        raise FrameCorrupt("a write is not [profile id, epoch, cells]")
    try:
        check_delta(*write, timestamp_max)
    except InvalidValue as error:
        raise FrameCorrupt(f"a write cannot be accepted: {error}") from error
    parts_of_text = 3 if origin is None else 4
    for key, cell in write[2].items():
        if key[0] in COLLABORATIVE_KINDS and len(cell) != parts_of_text:
            raise FrameCorrupt("a text comes as an edit in a frame, and whole in a document")
        if origin is not None and cell[1] != origin and not _is_of_origin(key, cell, origin):
            raise FrameCorrupt("a frame writes in the name of another origin")


def check_chunk(
    entries: Any, timestamp_max: int, allowed: Container[str] | None = None
) -> list[str]:
    """Check the entries of a chunk, and return the ids of their profiles; raises FrameCorrupt.

    ``allowed`` are the ids that were asked for, None if any may come.
    """
    if type(entries) is not tuple:
        raise FrameCorrupt("a chunk is not an array of documents")
    for entry in entries:
        check_entry(entry, timestamp_max, None)
    profile_ids = list(dict.fromkeys([entry[0] for entry in entries]))
    if len(profile_ids) > limits.CHUNK_DOCUMENTS_MAX:
        raise FrameCorrupt(f"a chunk has {len(profile_ids):,} documents")
    if allowed is not None and not all(profile_id in allowed for profile_id in profile_ids):
        raise FrameCorrupt("documents came that were not asked for")
    return profile_ids


def _check_with_texts(write: tuple[Any, ...], timestamp_max: int) -> None:
    """Check an entry of a snapshot or repair that brings texts; raises FrameCorrupt."""
    check_entry(write[:3], timestamp_max, None)
    texts = write[3]
    if type(texts) is not dict or (write[1] & 1 and texts):
        raise FrameCorrupt("the texts of an entry are not a map, or of an erased epoch")
    for name, whole in texts.items():
        is_named = type(name) is str and name[:1] in COLLABORATIVE_KINDS
        if not is_named or not is_name(name[1:], limits.FIELD_NAME_BYTES_MAX):
            raise FrameCorrupt("an entry brings a text that has no name")
        if type(whole) is not tuple or len(whole) != 2 or not _is_history(whole[1], timestamp_max):
            raise FrameCorrupt("a text is not [update, history]")
        try:
            decode_update(whole[0], KIND_OF_LETTER[name[0]])
        except InvalidValue as error:
            raise FrameCorrupt(f"a text cannot be accepted: {error}") from error


def _is_history(history: object, timestamp_max: int) -> bool:
    if type(history) is not tuple or len(history) > limits.TEXT_HISTORY_MAX:
        return False
    return all(
        type(edit) is tuple
        and len(edit) == 5
        and all(type(part) is int and 0 <= part < 1 << 63 for part in (*edit[:2], *edit[3:]))
        and edit[0] <= timestamp_max
        and is_name(edit[2], limits.SOURCE_NAME_BYTES_MAX)
        for edit in history
    )


def whole_texts(texts: Mapping[str, Any] = MappingProxyType({})) -> WholeTexts:
    """Return the texts of a checked entry; none if it has no such part."""
    return {
        name: (raw, tuple(Edit(*edit) for edit in history))
        for name, (raw, history) in texts.items()
    }


def entries_of(
    profile_id: str, canonical: bytes, texts: Sequence[tuple[str, Text]] = ()
) -> Iterator[bytes]:
    """Yield a document and its texts as packed entries, each small enough for a chunk."""
    last: dict[str, Any] = {}
    last_bytes = 0
    epoch = unpack_canonical(canonical)[0] if texts else 0
    for name, text in texts:
        parts = split_update(text.encode(), text.kind, _TEXT_PART_BYTES)
        for part in parts[:-1]:
            yield pack((profile_id, epoch, {}, {name: (part, ())}))
        whole = parts[-1], text.history
        size = len(pack(whole))
        if last and last_bytes + size > _TEXT_PART_BYTES:
            yield pack((profile_id, epoch, {}, last))
            last, last_bytes = {}, 0
        last[name] = whole
        last_bytes += size
    packed_texts = pack(last) if last else b""
    room_bytes = CHUNK_BYTES - 2 * limits.PROFILE_ID_BYTES_MAX - len(packed_texts)
    if len(canonical) <= room_bytes:
        header = b"\x94" if last else b"\x93"
        yield b"".join((header, pack(profile_id), canonical[1:], packed_texts))
        return
    if last:
        yield pack((profile_id, epoch, {}, last))
    yield from _parts_of(profile_id, canonical)


def _parts_of(profile_id: str, canonical: bytes) -> Iterator[bytes]:
    epoch, cells = unpack_canonical(canonical)
    parts = [dict(cells)]
    while parts:
        part = parts.pop()
        entry = pack((profile_id, epoch, part))
        if len(entry) <= CHUNK_BYTES:
            yield entry
            continue
        keys = list(part)
        for half in (keys[len(keys) // 2 :], keys[: len(keys) // 2]):
            parts.append({key: part[key] for key in half})


def _is_of_origin(key: str, cell: Cell, origin: int) -> bool:
    parsed = parse_key(key)
    if parsed.letter in NEWEST_KINDS:
        return bool(cell[1] == origin)
    return parsed.origin == origin or bool(cell[0] == cell[1])
