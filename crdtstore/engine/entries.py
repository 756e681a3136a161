"""Entries: the writes of frames and snapshots from elsewhere, checked before they are joined."""

from typing import Any

from crdtstore.errors import FrameCorrupt, InvalidValue
from crdtstore.model.cells import NEWEST_KINDS, Cell, parse_key
from crdtstore.model.document import check_delta


def check_entry(write: Any, timestamp_max: int, origin: int | None) -> None:
    """Check one write of a frame or snapshot; raises FrameCorrupt.

    With an origin, every newest cell must be that origin's own, and so must every addition to a
    set and every revocation; of another origin's it may only mark what it has seen.
    """
    if type(write) is not tuple or len(write) != 3:
        raise FrameCorrupt("a write is not [profile id, epoch, cells]")
    try:
        check_delta(*write, timestamp_max)
    except InvalidValue as error:
        raise FrameCorrupt(f"a write cannot be accepted: {error}") from error
    if origin is not None:
        for key, cell in write[2].items():
            if cell[1] != origin and not _is_of_origin(key, cell, origin):
                raise FrameCorrupt("a frame writes in the name of another origin")


def _is_of_origin(key: str, cell: Cell, origin: int) -> bool:
    parsed = parse_key(key)
    if parsed.letter in NEWEST_KINDS:
        return bool(cell[1] == origin)
    return parsed.origin == origin or bool(cell[0] == cell[1])
