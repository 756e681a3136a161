"""Serving: what is sent on a link. Frames that the peer wants, a snapshot, a repair's documents.

The journal is the buffer: a link holds no more than one message and the next chunks of a snapshot,
however slow its peer is.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from crdtstore import limits
from crdtstore.engine.ledger import frame_header
from crdtstore.engine.replication import Replication
from crdtstore.errors import MessageInvalid, PeerNotLinked, RepairUnderWay
from crdtstore.links.delivering import Durability
from crdtstore.links.giving import GivenSnapshot
from crdtstore.links.repairing import Answering, Repair
from crdtstore.sync.messages import SnapshotEnd, Trimmed
from crdtstore.sync.repair_messages import PUSHED, Differences, Documents
from crdtstore.sync.session import Session, cost_bytes
from crdtstore.sync.vector import Heads, Vector


@dataclass(slots=True)
class LinkState:
    """One link as the exchange knows it.

    ``given`` is the snapshot on its way to the peer, None if none is. ``answering`` serves the
    peer's repair, and ``repair`` is our own over this link, the last one if it has ended.
    ``reason`` says why the link was closed.
    """

    session: Session
    outbound: bool
    answering: Answering
    repair: Repair | None = None
    given: GivenSnapshot | None = None
    reason: str = ""
    reason_code: str = ""
    sent_bytes: int = 0
    received_bytes: int = 0
    snapshot_profiles: int = 0

    @property
    def state(self) -> str:
        """One of connecting, live, snapshot, down."""
        if self.session.state == "opening":
            return "connecting"
        if self.session.state == "closed":
            return "down"
        return "snapshot" if self.given is not None else "live"

    @property
    def has_scan(self) -> bool:
        """Whether a repair has something to read now: then more is to be sent soon."""
        if self.session.state != "open":
            return False
        return self.answering.has_scan or (self.repair is not None and self.repair.has_scan)

    @property
    def waits(self) -> list[Durability]:
        """What a repair or a given snapshot waits to be durable before it goes on."""
        waits = self.answering.waits + ([] if self.repair is None else self.repair.waits)
        return waits + ([] if self.given is None else self.given.waits)

    def commit_begun(self) -> None:
        """Take note that a commit has begun."""
        for durability in self.waits:
            durability.commit_begun()

    def commit_finished(self) -> None:
        """Take note that the commit under way is durable."""
        for durability in self.waits:
            durability.commit_finished()

    def refuse(self, code: str, reason: str) -> None:
        """Close the link for a reason that its peer is told."""
        self.reason, self.reason_code = reason, code
        self.session.refuse(code, reason)
        self.end_repair(reason)

    def end_repair(self, reason: str) -> None:
        """Take note that our repair over this link cannot go on."""
        if self.repair is not None:
            self.repair.fail(reason)

    @property
    def needs_commit(self) -> bool:
        """Whether something waits for a commit that has yet to begin."""
        return any(durability.needs_commit for durability in self.waits)


def subscribe(link: LinkState, after: Vector, replication: Replication) -> None:
    """Serve a peer the frames of some origins after these sequences, from now on.

    If the journal does not go back so far, or a snapshot is shorter, it is told to ask for that.
    Raises MessageInvalid if it wants more origins than there can be.
    """
    session = link.session
    if len(session.subscriptions.keys() | after.keys()) > limits.ORIGINS_MAX:
        raise MessageInvalid(
            f"the peer wants frames of more than the {limits.ORIGINS_MAX:,} origins of a space"
        )
    is_trimmed = False
    for origin, sequence in after.items():
        start = replication.position_before({origin: sequence})
        if start is None:
            is_trimmed = True
            continue
        session.position = min(session.position, start) if session.subscriptions else start
        session.subscriptions[origin] = sequence
    if is_trimmed:
        session.send(Trimmed())


def begin_snapshot(link: LinkState, after: str, replication: Replication) -> None:
    """Serve a peer all documents after a profile id; frames wait until that is done.

    Raises MessageInvalid if it is being served one: each takes a look at all dirty documents.
    """
    if link.given is not None:
        raise MessageInvalid("the peer asks for a snapshot before the last one has ended")
    resting, begin = replication.snapshot_begin()
    link.given = GivenSnapshot(replication, after)
    if resting:
        tell_resting(link, replication, resting)
    link.session.send(begin)


def tell_resting(link: LinkState, replication: Replication, resting: Heads) -> None:
    """Tell a peer our origins at rest."""
    link.session.send_resting(resting, replication.origins.named(resting.keys()))


def has_more_to_read(link: LinkState, replication: Replication) -> bool:
    """Say whether there may be more to be sent on a link now than was."""
    session = link.session
    is_behind = bool(session.subscriptions) and session.position < replication.position
    if link.has_scan:
        return True
    if link.given is not None:
        return session.may_send and link.given.is_ready
    return session.may_send and is_behind


def fill_link(link: LinkState, replication: Replication) -> None:
    """Queue a repair's documents, frames or a snapshot chunk, as far as the peer's credit goes.

    It reads a bounded part of documents and journal, even if nothing there is for this peer.
    Raises StorageError.
    """
    session = link.session
    if session.state == "open":
        link.answering.step()
        link.answering.fill()
        if link.repair is not None:
            link.repair.step()
            link.repair.fill()
    for _ in range(limits.JOURNAL_READS_PER_FILL):
        if not session.may_send:
            break
        if link.given is not None:
            _send_chunk(link, link.given)
            break  # a chunk takes as long to read as many frames
        elif session.subscriptions and session.position < replication.position:
            records = replication.records_after(session.position, limits.MESSAGE_FRAMES_BYTES)
            session.send_frames(_wanted_frames(session, records))
        else:
            break


def _wanted_frames(session: Session, records: list[tuple[int, bytes]]) -> Iterator[bytes]:
    for position, record in records:
        header = frame_header(record)
        if header is None:
            session.position = position
            continue
        raw = session.offer_record(position, header, record)
        if raw is not None:
            yield raw


def _send_chunk(link: LinkState, given: GivenSnapshot) -> None:
    """Send the next chunk of a snapshot, or its end, unless it has to wait."""
    chunk = given.next_chunk()
    if chunk is not None:
        link.session.send_chunk(chunk)
    elif given.has_ended:
        link.session.send(SnapshotEnd())
        link.given = None


def receive_repair(
    link: LinkState, message: Differences | Documents, size: int, now_ms: int
) -> int:
    """Act on an answer to our repair, or on what a peer's repair pushes.

    Return the credit to be given back when it is durable; if nothing of it has to be, it is given
    back at once. Raises a ProtocolError.
    """
    is_pushed = isinstance(message, Documents) and message.role == PUSHED
    repair = link.repair
    if not is_pushed:
        if repair is None or repair.state != "running":
            raise MessageInvalid("an answer came to a repair that does not run")
        repair.heard_ms = now_ms
        repair.received_bytes += size
        if isinstance(message, Differences):
            repair.take_differences(message)
            return 0
    assert isinstance(message, Documents)
    taker = link.answering if is_pushed or repair is None else repair
    count = taker.take_documents(message, now_ms)
    cost = cost_bytes(message, size)
    if count:
        return cost
    link.session.release(cost)
    return 0


def is_repair_overdue(link: LinkState, now_ms: int) -> bool:
    """Say whether a peer has left our repair without an answer for too long."""
    repair = link.repair
    if repair is None or repair.state != "running":
        return False
    if repair.has_scan or link.waits:
        repair.heard_ms = now_ms
    return now_ms - repair.heard_ms > limits.REPAIR_PATIENCE_MS


def start_repair(
    links: dict[int, LinkState],
    number: int,
    replication: Replication,
    now_ms: int,
    *,
    is_quick: bool,
) -> Repair:
    """Begin a repair over a link; raises PeerNotLinked, or RepairUnderWay if one runs."""
    link = links.get(number)
    if link is None or link.session.state != "open":
        raise PeerNotLinked(str(number))
    for other in links.values():
        if other.repair is not None and other.repair.state == "running":
            raise RepairUnderWay("a repair is running; wait until it has ended")
    link.repair = Repair(replication.healing, link.session, now_ms, is_quick=is_quick)
    return link.repair
