"""Repair messages: how two replicas compare their documents and exchange those that differ.

Any end of a link may ask. ``docs/protocol.md`` shows every message byte by byte.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from crdtstore import limits
from crdtstore.names import is_profile_id
from crdtstore.sync.checks import checked_bytes, checked_number, checked_place
from crdtstore.sync.frame import HASH_BYTES
from crdtstore.sync.ranges import Fingerprint, Item, Part, Range

PUSHED: Final = 0
MORE: Final = 1
LAST: Final = 2
"""What DOCUMENTS are: sent unasked, a part of the answer to a FETCH, or the end of it."""


@dataclass(frozen=True, slots=True)
class Compare:
    """Say where your documents of these ranges differ from mine: their number and digest."""

    ranges: tuple[tuple[Range, Fingerprint], ...]


@dataclass(frozen=True, slots=True)
class Differences:
    """The answer to a COMPARE: parts, or ids, of those ranges (by their place) that differ."""

    parts: dict[int, list[Part]]
    items: dict[int, list[Item]]


@dataclass(frozen=True, slots=True)
class Fetch:
    """Send me these documents, after all that I sent you before is durable."""

    profile_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Documents:
    """Whole documents to join, or parts of large ones, in the form of a snapshot chunk.

    ``role`` is PUSHED, MORE or LAST. No cell is newer than ``timestamp``.
    """

    role: int
    timestamp: int
    entries: bytes


RepairMessage: TypeAlias = Compare | Differences | Fetch | Documents


def repair_fields_of(message: Compare | Differences | Fetch) -> tuple[int, list[Any]]:
    """Return kind and fields of a message."""
    match message:
        case Compare(ranges):
            return 13, [
                [
                    field
                    for (lower, upper), (count, digest) in ranges
                    for field in (lower, upper, count, digest.to_bytes(16, "big"))
                ]
            ]
        case Differences(parts, items):
            return 14, [
                [[place, _flat_parts(found)] for place, found in sorted(parts.items())],
                [[place, _flat_items(found)] for place, found in sorted(items.items())],
            ]
        case Fetch(profile_ids):
            return 15, [list(profile_ids)]


def _flat_parts(parts: list[Part]) -> list[Any]:
    return [
        field
        for upper, (count, digest) in parts
        for field in (upper, count, digest.to_bytes(16, "big"))
    ]


def _flat_items(items: list[Item]) -> list[Any]:
    return [field for name, digest in items for field in (name, digest.to_bytes(16, "big"))]


# --- checked parts: each raises ValueError, which decode turns into MessageInvalid ---------------


def _digest(value: object) -> int:
    if len(checked_bytes(value)) != HASH_BYTES:
        raise ValueError("a digest has a wrong length")
    return int.from_bytes(checked_bytes(value), "big")


def _profile_id(value: object) -> str:
    if not is_profile_id(value):
        raise ValueError("an id is no profile id")
    return str(value)


def _rows(flat: object, width: int, rows_max: int) -> list[tuple[Any, ...]]:
    if type(flat) is not tuple or len(flat) % width or len(flat) > width * rows_max:
        raise ValueError("a flat array has a wrong length")
    return list(zip(*(flat[column::width] for column in range(width)), strict=True))


def _decode_compare(flat: object) -> Compare:
    ranges: list[tuple[Range, Fingerprint]] = []
    before: str | None = ""
    for lower, upper, count, digest in _rows(flat, 4, limits.COMPARE_RANGES_MAX):
        span = Range(checked_place(lower), checked_place(upper))
        if before is None or span.lower < before or (span.upper and span.upper <= span.lower):
            raise ValueError("ranges are empty, overlap, or are out of order")
        before = span.upper or None
        ranges.append((span, Fingerprint(checked_number(count), _digest(digest))))
    if not ranges:
        raise ValueError("there is no range to compare")
    return Compare(tuple(ranges))


def _by_place(pairs: object) -> dict[int, object]:
    if type(pairs) is not tuple or len(pairs) > limits.COMPARE_RANGES_MAX:
        raise ValueError("there are too many ranges")
    found: dict[int, object] = {}
    for pair in pairs:
        if type(pair) is not tuple or len(pair) != 2 or checked_number(pair[0]) in found:
            raise ValueError("a range is no pair, or comes twice")
        found[pair[0]] = pair[1]
    return found


def _decode_differences(parts: object, items: object) -> Differences:
    return Differences(
        {
            place: [
                (checked_place(upper), Fingerprint(checked_number(count), _digest(digest)))
                for upper, count, digest in _rows(flat, 3, limits.RANGE_PARTS)
            ]
            for place, flat in _by_place(parts).items()
        },
        {
            place: [
                (_profile_id(name), _digest(digest))
                for name, digest in _rows(flat, 2, limits.RANGE_IDS_MAX)
            ]
            for place, flat in _by_place(items).items()
        },
    )


def _decode_fetch(flat: object) -> Fetch:
    rows = _rows(flat, 1, limits.HEAL_DOCUMENTS)
    profile_ids = tuple(_profile_id(name) for (name,) in rows)
    if len(set(profile_ids)) != len(profile_ids):
        raise ValueError("an id comes twice")
    return Fetch(profile_ids)


def checked_documents(role: object, timestamp: object, entries: object) -> Documents:
    """Return the DOCUMENTS with these fields; raises ValueError."""
    if checked_number(role) > LAST:
        raise ValueError("documents are of an unknown role")
    assert isinstance(role, int)
    return Documents(role, checked_number(timestamp), checked_bytes(entries))


REPAIR_DECODERS: Final[dict[int, Callable[..., RepairMessage]]] = {
    13: _decode_compare,
    14: _decode_differences,
    15: _decode_fetch,
}
