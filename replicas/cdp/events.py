"""Events: what happened, in the one form in which they are kept, read and counted.

The order of the fields is the form of an event in the log: new ones go to the end, with a default.
"""

from typing import Any, Final, TypeAlias

import msgspec

Json: TypeAlias = dict[str, Any]

KINDS: Final = ("identify", "track", "page", "screen", "group", "alias")
"""The kinds of events, as the Segment specification calls them."""


class Event(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One event.

    ``name`` is the event's, the page's or the screen's, else "". ``properties`` are the traits of
    an identify or a group; ``user_id`` and ``anonymous_id`` are "" where there is none.
    ``timestamp_ms`` is when it happened, corrected by how far the sender's clock was off;
    ``write_key`` is the name of the key that it came with.
    """

    kind: str
    message_id: str
    profile_id: str
    name: str = ""
    user_id: str = ""
    anonymous_id: str = ""
    properties: Json = {}
    context: Json = {}
    timestamp_ms: int = 0
    received_at_ms: int = 0
    write_key: str = ""
    group_id: str = ""
    previous_id: str = ""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """An event to be appended: the id of its message, and its bytes; itself, if it is at hand."""

    message_id: str
    packed: bytes
    event: Event | None = None


class Subject(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The beginning of an event: enough to tell whose it is, without decoding the rest."""

    kind: str
    message_id: str
    profile_id: str


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Event)


def pack_event(event: Event) -> bytes:
    """Return an event as bytes; raises ValueError for what has no such form, as a huge integer."""
    try:
        return _encoder.encode(event)
    except (OverflowError, RecursionError, TypeError, UnicodeEncodeError) as error:
        raise ValueError(f"an event cannot be kept: {error}") from None


def unpack_event(packed: bytes) -> Event:
    """Return the event of ``pack_event``; raises ValueError for anything else."""
    return _decoder.decode(packed)
