"""Presence: who is at work on which field, as the Yjs clients say it, for as long as they do.

It is never stored. Each client renews its own entry; an entry carries a clock that only its client
moves. An entry is passed on when it is news, and nobody passes it on twice, so it reaches every
replica over any links. Where it came from, a link or a client's own connection, may also say that
the client is gone, without a newer clock: a link or a client that is lost takes with it what came
that way. A client that is not heard of for long is taken as gone.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from crdtstore import limits
from crdtstore.json_text import is_json
from crdtstore.names import is_name, is_profile_id

Place: TypeAlias = tuple[str, str]
"""A field of a profile: the profile's id, and the field's name."""

Client: TypeAlias = tuple[int, int, str | None]
"""A client's id, the clock of its state, and the state as JSON text; None if it is gone."""


@dataclass(frozen=True, slots=True)
class Presence:
    """A message: what is news of the clients that are at work on a field of a profile."""

    profile_id: str
    field: str
    clients: tuple[Client, ...]

    @property
    def place(self) -> Place:
        """The field at which they are."""
        return self.profile_id, self.field


def presence_fields(message: Presence) -> list[Any]:
    """Return the fields of the message as they are packed."""
    return [message.profile_id, message.field, [part for one in message.clients for part in one]]


def presence_of(profile_id: object, field: object, flat: object) -> Presence:
    """Return the message that packed fields are; raises ValueError."""
    if not is_profile_id(profile_id) or not is_name(field, limits.FIELD_NAME_BYTES_MAX):
        raise ValueError("the place of a presence is no field of a profile")
    assert isinstance(profile_id, str)
    assert isinstance(field, str)
    if type(flat) is not tuple or len(flat) % 3:
        raise ValueError("the clients of a presence are no triples")
    if len(flat) > 3 * limits.PRESENCE_CLIENTS_PER_MESSAGE:
        raise ValueError("a presence has too many clients")
    clients = tuple(zip(flat[::3], flat[1::3], flat[2::3], strict=True))
    for client, clock, state in clients:
        if not all(type(n) is int and 0 <= n < 1 << 53 for n in (client, clock)):
            raise ValueError("a client or its clock is out of range")
        if state is not None and not is_state(state):
            raise ValueError("the state of a client is no JSON text, or too long")
    return Presence(profile_id, field, clients)


def is_state(state: object) -> bool:
    """Say whether this may be the state of a client: a JSON text that is not too long."""
    return (
        type(state) is str
        and len(state.encode()) <= limits.PRESENCE_STATE_BYTES_MAX
        and is_json(state)
    )


@dataclass(slots=True)
class _Entry:
    clock: int
    state: str | None
    via: int
    heard_ms: int


class Presences:
    """The presence of all clients that was heard of, by field.

    ``via`` is a number by which the caller knows a link or a connection. ``changes`` counts what
    was news. What is beyond a bound is left out: presence is a courtesy.
    """

    def __init__(self) -> None:
        self.changes = 0
        self._places: dict[Place, dict[int, _Entry]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def hear(
        self, place: Place, clients: Iterable[Client], via: int, now_ms: int
    ) -> tuple[Client, ...]:
        """Take over what is news of some clients, and return that."""
        entries = self._places.get(place, {})
        news = []
        for client, clock, state in clients:
            known = entries.get(client)
            if known is None:
                is_full = len(entries) >= limits.PRESENCE_CLIENTS_PER_FIELD_MAX
                if state is None or is_full or self._count >= limits.PRESENCE_CLIENTS_MAX:
                    continue
                self._places.setdefault(place, entries)[client] = _Entry(clock, state, via, now_ms)
                self._count += 1
            else:
                is_gone = state is None and known.state is not None
                if clock < known.clock or (
                    clock == known.clock and not (is_gone and via == known.via)
                ):
                    continue
                entries[client] = _Entry(clock, state, via, now_ms)
            news.append((client, clock, state))
        self.changes += bool(news)
        return tuple(news)

    def present(self, place: Place) -> tuple[Client, ...]:
        """Return the clients that are at work on a field."""
        entries = self._places.get(place, {})
        return tuple(
            (client, entry.clock, entry.state)
            for client, entry in entries.items()
            if entry.state is not None
        )

    def via(self, place: Place, client: int) -> int | None:
        """Return where a client that is present was heard of last; None if it is not present."""
        entry = self._places.get(place, {}).get(client)
        return None if entry is None or entry.state is None else entry.via

    def everything(self) -> Iterator[tuple[Place, tuple[Client, ...]]]:
        """Yield the fields at which clients are at work, and who they are."""
        for place in self._places:
            if clients := self.present(place):
                yield place, clients

    def leave(self, via: int, now_ms: int) -> list[tuple[Place, tuple[Client, ...]]]:
        """Take note that a link or a connection is lost; return who is gone with it."""
        return self._end([(p, c) for p, c, entry in self._living() if entry.via == via], now_ms)

    def expire(self, now_ms: int) -> list[tuple[Place, tuple[Client, ...]]]:
        """Return who was not heard of for so long that it counts as gone; forget the long gone."""
        for place, entries in list(self._places.items()):
            for client, entry in list(entries.items()):
                is_old = now_ms - entry.heard_ms >= limits.PRESENCE_SILENT_MS_MAX
                if is_old and entry.state is None:
                    del entries[client]
                    self._count -= 1
            if not entries:
                del self._places[place]
        oldest_ms = now_ms - limits.PRESENCE_SILENT_MS_MAX
        silent = [(p, c) for p, c, entry in self._living() if entry.heard_ms <= oldest_ms]
        return self._end(silent, now_ms)

    def _living(self) -> Iterator[tuple[Place, int, _Entry]]:
        for place, entries in self._places.items():
            for client, entry in entries.items():
                if entry.state is not None:
                    yield place, client, entry

    def _end(
        self, gone: Iterable[tuple[Place, int]], now_ms: int
    ) -> list[tuple[Place, tuple[Client, ...]]]:
        """Take clients as gone; their clocks are remembered, so that no echo brings them back."""
        ended: dict[Place, list[Client]] = {}
        for place, client in gone:
            entry = self._places[place][client]
            entry.state, entry.heard_ms = None, now_ms
            ended.setdefault(place, []).append((client, entry.clock, None))
        self.changes += bool(ended)
        return [(place, tuple(clients)) for place, clients in ended.items()]
