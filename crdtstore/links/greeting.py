"""Greeting: what a replica says of itself when a link begins, and whom it links with at all."""

from collections.abc import Iterable, Iterator, Mapping

from crdtstore.engine.removal import Removal
from crdtstore.errors import ReplicaRemoved
from crdtstore.links.serving import LinkState
from crdtstore.store import Store
from crdtstore.sync.messages import Hello


def hello_of(store: Store, nonce: int) -> Hello:
    """Return the HELLO of a store as it is now."""
    replication = store.replication
    identity = replication.identity
    resting, resting_digest = replication.resting_summary
    return Hello(
        space=identity.space,
        name=identity.name,
        origin=identity.origin,
        nonce=nonce,
        schema=store.schema.digest,
        clock_ms=store.now_ms(),
        profiles=replication.profiles,
        heads=replication.heads,
        floor=dict(replication.floor),
        names=replication.told_names,
        removed=tuple(replication.removal.names),
        resting=resting,
        resting_digest=resting_digest.to_bytes(16, "big"),
    )


def check_membership(removal: Removal, *names: str) -> None:
    """Check that none of the replicas at the ends of a link was removed; raises ReplicaRemoved."""
    for name in names:
        if name in removal.names:
            raise ReplicaRemoved(name)


def superfluous_links(
    links: Mapping[int, LinkState], number: int, peer: Hello, own_origin: int
) -> Iterator[tuple[int, str]]:
    """Yield the links that go because a link leads to the same peer, each with the reason.

    Of two that were opened from both ends the one stays that the lower origin opened.
    """
    for other_number, other in list(links.items()):
        session = other.session
        is_same_peer = session.peer is not None and session.peer.origin == peer.origin
        if other_number == number or session.state != "open" or not is_same_peer:
            continue
        if links[number].outbound == other.outbound:
            yield other_number, "a newer link replaces this one"
        elif other.outbound == (own_origin < peer.origin):
            yield number, "another link leads here already"
        else:
            yield other_number, "another link leads here already"


def note_returned(store: Store, links: Iterable[LinkState]) -> None:
    """Let a restored store be read once it has all that a peer had when they met."""
    if store.replication.progress is not None:
        return
    applied = store.ledger.applied
    for link in links:
        session = link.session
        if session.state != "open" or session.peer is None or session.awaits_resting:
            continue
        if all(applied.get(origin, 0) >= head[0] for origin, head in session.peer.heads.items()):
            store.returning.returned()
            return


def note_heard(store: Store, link: LinkState) -> None:
    """Take note of what a peer says that it has made durable: we need not keep it for it."""
    session = link.session
    if session.state == "open" and session.peer is not None:
        peer = session.peer
        store.retention.known.heard(peer.name, peer.origin, session.claimed, store.now_ms())
