"""The Segment specification's form of events on the wire, as JSON or msgpack.

An envelope is read without looking into its items, so that each of them is judged by itself.
"""

import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from replicas.cdp import limits
from replicas.cdp.errors import BodyInvalid, BodyTooLarge, EventRefused


class Envelope(msgspec.Struct, rename="camel"):
    """A request of several events; ``context`` counts for items that have none."""

    batch: list[msgspec.Raw]
    sent_at: str | None = None
    write_key: str | None = None
    context: dict[str, Any] | None = None


class Item(msgspec.Struct, rename="camel"):
    """One event as it is sent; what is not named here is of no meaning to us."""

    type: str | None = None
    message_id: str | None = None
    user_id: str | int | None = None
    anonymous_id: str | int | None = None
    group_id: str | int | None = None
    previous_id: str | int | None = None
    event: str | None = None
    name: str | None = None
    category: str | None = None
    properties: dict[str, Any] | None = None
    traits: dict[str, Any] | None = None
    context: dict[str, Any] | None = None
    timestamp: str | None = None
    original_timestamp: str | None = None
    sent_at: str | None = None


class _Keyed(msgspec.Struct, rename="camel"):
    write_key: str | None = None


_keyed: Final = msgspec.json.Decoder(_Keyed), msgspec.msgpack.Decoder(_Keyed)
_envelopes: Final = msgspec.json.Decoder(Envelope), msgspec.msgpack.Decoder(Envelope)
_items: Final = msgspec.json.Decoder(Item), msgspec.msgpack.Decoder(Item)
_SCALARS: Final = (str, int, float, bool, type(None))


def unpacked(body: bytes, encoding: str, bytes_max: int) -> bytes:
    """Return a body without its compression; raises BodyInvalid or BodyTooLarge."""
    if encoding in ("", "identity"):
        return body
    if encoding != "gzip":
        raise BodyInvalid(f"content encoding {encoding[:40]!r} is not gzip, and no other is known")
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(body, bytes_max + 1)
    except zlib.error as error:
        raise BodyInvalid(f"the body is not gzip: {error}") from None
    if len(plain) > bytes_max:
        raise BodyTooLarge(f"the body has more than {bytes_max:,} bytes when it is unpacked")
    if not unpacker.eof or unpacker.unused_data:
        raise BodyInvalid("the body is not one whole gzip stream")
    return plain


def read_envelope(body: bytes, *, is_msgpack: bool) -> Envelope:
    """Return a batch of which no item was looked at; raises BodyInvalid."""
    try:
        return _envelopes[is_msgpack].decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BodyInvalid(f"the body is no batch of events: {error}") from None


def read_item(given: bytes, *, is_msgpack: bool) -> Item:
    """Return one event as it was sent; raises EventRefused."""
    try:
        item: Item = _items[is_msgpack].decode(given)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EventRefused("invalid-event", str(error)) from None
    # In JSON nothing can be too deep that does not have so many brackets, and nothing but JSON is
    # in it: looking at every value is for what may have more.
    if is_msgpack or given.count(b"{") + given.count(b"[") > limits.DEPTH_MAX:
        for part in (item.properties, item.traits, item.context):
            check_plain(part)
    return item


def check_plain(value: object) -> None:
    """Check that a value is one that JSON has, and is not too deep; raises EventRefused."""
    level = [value]
    for _ in range(limits.DEPTH_MAX + 1):
        level = [part for each in level for part in _parts_of(each)]
        if not level:
            return
    raise EventRefused("too-deep", f"values are nested in more than {limits.DEPTH_MAX} levels")


def _parts_of(value: object) -> Iterator[object]:
    if type(value) is dict:
        for key in value:
            if type(key) is not str:
                raise EventRefused("invalid-event", f"the key {key!r} of a map is not text")
        yield from value.values()
    elif type(value) is list:
        yield from value
    elif type(value) not in _SCALARS:
        raise EventRefused("invalid-event", f"a {type(value).__name__} is no value of an event")


def milliseconds_of(text: str, field: str) -> int:
    """Return a time in ISO 8601 as milliseconds since 1970; raises EventRefused."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return int(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        detail = f"{field} {text[:40]!r} is no time as 2026-11-21T08:00:00.000Z"
        raise EventRefused("invalid-timestamp", detail) from None


def write_key_in(body: bytes, *, is_msgpack: bool) -> str | None:
    """Return the write key in the body of a single event; raises BodyInvalid."""
    try:
        keyed: _Keyed = _keyed[is_msgpack].decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BodyInvalid(f"the body is no event: {error}") from None
    return keyed.write_key
