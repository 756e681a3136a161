"""The messages of Yjs clients: as y-protocols writes and reads them, and nothing else."""

import json
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crdtstore import limits
from crdtstore.errors import MessageInvalid
from crdtstore.sync.y_protocol import (
    Awareness,
    Denied,
    Message,
    QueryAwareness,
    SyncStep1,
    SyncStep2,
    Update,
    decode,
    encode,
)
from tests.interop.node import NodeChild

NUMBERS = st.integers(0, 2**53 - 1)
STATES = st.dictionaries(st.text(max_size=5), st.integers(-9, 9) | st.text(max_size=5), max_size=3)
CLIENTS = st.lists(
    st.tuples(NUMBERS, NUMBERS, st.none() | STATES.map(json.dumps)),
    max_size=4,
    unique_by=lambda client: client[0],
).map(tuple)
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.binary(max_size=300).map(SyncStep1),
    st.binary(max_size=300).map(SyncStep2),
    st.binary(max_size=300).map(Update),
    CLIENTS.map(Awareness),
    st.just(QueryAwareness()),
    st.text(max_size=9).map(Denied),
)

CHECKS = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
some = settings(max_examples=60, suppress_health_check=CHECKS)


@pytest.fixture(scope="module")
def y_protocols() -> Iterator[NodeChild]:
    with NodeChild("y_protocols.mjs") as child:
        yield child


@given(MESSAGES)
def test_what_is_encoded_is_decoded(message: Message) -> None:
    assert decode(encode(message)) == message


@given(st.binary(max_size=40) | st.tuples(MESSAGES, st.integers(0), st.integers(0, 255)))
def test_other_bytes_are_refused_or_say_the_same(data: bytes | tuple[Message, int, int]) -> None:
    if not isinstance(data, bytes):
        message, place, byte = data
        raw = bytearray(encode(message))
        raw[place % len(raw)] = byte
        data = bytes(raw)
    try:
        decoded = decode(data)
    except MessageInvalid:
        return
    assert decode(encode(decoded)) == decoded


@given(MESSAGES, st.binary(min_size=1, max_size=3))
def test_nothing_may_be_missing_or_left_over(message: Message, more: bytes) -> None:
    data = encode(message)
    for changed in (data[:-1], data + more):
        with pytest.raises(MessageInvalid):
            decode(changed)


@some
@given(step=st.integers(0, 2), content=st.binary(max_size=300))
def test_sync_messages_are_those_of_y_protocols(
    y_protocols: NodeChild, step: int, content: bytes
) -> None:
    message = (SyncStep1, SyncStep2, Update)[step](content)
    assert y_protocols.ask("sync", step, content.hex()) == encode(message).hex()


@some
@given(clients=CLIENTS)
def test_awareness_is_that_of_y_protocols(
    y_protocols: NodeChild, clients: tuple[tuple[int, int, str | None], ...]
) -> None:
    theirs = decode(bytes.fromhex(y_protocols.ask("awareness", clients)))
    assert isinstance(theirs, Awareness)
    assert [_read(client) for client in theirs.clients] == [_read(client) for client in clients]
    heard = y_protocols.ask("heard", encode(Awareness(clients)).hex())
    present = [_read(client) for client in clients if client[2] is not None and client[1] > 0]
    assert sorted(map(tuple, heard), key=str) == sorted(present, key=str)


def _read(client: tuple[int, int, str | None]) -> tuple[int, int, object]:
    return client[0], client[1], None if client[2] is None else json.loads(client[2])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "ends within a number"),
        (b"\x80\x00\x00", "longer than it need be"),
        (b"\x04", "unknown kind"),
        (b"\x00\x03\x00", "unknown step"),
        (b"\x02\x01\x00", "unknown kind"),
        (b"\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "out of range"),
        (b"\x00\x00\xff\xff\xff\xff\xff\xff\xff\x1f", "out of range"),
        (b"\x00\x00\x05abc", "ends within its bytes"),
        (b"\x01\x03\x81\x02\x00", "257 clients"),
        (b"\x01\x08\x01\x05\x01\x04null\x00", "bytes after its end"),
        (b"\x01\x09\x01\x05\x01\x04null", "ends within its bytes"),
        (b"\x01\x05\x01\x05\x01\x01{", "not JSON"),
        (b"\x01\x07\x01\x05\x01\x03NaN", "not JSON"),
        (b"\x01\x05\x01\x05\x01\x01\xff", "not UTF-8"),
        (b"\x01\x09\x02\x05\x01\x011\x05\x01\x011", "twice"),
    ],
)
def test_each_fault_has_its_reason(data: bytes, reason: str) -> None:
    with pytest.raises(MessageInvalid, match=reason):
        decode(data)


def test_sizes_are_bounded() -> None:
    state = '"' + "x" * limits.PRESENCE_STATE_BYTES_MAX + '"'
    with pytest.raises(MessageInvalid, match="4,098 bytes"):
        decode(encode(Awareness(((1, 1, state),))))
    with pytest.raises(MessageInvalid, match="are allowed"):
        decode(encode(Update(bytes(limits.COLLABORATOR_MESSAGE_BYTES_MAX))))
