"""Exchange: one store and its links. It decides who is sent what, and applies what they send.

Still synchronous and deterministic: messages and time come in, messages go out. The asyncio shell
and the simulator drive it in the same way.
"""

import logging
from typing import Final

from crdtstore import limits
from crdtstore.engine.commits import Commit
from crdtstore.errors import (
    IdentityClash,
    PeerNotLinked,
    ProtocolError,
    RepairUnderWay,
    StorageError,
)
from crdtstore.repairing import Answering, Repair
from crdtstore.serving import (
    LinkState,
    begin_snapshot,
    fill_link,
    has_more_to_read,
    is_repair_overdue,
    receive_repair,
    subscribe,
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
    SnapshotBegin,
    SnapshotChunk,
    SnapshotEnd,
    SnapshotRequest,
    Trimmed,
    Want,
)
from crdtstore.sync.repair_messages import Compare, Differences, Documents, Fetch
from crdtstore.sync.session import Session, cost_bytes
from crdtstore.sync.vector import covers, missing_count

_log = logging.getLogger("crdtstore.links")

QUIET_CODES: Final = frozenset({"duplicate-link", "new-incarnation", "closing"})
"""Reasons for closing a link that belong to its normal life."""


class Exchange:
    """A store's links. A link is known by its number, given by ``open_link``.

    ``nonce`` is drawn once for the life of the process.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.links: dict[int, LinkState] = {}
        self.nonce = store.random_bits(63)
        self._interest = Interest()
        self._next_link = 1
        self._snapshot_link: int | None = None
        self._snapshot_heard_ms = 0
        self._unreleased: list[tuple[int, int]] = []
        self._releasing: list[tuple[int, int]] = []

    # --- links --------------------------------------------------------------------------------

    def open_link(self, *, outbound: bool) -> int:
        """Start a link, with our HELLO as its first outgoing message; return its number."""
        replication = self.store.replication
        identity = replication.identity
        hello = Hello(
            space=identity.space,
            name=identity.name,
            origin=identity.origin,
            nonce=self.nonce,
            schema=self.store.schema.digest,
            clock_ms=self.store.now_ms(),
            profiles=replication.profiles_at_rest,
            heads=replication.heads,
            floor=dict(replication.floor),
            names=dict(replication.names),
        )
        session = Session(
            hello,
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
        self._interest.forget_link(number)
        if self._snapshot_link == number:
            self._snapshot_link = None
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
        return any(
            link.session.peer is not None and link.session.peer.origin == origin
            for link in self.links.values()
            if link.session.state == "open"
        )

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
        except (ProtocolError, StorageError) as error:
            self._refuse(number, link, error.code, str(error))

    def _handle(self, number: int, link: LinkState, message: Message, size: int) -> None:
        replication = self.store.replication
        match message:
            case Hello():
                self._greet(number, link, message)
            case Frames(frames):
                self._receive_frames(number, link, frames, size)
            case Gossip(vector, _, names):
                replication.learn_names(names)
                own = replication.identity.origin
                if vector.get(own, 0) > replication.vector.get(own, 0):
                    assert link.session.peer is not None
                    self._renew_incarnation(link.session.peer)
                self._evaluate()
            case Want(after):
                subscribe(link, after, replication)
            case Trimmed():
                self._request_snapshot(number)
            case SnapshotRequest(after):
                begin_snapshot(link, after, replication)
            case SnapshotBegin():
                if number == self._snapshot_link:
                    replication.snapshot_begun(message)
            case SnapshotChunk():
                self._receive_chunk(number, link, message, cost_bytes(message, size))
            case SnapshotEnd():
                self._end_snapshot(number)
            case Compare():
                link.answering.compare(message)
            case Fetch():
                link.answering.fetch(message)
            case Differences() | Documents():
                if held_bytes := receive_repair(link, message, size, self.store.now_ms()):
                    self._unreleased.append((number, held_bytes))
            case Refuse(code, reason):
                link.reason, link.reason_code = f"the peer refused: {reason}", code
                level = logging.DEBUG if code in QUIET_CODES else logging.ERROR
                _log.log(level, "link refused by peer: %s: %s", code, reason)

    def _greet(self, number: int, link: LinkState, peer: Hello) -> None:
        replication = self.store.replication
        identity = replication.identity
        replication.learn_names(peer.names)
        replication.learn_names({peer.origin: peer.name}, at_first_hand=True)
        seen = peer.heads.get(identity.origin)
        if seen is not None:
            if seen[0] > replication.vector.get(identity.origin, 0):
                self._renew_incarnation(peer)
                return
            known = replication.hash_at(identity.origin, seen[0])
            if known is not None and known != seen[1]:
                raise IdentityClash(
                    f"{peer.name!r} knows another history of {identity.name!r} under the same "
                    "identity: the data directory was rolled back or cloned, and written to"
                )
        if not self._keep_one_link(number, link, peer):
            return
        _log.info("linked to %s (origin %016x)", peer.name, peer.origin)
        is_fresh = not any(replication.vector.values())
        if (
            replication.progress is not None
            or not covers(self.store.ledger.vector(), peer.floor)
            or (is_fresh and peer.profiles >= limits.SNAPSHOT_FRESH_PROFILES_MIN)
        ):
            self._request_snapshot(number)
        self._evaluate()

    def _keep_one_link(self, number: int, link: LinkState, peer: Hello) -> bool:
        """Close all but one link to the same peer: the one that the lower origin opened."""
        own = self.store.replication.identity.origin
        for other_number, other in list(self.links.items()):
            is_same_peer = (
                other_number != number
                and other.session.state == "open"
                and other.session.peer is not None
                and other.session.peer.origin == peer.origin
            )
            if not is_same_peer:
                continue
            if link.outbound == other.outbound:
                self._refuse(
                    other_number, other, "duplicate-link", "a newer link replaces this one"
                )
                continue
            keeps_outbound = own < peer.origin
            loser_number, loser = (
                (other_number, other) if link.outbound == keeps_outbound else (number, link)
            )
            self._refuse(loser_number, loser, "duplicate-link", "another link leads here already")
            if loser is link:
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

    def _refuse(self, number: int, link: LinkState, code: str, reason: str) -> None:
        link.refuse(code, reason)
        self.store.replication.counters["links_refused"] += code not in QUIET_CODES
        self._interest.forget_link(number)
        if self._snapshot_link == number:
            self._snapshot_link = None
        level = logging.DEBUG if code in QUIET_CODES else logging.ERROR
        _log.log(level, "link closed: %s: %s", code, reason)

    # --- frames -------------------------------------------------------------------------------

    def _receive_frames(
        self, number: int, link: LinkState, frames: tuple[bytes, ...], size: int
    ) -> None:
        applied = self.store.replication.receive_frames(frames, self.store.now_ms())
        if applied:
            self._unreleased.append((number, size))
        else:
            link.session.release(size)

    # --- snapshots ----------------------------------------------------------------------------

    def _request_snapshot(self, number: int) -> None:
        if self._snapshot_link is not None:
            return
        self._snapshot_link = number
        self._snapshot_heard_ms = self.store.now_ms()
        progress = self.store.replication.progress
        after = "" if progress is None else progress.after
        _log.info("asking for a snapshot%s", f" after {len(after)} bytes of id" if after else "")
        self.links[number].session.send(SnapshotRequest(after))

    def _resume_snapshot(self) -> None:
        if self.store.replication.progress is None:
            return
        for number, link in self.links.items():
            if link.session.state == "open":
                self._request_snapshot(number)
                return

    def _receive_chunk(self, number: int, link: LinkState, chunk: SnapshotChunk, size: int) -> None:
        if number != self._snapshot_link or self.store.replication.progress is None:
            link.session.release(size)
            return
        count = self.store.replication.snapshot_chunk(chunk, self.store.now_ms())
        link.snapshot_profiles += count
        self._snapshot_heard_ms = self.store.now_ms()
        self._unreleased.append((number, size))

    def _end_snapshot(self, number: int) -> None:
        if number != self._snapshot_link or self.store.replication.progress is None:
            return
        self.store.replication.snapshot_ended()
        self._snapshot_link = None
        self._interest.forget_all()
        self._evaluate()

    # --- repairs ------------------------------------------------------------------------------

    def start_repair(self, number: int) -> Repair:
        """Compare documents with a link's peer, and exchange those that differ; one at a time.

        The repair goes on as the link is served; its ``state`` and ``report`` tell how far it is.
        Raises PeerNotLinked or RepairUnderWay.
        """
        link = self.links.get(number)
        if link is None or link.session.state != "open":
            raise PeerNotLinked(str(number))
        if self.store.replication.progress is not None or self._snapshot_link is not None:
            raise RepairUnderWay("a snapshot is being received; repair when it has ended")
        for other in self.links.values():
            if other.repair is not None and other.repair.state == "running":
                raise RepairUnderWay("a repair is running; wait until it has ended")
        link.repair = Repair(self.store.replication.healing, link.session, self.store.now_ms())
        return link.repair

    # --- time and commits ---------------------------------------------------------------------

    def tick(self) -> None:
        """Do what is due by time: gossip, silent links, frames that nobody sends."""
        now_ms = self.store.now_ms()
        replication = self.store.replication
        for number, link in list(self.links.items()):
            session = link.session
            session.gossip(replication.vector, replication.names, now_ms, now_ms)
            if session.state != "closed" and now_ms - session.heard_ms > limits.LINK_IDLE_MS_MAX:
                self._refuse(number, link, "idle", "the peer has been silent for too long")
            waited_ms = now_ms - self._snapshot_heard_ms
            if number == self._snapshot_link and waited_ms > limits.SNAPSHOT_PATIENCE_MS:
                self._refuse(number, link, "idle", "the peer sends no snapshot")
            if is_repair_overdue(link, now_ms):
                self._refuse(number, link, "idle", "the peer does not answer a repair")
        self._evaluate()

    def begin_commit(self) -> Commit | None:
        """Begin a commit of the store; credit for what it holds is released when it is durable."""
        commit = self.store.begin_commit()
        if commit is not None and not commit.makes_room:
            self._releasing, self._unreleased = self._unreleased, []
            for link in self.links.values():
                link.commit_begun()
        return commit

    def finish_commit(self, commit: Commit, error: StorageError | None = None) -> None:
        """Take note of the end of a commit; a failed one closes the links, to start over later."""
        self.store.finish_commit(commit, error)
        releasing, self._releasing = self._releasing, []
        if error is not None:
            self._unreleased = []
            for number, link in list(self.links.items()):
                self._refuse(number, link, error.code, "the replica cannot store frames now")
            return
        for link in self.links.values():
            link.commit_finished()
        for number, size in releasing:
            link_state = self.links.get(number)
            if link_state is not None:
                link_state.session.release(size)

    def missing_frames(self, link: LinkState) -> int:
        """Return how many frames a peer claims to have that this replica lacks."""
        return missing_count(self.store.ledger.vector(), link.session.claimed)

    def _evaluate(self) -> None:
        """Decide anew which neighbour sends what, unless a snapshot will change it all."""
        if self._snapshot_link is None:
            self._resume_snapshot()
        if self.store.replication.progress is not None or self._snapshot_link is not None:
            return
        neighbours = [
            Neighbour(number, link.session.peer.origin, link.session.claimed)
            for number, link in self.links.items()
            if link.session.state == "open" and link.session.peer is not None
        ]
        requests = self._interest.evaluate(
            neighbours,
            self.store.ledger.vector(),
            self.store.replication.identity.origin,
            self.store.now_ms(),
        )
        for number, after in requests.wants.items():
            self.links[number].session.send(Want(after))
        for number, origins in requests.prunes.items():
            self.links[number].session.send(Prune(tuple(origins)))
