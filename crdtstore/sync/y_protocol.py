"""The messages of y-protocols, as the npm package y-websocket sends them; strict, and bounded.

A message is a number for its kind and what the kind needs, in the encoding of lib0: numbers are
seven bits a byte, lowest first; bytes and texts have their length before them. What is left over,
written longer than need be, or beyond a bound is refused.

    0 0 bytes      sync step 1: my state vector; send me what I lack
    0 1 bytes      sync step 2: an update with what you lack
    0 2 bytes      an update
    1 bytes        awareness: count, then of each client its id, clock and state, a JSON text
    2 0 text       access is denied, and why
    3              send me the awareness of all

A **state** of "null" means that the client is gone.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

from crdtstore import limits
from crdtstore.errors import MessageInvalid
from crdtstore.json_text import is_json

Client: TypeAlias = tuple[int, int, str | None]
"""The presence of one client: its id, the clock of its state, and the state, None if it is gone."""


@dataclass(frozen=True, slots=True)
class SyncStep1:
    """The sender's state vector: it asks for all that it lacks."""

    state_vector: bytes


@dataclass(frozen=True, slots=True)
class SyncStep2:
    """An update with what the other end lacks: the answer to its step 1."""

    update: bytes


@dataclass(frozen=True, slots=True)
class Update:
    """An update, sent as it was made."""

    update: bytes


@dataclass(frozen=True, slots=True)
class Awareness:
    """The presence of clients: whose, and of what they are aware."""

    clients: tuple[Client, ...]


@dataclass(frozen=True, slots=True)
class QueryAwareness:
    """A question for the presence of all clients."""


@dataclass(frozen=True, slots=True)
class Denied:
    """The server refuses, for this reason."""

    reason: str


Message: TypeAlias = SyncStep1 | SyncStep2 | Update | Awareness | QueryAwareness | Denied


def encode(message: Message) -> bytes:
    """Return the bytes of a message."""
    match message:
        case SyncStep1(state_vector):
            return b"\x00\x00" + _sized(state_vector)
        case SyncStep2(update):
            return b"\x00\x01" + _sized(update)
        case Update(update):
            return b"\x00\x02" + _sized(update)
        case Awareness(clients):
            return b"\x01" + _sized(_awareness_bytes(clients))
        case QueryAwareness():
            return b"\x03"
        case Denied(reason):
            return b"\x02\x00" + _sized(reason.encode())


def decode(data: bytes) -> Message:
    """Return the message that some bytes are; raises MessageInvalid."""
    if len(data) > limits.COLLABORATOR_MESSAGE_BYTES_MAX:
        bytes_max = limits.COLLABORATOR_MESSAGE_BYTES_MAX
        _refuse(f"a message has {len(data):,} bytes; {bytes_max:,} are allowed")
    reader = _Reader(data)
    message = _message_in(reader)
    reader.end()
    return message


def _message_in(reader: "_Reader") -> Message:
    kind = reader.number()
    if kind == 0:
        step = reader.number()
        if step not in (0, 1, 2):
            _refuse(f"a sync message has the unknown step {step}")
        content = reader.sized()
        return (SyncStep1, SyncStep2, Update)[step](content)
    if kind == 1:
        return Awareness(_clients_in(reader.sized()))
    if kind == 2:
        if reader.number() != 0:
            _refuse("a message of access has an unknown kind")
        return Denied(_text(reader.sized()))
    if kind != 3:
        _refuse(f"a message has the unknown kind {kind}")
    return QueryAwareness()


def _clients_in(data: bytes) -> tuple[Client, ...]:
    reader = _Reader(data)
    count = reader.number()
    if count > limits.PRESENCE_CLIENTS_PER_FIELD_MAX:
        _refuse(f"an awareness update has {count:,} clients")
    clients = tuple(
        (reader.number(), reader.number(), state_in(_text(reader.sized()))) for _ in range(count)
    )
    if len({client for client, _, _ in clients}) != count:
        _refuse("an awareness update names a client twice")
    reader.end()
    return clients


def state_in(text: str) -> str | None:
    """Return a client's state, checked; None if it is null. Raises MessageInvalid."""
    size = len(text.encode())
    if size > limits.PRESENCE_STATE_BYTES_MAX:
        _refuse(f"an awareness state has {size:,} bytes")
    if not is_json(text):
        _refuse("an awareness state is not JSON")
    return None if text.strip() == "null" else text


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        _refuse("a text is not UTF-8")


def _awareness_bytes(clients: Iterable[Client]) -> bytes:
    parts = []
    for client, clock, state in clients:
        text = "null" if state is None else state
        parts += [_number_bytes(client), _number_bytes(clock), _sized(text.encode())]
    return _number_bytes(len(parts) // 3) + b"".join(parts)


def _number_bytes(number: int) -> bytes:
    data = bytearray()
    while number > 0x7F:
        data.append(0x80 | number & 0x7F)
        number >>= 7
    data.append(number)
    return bytes(data)


def _sized(data: bytes) -> bytes:
    return _number_bytes(len(data)) + data


def _refuse(reason: str) -> NoReturn:
    raise MessageInvalid(reason)


class _Reader:
    """A place in bytes that somebody else wrote."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def number(self) -> int:
        """Return the next number, up to 2**53 - 1, in its shortest form."""
        number = shift = 0
        while True:
            if self._place == len(self._data):
                _refuse("a message ends within a number")
            byte = self._data[self._place]
            self._place += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
            if shift > 49:
                _refuse("a number is out of range")
        if byte == 0 and shift > 7:
            _refuse("a number is longer than it need be")
        if number >= 1 << 53:
            _refuse("a number is out of range")
        return number

    def sized(self) -> bytes:
        """Return the next bytes, which have their length before them."""
        size = self.number()
        data = self._data[self._place : self._place + size]
        if len(data) != size:
            _refuse("a message ends within its bytes")
        self._place += size
        return data

    def end(self) -> None:
        """Check that nothing is left."""
        if self._place != len(self._data):
            _refuse("a message has bytes after its end")
