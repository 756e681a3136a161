"""Presence over links: what is news of who is at work on which field is told to every neighbour.

It is a courtesy: never stored, left out where a link is busy, and gone with the link it came by.
"""

from collections.abc import Iterable, Mapping

from crdtstore import limits
from crdtstore.links.serving import LinkState
from crdtstore.sync.presence import Client, Place, Presence, Presences
from crdtstore.sync.session import Session


class PresenceLinks:
    """The presence that a replica knows of, and the links over which it hears and tells it.

    Connections of clients have negative numbers, links those of the exchange.
    """

    def __init__(self, links: Mapping[int, LinkState]) -> None:
        self._links = links
        self._presences = Presences()
        self._connections = 0
        self._looked_ms = 0

    @property
    def changes(self) -> int:
        """A number that grows whenever there is news."""
        return self._presences.changes

    def present(self, place: Place) -> tuple[Client, ...]:
        """Return the clients that are at work on a field."""
        return self._presences.present(place)

    def connect(self) -> int:
        """Return a number for the connection of a client."""
        self._connections -= 1
        return self._connections

    def via(self, place: Place, client: int) -> int | None:
        """Return by which link or connection a client is present; None if it is not."""
        return self._presences.via(place, client)

    def announce(
        self, place: Place, clients: Iterable[Client], via: int, now_ms: int
    ) -> tuple[Client, ...]:
        """Take over what is news of what a client, or a peer, says; pass it on, and return it."""
        news = self._presences.hear(place, clients, via, now_ms)
        if news:
            self._tell(place, news, via)
        return news

    def leave(self, via: int, now_ms: int) -> None:
        """Take note that a link or connection is lost, and who is gone with it."""
        for place, gone in self._presences.leave(via, now_ms):
            self._tell(place, gone, via)

    def greet(self, session: Session) -> None:
        """Tell a peer that was just linked who is there."""
        for place, clients in self._presences.everything():
            _send(session, place, clients)

    def tick(self, now_ms: int) -> None:
        """Find out who was not heard of for too long; every replica does so for itself."""
        if now_ms - self._looked_ms >= limits.PRESENCE_LOOK_MS:
            self._looked_ms = now_ms
            self._presences.expire(now_ms)

    def _tell(self, place: Place, clients: tuple[Client, ...], via: int) -> None:
        for number, link in self._links.items():
            if number != via and link.session.state == "open":
                _send(link.session, place, clients)


def _send(session: Session, place: Place, clients: tuple[Client, ...]) -> None:
    for start in range(0, len(clients), limits.PRESENCE_CLIENTS_PER_MESSAGE):
        if session.outgoing_bytes > limits.PRESENCE_QUEUE_BYTES:
            return
        some = clients[start : start + limits.PRESENCE_CLIENTS_PER_MESSAGE]
        session.send(Presence(*place, some))
