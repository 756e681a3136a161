"""Presence: who is at work on which field, as the Yjs clients say it, for as long as they do.

It is never stored. Each client renews its own entry; an entry carries a clock that only its client
moves. An entry is passed on when it is news, and nobody passes it on twice, so it reaches every
replica over any links. Where it came from, a link or a client's own connection, may also say that
the client is gone, without a newer clock: a link or a client that is lost takes with it what came
that way. A client that is not heard of for long is taken as gone.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from crdtstore import limits

Place: TypeAlias = tuple[str, str]
"""A field of a profile: the profile's id, and the field's name."""

Presence: TypeAlias = tuple[int, int, str | None]
"""A client's id, the clock of its state, and the state as JSON text; None if it is gone."""


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
        self, place: Place, clients: Iterable[Presence], via: int, now_ms: int
    ) -> tuple[Presence, ...]:
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

    def present(self, place: Place) -> tuple[Presence, ...]:
        """Return the clients that are at work on a field."""
        entries = self._places.get(place, {})
        return tuple(
            (client, entry.clock, entry.state)
            for client, entry in entries.items()
            if entry.state is not None
        )

    def everything(self) -> Iterator[tuple[Place, tuple[Presence, ...]]]:
        """Yield the fields at which clients are at work, and who they are."""
        for place in self._places:
            if clients := self.present(place):
                yield place, clients

    def leave(self, via: int, now_ms: int) -> list[tuple[Place, tuple[Presence, ...]]]:
        """Take note that a link or a connection is lost; return who is gone with it."""
        return self._end(
            [(p, c) for p, c, entry in self._living() if entry.via == via],
            now_ms,
        )

    def expire(self, now_ms: int) -> list[tuple[Place, tuple[Presence, ...]]]:
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
        return self._end([(p, c) for p, c, entry in self._living() if entry.heard_ms <= oldest_ms], now_ms)

    def _living(self) -> Iterator[tuple[Place, int, _Entry]]:
        for place, entries in self._places.items():
            for client, entry in entries.items():
                if entry.state is not None:
                    yield place, client, entry

    def _end(
        self, gone: Iterable[tuple[Place, int]], now_ms: int
    ) -> list[tuple[Place, tuple[Presence, ...]]]:
        """Take clients as gone; their clocks are remembered, so that no echo brings them back."""
        ended: dict[Place, list[Presence]] = {}
        for place, client in gone:
            entry = self._places[place][client]
            entry.state, entry.heard_ms = None, now_ms
            ended.setdefault(place, []).append((client, entry.clock, None))
        self.changes += bool(ended)
        return [(place, tuple(clients)) for place, clients in ended.items()]
