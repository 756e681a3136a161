"""Exchange: one store and its links. It decides who is sent what, and applies what they send.

Still synchronous and deterministic: messages and time come in, messages go out. The asyncio shell
and the simulator drive it in the same way.
"""

import logging
from collections.abc import Iterable
from typing import Final

from crdtstore import limits
from crdtstore.engine.commits import Commit
from crdtstore.engine.settlement import Settlement
from crdtstore.errors import (
    IdentityClash,
    ProtocolError,
    RepairUnderWay,
    ReplicaRemoved,
    StorageError,
)
from crdtstore.links.credit import Credit
from crdtstore.links.fetching import SnapshotFetch
from crdtstore.links.greeting import (
    check_membership,
    hello_of,
    note_heard,
    note_returned,
    superfluous_links,
)
from crdtstore.links.presence import PresenceLinks
from crdtstore.links.repairing import Answering, Repair
from crdtstore.links.retiring import hear_resting, is_rolled_back, rest_origins, tell_rested
from crdtstore.links.serving import (
    LinkState,
    begin_snapshot,
    fill_link,
    has_more_to_read,
    is_repair_overdue,
    receive_repair,
    start_repair,
    subscribe,
    tell_resting,
)
from crdtstore.store import Store
from crdtstore.sync.interest import Interest, Neighbour
from crdtstore.sync.messages import (
    Frames,
    Gossip,
    Hello,
    Message,
    Prune,
    Refuse,
    Resting,
    SnapshotBegin,
    SnapshotChunk,
    SnapshotEnd,
    SnapshotRequest,
    Trimmed,
    Want,
)
from crdtstore.sync.presence import Presence
from crdtstore.sync.repair_messages import Compare, Differences, Documents, Fetch
from crdtstore.sync.session import Session, cost_bytes
from crdtstore.sync.vector import covers

_log = logging.getLogger("crdtstore.links")

QUIET_CODES: Final = frozenset({"duplicate-link", "new-incarnation", "closing"})
"""Reasons for closing a link that belong to its normal life."""


class Exchange:
    """A store's links. A link is known by its number, given by ``open_link``.

    ``nonce`` is drawn once for the life of the process, ``credit`` is what links are owed.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.links: dict[int, LinkState] = {}
        self.presence = PresenceLinks(self.links)
        self.nonce = store.random_bits(63)
        self._interest = Interest()
        self._next_link = 1
        self._fetch = SnapshotFetch(store)
        self._rested_ms = 0
        for name in store.replication.removal.names:
            store.retention.known.forget(name)
        self.credit = Credit()

    # --- links --------------------------------------------------------------------------------

    def open_link(self, *, outbound: bool) -> int:
        """Start a link, with our HELLO as its first outgoing message; return its number."""
        replication = self.store.replication
        session = Session(
            hello_of(self.store, self.nonce),
            self.store.now_ms(),
            clock_skew_ms_max=self.store.settings.clock_skew_ms_max,
        )
        number = self._next_link
        self._next_link += 1
        self.links[number] = LinkState(session, outbound, Answering(replication.healing, session))
        return number

    def close_link(self, number: int) -> None:
        """Take note that a link's connection is gone."""
        link = self.links.pop(number, None)
        if link is None:
            return
        link.session.state = "closed"
        link.end_repair(link.reason or "the link was lost")
        self.presence.leave(number, self.store.now_ms())
        self._interest.forget_link(number)
        self._fetch.forget(number)
        self._evaluate()

    def take_outgoing(self, number: int) -> list[bytes]:
        """Return what is to be sent on a link now, filled up with frames or snapshot chunks."""
        link = self.links.get(number)
        if link is None:
            return []
        try:
            fill_link(link, self.store.replication)
        except StorageError as error:
            self._refuse(number, link, error.code, str(error))
        messages = link.session.take_outgoing()
        link.sent_bytes += sum(map(len, messages))
        return messages

    def has_more(self, number: int) -> bool:
        """Say whether ``take_outgoing`` should be called again without waiting for anything."""
        link = self.links.get(number)
        return link is not None and has_more_to_read(link, self.store.replication)

    def is_linked_to(self, origin: int) -> bool:
        """Say whether an open link leads to a replica's origin."""
        peers = (link.session.peer for link in self.links.values() if link.session.state == "open")
        return any(peer is not None and peer.origin == origin for peer in peers)

    # --- incoming -----------------------------------------------------------------------------

    def receive(self, number: int, data: bytes) -> None:
        """Act on one message of a link. What cannot be accepted closes it, with the reason."""
        link = self.links.get(number)
        if link is None:
            return
        link.received_bytes += len(data)
        try:
            message = link.session.receive(data, self.store.now_ms())
            if message is not None:
                self._handle(number, link, message, len(data))
        except IdentityClash as clash:
            self._raise_fence(clash)
        except (ProtocolError, StorageError) as error:
            self._refuse(number, link, error.code, str(error))
        finally:
            self.store.erasures.settle()

    def _handle(self, number: int, link: LinkState, message: Message, size: int) -> None:
        replication = self.store.replication
        match message:
            case Hello():
                self.remove_replicas(message.removed)
                if link.session.state == "open":
                    check_membership(replication.removal, replication.identity.name, message.name)
                    replication.origins.learn(message.names)
                    self._greet(number, link, message)
                    note_heard(self.store, link)
                    if link.session.awaits_resting and link.session.state == "open":
                        tell_resting(link, replication, replication.resting)
            case Frames(frames):
                applied = replication.receive_frames(frames, self.store.now_ms())
                self._owe(number, link, size, is_held=applied > 0)
            case Gossip(vector, _, names, removed):
                replication.origins.learn(names)
                self.remove_replicas(removed)
                own = replication.identity.origin
                if vector.get(own, 0) > replication.vector.get(own, 0):
                    assert link.session.peer is not None
                    self._renew_incarnation(link.session.peer)
                note_heard(self.store, link)
                self._evaluate()
            case Resting():
                self._hear_resting(number, link, message)
            case Want(after):
                subscribe(link, after, replication)
            case Trimmed():
                self._fetch.ask(number, link)
            case SnapshotRequest(after):
                begin_snapshot(link, after, replication)
            case SnapshotBegin():
                self._fetch.begin(number, message)
            case SnapshotChunk():
                is_held = self._fetch.receive(number, link, message)
                self._owe(number, link, cost_bytes(message, size), is_held=is_held)
            case SnapshotEnd():
                if self._fetch.end(number):
                    self._interest.forget_all()
                    self._evaluate()
            case Compare():
                link.answering.compare(message)
            case Fetch():
                link.answering.fetch(message)
            case Differences() | Documents():
                if held_bytes := receive_repair(link, message, size, self.store.now_ms()):
                    self.credit.owe(number, held_bytes)
            case Presence():
                self.presence.announce(message.place, message.clients, number, self.store.now_ms())
            case Refuse(code, reason):
                link.reason, link.reason_code = f"the peer refused: {reason}", code
                level = logging.DEBUG if code in QUIET_CODES else logging.ERROR
                _log.log(level, "link refused by peer: %s: %s", code, reason)

    def _greet(self, number: int, link: LinkState, peer: Hello) -> None:
        replication = self.store.replication
        replication.learn_names({peer.origin: peer.name}, at_first_hand=True)
        if replication.fence.reason:
            raise IdentityClash(replication.fence.reason)
        if is_rolled_back(replication, peer.name, peer.heads):
            self._renew_incarnation(peer)
            return
        if not self._keep_one_link(number, peer):
            return
        _log.info("linked to %s (origin %016x)", peer.name, peer.origin)
        self.presence.greet(link.session)
        is_fresh = not any(replication.vector.values())
        if (
            replication.progress is not None
            or not covers(self.store.ledger.vector(), peer.floor)
            or (is_fresh and peer.profiles >= limits.SNAPSHOT_FRESH_PROFILES_MIN)
        ):
            self._fetch.ask(number, link)
        self._evaluate()

    def _hear_resting(self, number: int, link: LinkState, message: Resting) -> None:
        replication, peer = self.store.replication, link.session.peer
        assert peer is not None
        if is_rolled_back(replication, peer.name, message.heads):
            self._renew_incarnation(peer)
            return
        self._fetch.hear_resting(number, message.heads)
        if hear_resting(self.store, link, message):
            self._fetch.ask(number, link)
        self._evaluate()

    def _keep_one_link(self, number: int, peer: Hello) -> bool:
        """Close all but one link to the same peer; return whether this one is left."""
        own = self.store.replication.identity.origin
        for loser, reason in superfluous_links(self.links, number, peer, own):
            self._refuse(loser, self.links[loser], "duplicate-link", reason)
            if loser == number:
                return False
        return True

    def _renew_incarnation(self, peer: Hello) -> None:
        identity = self.store.replication.renew_incarnation(self.store.random_bits)
        reason = (
            f"replica {identity.name!r} was rolled back: {peer.name!r} knows frames of it that it "
            f"does not have; it goes on as incarnation {identity.incarnations}"
        )
        _log.warning("%s", reason)
        for number, link in list(self.links.items()):
            self._refuse(number, link, "new-incarnation", reason)

    def _raise_fence(self, clash: IdentityClash) -> None:
        """Take no more writes and no links: what is written here may be in no other's history."""
        self.store.replication.fence.put_up(str(clash))
        _log.critical("the replica takes no more writes: %s", clash)
        for number, link in list(self.links.items()):
            self._refuse(number, link, clash.code, str(clash))

    def _refuse(self, number: int, link: LinkState, code: str, reason: str) -> None:
        link.refuse(code, reason)
        self.store.replication.counters["links_refused"] += code not in QUIET_CODES
        self._interest.forget_link(number)
        self._fetch.forget(number)
        level = logging.DEBUG if code in QUIET_CODES else logging.ERROR
        _log.log(level, "link closed: %s: %s", code, reason)

    # --- membership ---------------------------------------------------------------------------

    def remove_replicas(self, names: Iterable[str]) -> None:
        """Take over that replicas were removed: refuse their links, and keep nothing for them."""
        removal = self.store.replication.removal
        own_name = self.store.replication.identity.name
        news = removal.learn(names)
        for name in news:
            self.store.retention.known.forget(name)
            _log.error("%s", ReplicaRemoved(name))
        for number, link in list(self.links.items()):
            peer = link.session.peer
            if peer is not None and link.session.state == "open" and news & {own_name, peer.name}:
                error = ReplicaRemoved(own_name if removal.is_own else peer.name)
                self._refuse(number, link, error.code, str(error))

    # --- frames -------------------------------------------------------------------------------

    def _owe(self, number: int, link: LinkState, size: int, *, is_held: bool) -> None:
        """Give credit back when what it brought is durable, at once if nothing of it is held."""
        if is_held:
            self.credit.owe(number, size)
        else:
            link.session.release(size)

    # --- repairs ------------------------------------------------------------------------------

    def start_repair(self, number: int, *, is_quick: bool = False) -> Repair:
        """Compare documents with a link's peer, and exchange those that differ; one at a time.

        One that is quick reads none where the digests that both keep are equal. The repair goes on
        as the link is served; ``state`` and ``report`` tell how far. Raises PeerNotLinked or
        RepairUnderWay.
        """
        if self._fetch.is_under_way:
            raise RepairUnderWay("a snapshot is being received; repair when it has ended")
        store = self.store
        return start_repair(
            self.links, number, store.replication, store.now_ms(), is_quick=is_quick
        )

    # --- time and commits ---------------------------------------------------------------------

    def tick(self) -> None:
        """Do what is due by time: gossip, silent links, frames that nobody sends."""
        now_ms = self.store.now_ms()
        replication = self.store.replication
        for number, link in list(self.links.items()):
            session = link.session
            if session.is_due(now_ms):
                names, removed = replication.told_names, replication.removal.names
                session.gossip(replication.vector, names, removed, now_ms, now_ms)
                tell_rested(self.store, link)
            if session.state != "closed" and now_ms - session.heard_ms > limits.LINK_IDLE_MS_MAX:
                self._refuse(number, link, "idle", "the peer has been silent for too long")
            if self._fetch.is_overdue(number, now_ms):
                self._refuse(number, link, "idle", "the peer sends no snapshot")
            if is_repair_overdue(link, now_ms):
                self._refuse(number, link, "idle", "the peer does not answer a repair")
        self.presence.tick(now_ms)
        if now_ms - self._rested_ms >= limits.RESTING_LOOK_MS:
            self._rested_ms = now_ms
            rest_origins(self.store, list(self.links.values()))
        if self.store.returning.is_awaited:
            note_returned(self.store, self.links.values())
        self._evaluate()

    def begin_commit(self, *, apart: bool = False) -> Commit | None:
        """Begin a commit of the store; credit for what it holds is given when it is durable."""
        brings_to_rest = self.store.commits.settling is None
        commit = self.store.begin_commit(apart=apart)
        if commit is not None and not commit.makes_room:
            self.credit.commit_begun()
            for link in self.links.values() if brings_to_rest else ():
                link.commit_begun()
        return commit

    def finish_commit(self, commit: Commit, error: StorageError | None = None) -> None:
        """Take note of the end of a commit; a failed one closes the links, to start over later."""
        self.store.finish_commit(commit, error)
        self._tell_links(error)
        self.credit.commit_finished(self.links)

    def finish_settlement(self, settlement: Settlement, error: StorageError | None = None) -> None:
        """Take note of the end of a settlement apart; a failed one closes the links, too."""
        self.store.finish_commit(settlement, error)
        self._tell_links(error)

    def _tell_links(self, error: StorageError | None) -> None:
        """Tell those who wait for documents at rest that all rest, or close their links."""
        if error is not None:
            self.credit.forget()
            for number, link in list(self.links.items()):
                self._refuse(number, link, error.code, "the replica cannot store frames now")
        elif self.store.commits.under_way is None and self.store.commits.settling is None:
            for link in self.links.values():
                link.commit_finished()

    def _evaluate(self) -> None:
        """Decide anew which neighbour sends what, unless a snapshot will change it all."""
        self._fetch.resume(self.links)
        if self._fetch.is_under_way:
            return
        neighbours = [
            Neighbour(number, link.session.peer.origin, link.session.claimed)
            for number, link in self.links.items()
            if link.session.state == "open"
            and link.session.peer is not None
            and not link.session.awaits_resting
        ]
        requests = self._interest.evaluate(
            neighbours,
            self.store.ledger.applied,
            self.store.replication.identity.origin,
            self.store.now_ms(),
        )
        for number, after in requests.wants.items():
            self.links[number].session.send(Want(after))
        for number, origins in requests.prunes.items():
            self.links[number].session.send(Prune(tuple(origins)))
