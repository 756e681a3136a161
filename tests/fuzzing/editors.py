"""Targets of those who edit texts: the messages of Yjs clients, and deltas against a revision."""

import json
import random

from crdtstore.errors import InvalidInput, MessageInvalid
from crdtstore.model.delta import compose, invert, transform
from crdtstore.model.delta_forms import delta_of, operations_of
from crdtstore.server.forms import MalformedBody, parse_json
from crdtstore.sync.y_protocol import (
    Awareness,
    Denied,
    QueryAwareness,
    SyncStep1,
    SyncStep2,
    Update,
    decode,
    encode,
)
from tests.fuzzing.mutation import mutated_bytes
from tests.fuzzing.target import Broken, Target

_TEXT = delta_of([{"insert": "The quick 😀 fox", "attributes": {"bold": True}}, {"insert": "\n"}])


def run_yjs_message(data: bytes) -> None:
    """What is accepted as a message is the same message after it was encoded again."""
    try:
        message = decode(data)
    except MessageInvalid:
        return
    if decode(encode(message)) != message:
        raise Broken("a message does not come back from its own bytes")


def run_delta(data: bytes) -> None:
    """What is accepted as a delta comes back as it is, and keeps the laws beside another one."""
    try:
        delta = delta_of(parse_json(data))
    except (InvalidInput, MalformedBody):
        return
    if delta_of(operations_of(delta)) != delta:
        raise Broken("a delta does not come back from its own operations")
    try:
        changed = compose(_TEXT, delta)
        back = invert(delta, _TEXT)
    except AssertionError:
        return  # it is for a longer text
    if compose(changed, back) != _TEXT:
        raise Broken("a delta and its inverse change something")
    other = delta_of([{"retain": 4}, {"insert": "very "}, {"delete": 3}])
    one_way = compose(delta, transform(delta, other, first_is_first=True))
    other_way = compose(other, transform(other, delta, first_is_first=False))
    if compose(_TEXT, one_way) != compose(_TEXT, other_way):
        raise Broken("two deltas do not meet")


def yjs_messages() -> list[bytes]:
    """One message of each kind."""
    clients = ((5, 1, '{"user":{"name":"Zoë"}}'), (2**32 - 1, 2**40, None))
    messages = (
        SyncStep1(b"\x01\x05\x03"),
        SyncStep2(bytes.fromhex("01010500040104746578740568656c6c6f00")),
        Update(b"\x00\x00"),
        Awareness(clients),
        QueryAwareness(),
        Denied("no"),
    )
    return [encode(message) for message in messages]


def deltas() -> list[bytes]:
    """Deltas with every kind of operation."""
    return [
        json.dumps(operations, ensure_ascii=False).encode()
        for operations in (
            [{"retain": 3, "attributes": {"bold": None, "link": "a"}}, {"delete": 2}],
            [{"insert": "é😀"}, {"insert": {"image": {"url": "a.png"}}}, {"retain": 1}],
            [{"delete": 4}, {"insert": "A"}, {"insert": "b", "attributes": {"bold": True}}],
            [],
        )
    ]


def mutated_delta(data: bytes, chance: random.Random) -> bytes:
    """Change a delta: its numbers and words, or any byte."""
    if chance.random() < 0.5:
        return mutated_bytes(data, chance)
    words = [b"1", b"7", b"18", b"null", b'"x"', b"{}", b"[]", b"true", b'"insert"', b'"retain"']
    place = chance.randrange(len(data) + 1)
    return data[:place] + chance.choice(words) + data[place + chance.randrange(4) :]


YJS_MESSAGE = Target("yjs-message", run_yjs_message, yjs_messages)
DELTA = Target("delta", run_delta, deltas, mutated_delta)
