"""Serving: what is sent on a link. Frames that the peer wants, a snapshot, a repair's documents.

The journal is the buffer: a link holds no more than one message and the next chunks of a snapshot,
however slow its peer is.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from crdtstore import limits
from crdtstore.engine.ledger import frame_header
from crdtstore.engine.replication import Replication
from crdtstore.repairing import Answering, Durability, Repair
from crdtstore.sync.messages import SnapshotChunk, SnapshotEnd, Trimmed
from crdtstore.sync.session import Session
from crdtstore.sync.vector import Vector


@dataclass(slots=True)
class LinkState:
    """One link as the exchange knows it.

    ``serving_after`` is the profile id up to which a snapshot was sent, None if none is under way;
    ``chunks`` are its next ones, read but not sent. ``answering`` serves the peer's repair, and
    ``repair`` is our own over this link, the last one if it has ended.
    ``reason`` says why the link was closed.
    """

    session: Session
    outbound: bool
    answering: Answering
    repair: Repair | None = None
    serving_after: str | None = None
    chunks: deque[SnapshotChunk] = field(default_factory=deque)
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
        return "snapshot" if self.serving_after is not None else "live"

    @property
    def has_scan(self) -> bool:
        """Whether a repair has something to read now: then more is to be sent soon."""
        if self.session.state != "open":
            return False
        return self.answering.has_scan or (self.repair is not None and self.repair.has_scan)

    @property
    def waits(self) -> list[Durability]:
        """What repairs wait to be durable before they go on."""
        return self.answering.waits + ([] if self.repair is None else self.repair.waits)

    @property
    def needs_commit(self) -> bool:
        """Whether a repair waits for a commit that has yet to begin."""
        return any(durability.needs_commit for durability in self.waits)


def subscribe(link: LinkState, after: Vector, replication: Replication) -> None:
    """Serve a peer the frames of some origins after these sequences, from now on."""
    session = link.session
    for origin, sequence in after.items():
        start = replication.position_before({origin: sequence})
        if start is None:
            session.send(Trimmed())
            continue
        session.position = min(session.position, start) if session.subscriptions else start
        session.subscriptions[origin] = sequence


def begin_snapshot(link: LinkState, after: str, replication: Replication) -> None:
    """Serve a peer all documents after a profile id; frames wait until that is done."""
    link.serving_after = after
    link.chunks.clear()
    link.session.send(replication.snapshot_begin())


def fill_link(link: LinkState, replication: Replication) -> None:
    """Queue documents of a repair, frames or snapshot chunks, as far as the peer's credit goes.

    Raises StorageError.
    """
    session = link.session
    if session.state == "open":
        link.answering.step()
        link.answering.fill()
        if link.repair is not None:
            link.repair.step()
            link.repair.fill()
    while session.may_send:
        if link.serving_after is not None:
            _send_chunk(link, link.serving_after, replication)
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


def _send_chunk(link: LinkState, after: str, replication: Replication) -> None:
    if not link.chunks:
        chunks, has_ended = replication.snapshot_chunks(after)
        if has_ended:
            link.session.send(SnapshotEnd())
            link.serving_after = None
            return
        link.chunks.extend(chunks)
    chunk = link.chunks.popleft()
    link.session.send_chunk(chunk)
    link.serving_after = chunk.last_id
