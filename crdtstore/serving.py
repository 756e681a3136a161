"""Serving: what is sent on a link. Frames from the journal that the peer wants, or a snapshot.

The journal is the buffer: a link holds no more than one message and the next chunks of a snapshot,
however slow its peer is.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from crdtstore import limits
from crdtstore.engine.ledger import frame_header
from crdtstore.engine.replication import Replication
from crdtstore.sync.messages import SnapshotChunk, SnapshotEnd, Trimmed
from crdtstore.sync.session import Session
from crdtstore.sync.vector import Vector


@dataclass(slots=True)
class LinkState:
    """One link as the exchange knows it.

    ``serving_after`` is the profile id up to which a snapshot was sent, None if none is under way;
    ``chunks`` are its next ones, read but not sent.
    ``reason`` says why the link was closed.
    """

    session: Session
    outbound: bool
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


def has_more_to_read(link: LinkState, replication: Replication) -> bool:
    """Say whether the journal may hold frames for a link that could be sent now."""
    session = link.session
    is_behind = bool(session.subscriptions) and session.position < replication.position
    return session.may_send and (link.serving_after is not None or is_behind)


def fill_link(link: LinkState, replication: Replication) -> None:
    """Queue frames or snapshot chunks, as far as the peer's credit goes; raises StorageError.

    It reads a bounded part of the journal, even if nothing there is for this peer.
    """
    session = link.session
    for _ in range(limits.JOURNAL_READS_PER_FILL):
        if not session.may_send:
            break
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
