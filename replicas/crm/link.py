"""Links: what this service knows of one record at a vendor, and what a sighting of it means.

For every mapped property a link has the digest of the value that the vendor has now, as far as
known, and of the one that was sent last. From them follows what an edit of the vendor's own is, and
what is our own write coming back:

- A ``change`` tells who made it. Our own only tells what the vendor has now. Another's is news if
  it is newer than the newest one that was heard of, also if we have overwritten it at the vendor
  since: what the person who made it wanted must not be lost.
- A ``state`` does not tell who made it. A value that the vendor is known to have, or that was sent,
  is no news; one that is older than what is known is stale; all others are edits.

Digests instead of values keep a million links small, and nothing personal in them.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgpack

from replicas.crm.crm import Sighting

_pack: Callable[[Any], bytes] = msgpack.Packer(datetime=True).pack

_DIGEST_BYTES: Final = 12
_EMPTY: Final = b""


def digest_of(value: Any) -> bytes:
    """Return the digest of a field's value; empty for an empty one."""
    if value is None or value == "":
        return _EMPTY
    return hashlib.blake2b(_pack(value), digest_size=_DIGEST_BYTES).digest()


@dataclass(slots=True)
class Known:
    """What is known of one property.

    ``value`` is what the vendor has, at least since ``value_ms`` by its clock. ``said`` is the
    newest edit of somebody else, made at ``said_ms``, or if its time is not that exact, until
    ``said_until_ms``. ``sent`` is what was sent last, None if nothing was; ``is_flying`` says that
    its outcome is not known.
    """

    value: bytes = _EMPTY
    value_ms: int = 0
    said: bytes = _EMPTY
    said_ms: int = 0
    said_until_ms: int = 0
    sent: bytes | None = None
    is_flying: bool = False

    def lacks(self, wanted: bytes) -> bool:
        """Say whether a value must be sent: the vendor does not have it, nor made its own of it."""
        return wanted != self.value and (self.is_flying or wanted != self.sent)


@dataclass(slots=True)
class Link:
    """What is known of the record of one profile.

    ``state`` is ``new`` for a record that was asked for and whose id is not known, ``live``,
    ``gone`` for one in the recycle bin or merged into another, or ``erased``. ``gone_ms`` is when
    it went. ``sent_in`` is the number of the load during or after which something was sent last.
    """

    object: str
    record_id: str = ""
    state: str = "live"
    gone_ms: int = 0
    known: dict[str, Known] = field(default_factory=dict)
    sent_in: int = 0

    @property
    def is_waiting(self) -> bool:
        """Whether a record was asked for and refused: one that is found may take its place."""
        return self.state == "new" and not any(known.is_flying for known in self.known.values())

    def pack(self) -> bytes:
        """Return the bytes in which a note keeps the link."""
        known = {
            name: [getattr(known, part) for part in Known.__slots__]
            for name, known in self.known.items()
        }
        return _pack([self.object, self.record_id, self.state, self.gone_ms, known, self.sent_in])

    @classmethod
    def unpack(cls, packed: bytes) -> "Link":
        """Return the link that a note keeps."""
        name, record_id, state, gone_ms, packed_known, sent_in = msgpack.unpackb(packed)
        known = {one: Known(*parts) for one, parts in packed_known.items()}
        return cls(name, record_id, state, gone_ms, known, sent_in)


def weigh(link: Link, sighting: Sighting, values: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """Take note of what was seen of a record; return the values that its vendor says anew.

    ``values`` are the fields' values of the sighting, by property. What is returned is a part of
    them, to be written to the store as the vendor's; and whether, beyond that, the vendor has
    another value than was thought, so that something may have to be sent.
    """
    news = {}
    is_due = False
    for name, value in values.items():
        known = link.known.setdefault(name, Known())
        before = known.value
        at_ms = sighting.times_ms.get(name, sighting.at_ms)
        digest = digest_of(value)
        if sighting.kind in ("state", "created"):
            is_news = _weigh_state(known, digest, at_ms, at_ms + sighting.span_ms)
        elif sighting.is_own:
            is_news = False
            _weigh_own(known, digest, at_ms)
        else:
            is_news = _weigh_change(known, digest, at_ms)
        if is_news:
            news[name] = value
        elif known.value != before:
            is_due = True
    return news, is_due


def _weigh_state(known: Known, digest: bytes, at_ms: int, until_ms: int) -> bool:
    if digest == known.value:
        known.value_ms = max(known.value_ms, at_ms)
        _land(known, digest)
        return False
    if until_ms < known.value_ms or until_ms <= known.said_ms:
        return False
    known.value, known.value_ms = digest, max(at_ms, known.value_ms)
    if digest == known.sent:
        _land(known, digest)
        return False
    known.said = digest
    known.said_ms, known.said_until_ms = max(known.said_ms, at_ms), until_ms
    _forget_sent(known)
    return True


def _weigh_own(known: Known, digest: bytes, at_ms: int) -> None:
    if at_ms >= known.value_ms:
        known.value, known.value_ms = digest, at_ms
    _land(known, digest)


def _weigh_change(known: Known, digest: bytes, at_ms: int) -> bool:
    if at_ms <= known.said_ms:
        return False
    is_told = at_ms <= known.said_until_ms and digest == known.said
    known.said, known.said_ms = digest, at_ms
    if is_told:
        return False  # a state told of this very edit before, with a less exact time
    is_current = at_ms >= known.value_ms
    is_same = digest == known.value
    if is_current:
        known.value, known.value_ms = digest, at_ms
        if not is_same:
            _forget_sent(known)
    return not (is_current and is_same)


def _forget_sent(known: Known) -> None:
    """Somebody overwrote what was sent: the same value may have to be sent again."""
    if not known.is_flying:
        known.sent = None


def _land(known: Known, digest: bytes) -> None:
    if digest == known.sent:
        known.is_flying = False
