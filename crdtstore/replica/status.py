"""Status: what a replica says of itself, for people, metrics and health checks."""

from dataclasses import dataclass

from crdtstore.engine.feed import end_cursor
from crdtstore.errors import ReplicaRemoved
from crdtstore.links.exchange import Exchange
from crdtstore.links.serving import LinkState
from crdtstore.replica.loop_delay import LoopDelay, event_loop_name
from crdtstore.replica.peering import Peer
from crdtstore.store import Store
from crdtstore.sync.vector import missing_count


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """One peer: configured ("out", with its url) or one that called ("in").

    ``state`` is connecting, live, snapshot, refused or down. ``lag_frames`` are frames of ours
    that it has not confirmed, ``missing_frames`` those that it has and we lack.
    """

    name: str
    url: str
    origin: str
    direction: str
    state: str
    reason: str
    lag_frames: int
    missing_frames: int
    sent_bytes: int
    received_bytes: int
    clock_skew_ms: int
    snapshot_profiles: int


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """A replica at one moment. ``counters`` only grow; everything else is a level.

    ``write_sessions`` are clients of write streams that are remembered; ``loop_delay_p99_ms`` and
    ``loop_delay_max_ms`` tell how late ``event_loop`` was within the last minute.
    ``frames`` are records in the journal, ``origins_active`` those in vectors and
    ``origins_resting`` those at rest. ``ready`` is false while a first snapshot is missing or
    the disk failed, and ``reason`` says why. ``feed_end`` is the cursor behind the last change.
    """

    name: str
    space: str
    origin: str
    incarnations: int
    uptime_s: float
    ready: bool
    reason: str
    profiles: int
    frames: int
    feed_end: str
    origins_active: int
    origins_resting: int
    journal_bytes: int
    storage_bytes: int
    disk_free_bytes: int
    dirty_documents: int
    cached_bytes: int
    held_bytes: int
    waiting_writers: int
    quarantined: int
    write_sessions: int
    event_loop: str
    loop_delay_p99_ms: float
    loop_delay_max_ms: float
    counters: dict[str, int]
    peers: tuple[PeerStatus, ...]


def replica_status(
    exchange: Exchange,
    peers: list[Peer],
    *,
    uptime_s: float,
    is_closing: bool,
    waiting_writers: int,
    loop_delay: LoopDelay,
) -> ReplicaStatus:
    """Return the status of a replica."""
    reason = _unready_reason(exchange.store, is_closing)
    store = exchange.store
    ledger = store.ledger
    identity = store.replication.identity
    size = store.storage.size()
    p99_ms, max_ms = loop_delay.recent_ms()
    return ReplicaStatus(
        name=identity.name,
        space=identity.space,
        origin=f"{identity.origin:016x}",
        incarnations=identity.incarnations,
        uptime_s=uptime_s,
        ready=not reason,
        reason=reason,
        profiles=store.profile_count,
        frames=ledger.position - max(ledger.first_position - 1, 0),
        feed_end=end_cursor(ledger),
        origins_active=len(ledger.heads),
        origins_resting=len(ledger.resting),
        journal_bytes=ledger.journal_bytes,
        storage_bytes=size.used_bytes,
        disk_free_bytes=size.disk_free_bytes,
        dirty_documents=len(store.documents.dirty),
        cached_bytes=store.documents.cached_bytes,
        held_bytes=store.replication.held_bytes,
        waiting_writers=waiting_writers,
        quarantined=store.replication.quarantine.count,
        write_sessions=len(store.streams),
        event_loop=event_loop_name(),
        loop_delay_p99_ms=p99_ms,
        loop_delay_max_ms=max_ms,
        counters=store.counters,
        peers=peer_statuses(exchange, peers),
    )


def peer_statuses(exchange: Exchange, peers: list[Peer]) -> tuple[PeerStatus, ...]:
    """Return the status of every configured peer, and of every other that called."""
    shown: set[int] = set()
    statuses = []
    for peer in peers:
        number = peer.number
        if number is None and peer.origin:
            number = _link_to(exchange, peer.origin)
        link = exchange.links.get(number) if number is not None else None
        if link is None:
            statuses.append(_absent(peer))
            continue
        assert number is not None
        shown.add(number)
        statuses.append(_present(exchange, link, peer.url))
    for number, link in exchange.links.items():
        if number not in shown:
            statuses.append(_present(exchange, link, ""))
    return tuple(statuses)


def _unready_reason(store: Store, is_closing: bool) -> str:
    """Return why a replica is not ready, "" if it is."""
    if is_closing:
        return "closing"
    if store.failure is not None:
        return f"the disk failed: {store.failure}"
    if store.replication.fence.reason:
        return store.replication.fence.reason
    if store.replication.removal.is_own:
        return str(ReplicaRemoved(store.replication.identity.name))
    if store.replication.progress is not None:
        return "receiving a snapshot"
    if store.returning.is_awaited:
        return "restored from a backup, and waits for a peer"
    return ""


def linked_peer(exchange: Exchange, peers: list[Peer], name: str) -> int | None:
    """Return the number of an open link to a peer, by its name or configured address."""
    for number, link in exchange.links.items():
        known = link.session.peer
        if link.session.state == "open" and known is not None and known.name == name:
            return number
    for peer in peers:
        if peer.url.rstrip("/") != name.rstrip("/"):
            continue
        place = peer.number
        if place is None and peer.origin:
            place = _link_to(exchange, peer.origin)
        found = exchange.links.get(place) if place is not None else None
        if found is not None and found.session.state == "open":
            return place
    return None


def _link_to(exchange: Exchange, origin: int) -> int | None:
    for number, link in exchange.links.items():
        if link.session.peer is not None and link.session.peer.origin == origin:
            return number
    return None


def _absent(peer: Peer) -> PeerStatus:
    origin = f"{peer.origin:016x}" if peer.origin else ""
    return PeerStatus(peer.name, peer.url, origin, "out", peer.state, peer.reason, 0, 0, 0, 0, 0, 0)


def _present(exchange: Exchange, link: LinkState, url: str) -> PeerStatus:
    peer = link.session.peer
    return PeerStatus(
        name=peer.name if peer else "",
        url=url,
        origin=f"{peer.origin:016x}" if peer else "",
        direction="out" if link.outbound else "in",
        state=link.state,
        reason=link.reason,
        lag_frames=link.session.lag_frames(exchange.store.replication.vector) if peer else 0,
        missing_frames=missing_count(exchange.store.ledger.applied, link.session.claimed),
        sent_bytes=link.sent_bytes,
        received_bytes=link.received_bytes,
        clock_skew_ms=link.session.clock_skew_ms,
        snapshot_profiles=link.snapshot_profiles,
    )
