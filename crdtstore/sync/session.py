"""Session: one end of one link, without I/O; the same for the end that called and the one called.

Bytes come in by ``receive`` and give the messages that the rest of the replica must act on; what
the peer is to be sent is put in by the other methods and taken out by ``take_outgoing``. Time is
an argument.

Which message may come when is a table. A missing row is a refusal:

    state     may come                                                     leads to
    opening   HELLO                                                        open
    open      FRAMES GOSSIP RESTING WANT PRUNE CREDIT TRIMMED SNAPSHOT_REQUEST     open
              SNAPSHOT_BEGIN SNAPSHOT_CHUNK SNAPSHOT_END
              COMPARE DIFFERENCES FETCH DOCUMENTS PRESENCE
    either    REFUSE                                                       closed
    closed    anything, ignored                                            closed

Flow control: each end may have ``CREDIT_BYTES`` of FRAMES, SNAPSHOT_CHUNK and DOCUMENTS under way
that the other has not made durable (or dropped); the latter two count as a whole frame at least,
for they may hold many small documents. Nothing else is counted; it is bounded by its own form.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Set
from dataclasses import replace
from typing import Final

from crdtstore import limits
from crdtstore.errors import (
    ClockSkew,
    IdentityClash,
    LinkedToSelf,
    MessageInvalid,
    WrongProtocolVersion,
    WrongSpace,
)
from crdtstore.sync.frame import FrameHeader, space_tag
from crdtstore.sync.messages import (
    PROTOCOL_VERSION,
    Credit,
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
    decode,
    encode,
)
from crdtstore.sync.presence import Presence
from crdtstore.sync.repair_messages import Compare, Differences, Documents, Fetch
from crdtstore.sync.vector import Heads, Names, Vector, missing_count, vector_of

ALLOWED: Final[dict[str, tuple[type, ...]]] = {
    "opening": (Hello, Refuse),
    "open": (
        Frames, Gossip, Resting, Want, Prune, Credit, Trimmed, SnapshotRequest, SnapshotBegin,
        SnapshotChunk, SnapshotEnd, Refuse, Compare, Differences, Fetch, Documents, Presence,
    ),
}  # fmt: skip


def cost_bytes(message: Message, size: int) -> int:
    """Return the credit that a message of so many bytes takes, and gives back when released."""
    is_whole = isinstance(message, SnapshotChunk | Documents)
    return max(size, limits.FRAME_BYTES_MAX) if is_whole else size


class Session:
    """The state of one link.

    ``state`` is "opening", "open" or "closed". ``peer`` is the peer's HELLO, ``claimed`` the vector
    that it says it has (of origins at rest here, only what is above), ``subscriptions`` what it
    wants of us (origin to the last sequence sent), ``position`` up to where in our journal this
    link has been served. ``told`` is what the peer was told that we have, of origins that matter.
    ``awaits_resting``: the peer has yet to tell its origins at rest.
    """

    def __init__(self, hello: Hello, now_ms: int, *, clock_skew_ms_max: int) -> None:
        self.state = "opening"
        self.peer: Hello | None = None
        self.claimed: Vector = {}
        self.awaits_resting = False
        self.subscriptions: Vector = {}
        self.position = 0
        self.clock_skew_ms = 0
        self.heard_ms = now_ms
        self.outgoing_bytes = 0
        self._hello = hello
        self._tag = space_tag(hello.space)
        self._clock_skew_ms_max = clock_skew_ms_max
        self._outgoing: deque[bytes] = deque()
        self._credit_bytes = limits.CREDIT_BYTES
        self._owed_bytes = 0
        self._received_bytes = 0
        self._chunks_sent = 0
        self._chunks_received: int | None = None
        self._gossiped_ms = now_ms
        self._resting_count = 0
        self.told = vector_of(hello.heads)
        self._gossiped_names = dict(hello.names)
        self._gossiped_removed = set(hello.removed)
        self._queue(hello)

    # --- incoming -----------------------------------------------------------------------------

    def receive(self, data: bytes, now_ms: int) -> Message | None:
        """Take one message; return it if somebody else has to act on it.

        Raises a ProtocolError, after which the caller sends ``refuse`` and closes the link.
        """
        if self.state == "closed":
            return None
        self.heard_ms = now_ms
        if self.outgoing_bytes > limits.OUTGOING_BYTES_MAX:
            raise MessageInvalid("the peer asks for more than it reads")
        message = decode(data, self._tag)
        if not isinstance(message, ALLOWED[self.state]):
            raise MessageInvalid(f"a {type(message).__name__} came while the link is {self.state}")
        match message:
            case Hello():
                self._open(message, now_ms)
            case SnapshotBegin():
                self._chunks_received = 0
            case SnapshotEnd(chunks):
                self._check_turn(chunks)
                self._chunks_received = None
            case Frames() | SnapshotChunk() | Documents():
                if isinstance(message, SnapshotChunk):
                    self._check_turn(message.number - 1)
                    self._chunks_received = message.number
                self._received_bytes += cost_bytes(message, len(data))
                if self._received_bytes > limits.CREDIT_BYTES + limits.MESSAGE_BYTES_MAX:
                    raise MessageInvalid("the peer sends more than it was given credit for")
            case Gossip(vector, clock_ms):
                self.clock_skew_ms = clock_ms - now_ms
                self.claim(vector)
            case Resting():
                self._take_resting(message)
            case Credit(granted_bytes):
                self._credit_bytes = min(self._credit_bytes + granted_bytes, limits.CREDIT_BYTES)
                return None
            case Prune(origins):
                for origin in origins:
                    self.subscriptions.pop(origin, None)
                return None
            case Refuse():
                self.state = "closed"
        return message

    def _check_turn(self, chunks: int) -> None:
        """A link keeps the order of messages; if one does not, no part may go missing by it."""
        if chunks != self._chunks_received:
            raise MessageInvalid("a part of a snapshot came out of its turn")

    def _open(self, peer: Hello, now_ms: int) -> None:
        mine = self._hello
        if peer.version != PROTOCOL_VERSION:
            raise WrongProtocolVersion(
                f"the peer speaks protocol version {peer.version}, this replica "
                f"{PROTOCOL_VERSION}; upgrade the older one"
            )
        if peer.space != mine.space:
            raise WrongSpace(
                f"the peer serves space {peer.space!r}, this replica {mine.space!r}; "
                "one link carries one space"
            )
        if peer.origin == mine.origin:
            if peer.nonce == mine.nonce:
                raise LinkedToSelf("the replica was linked to itself; correct its list of peers")
            raise IdentityClash(
                f"replica {peer.name!r} runs with the identity of {mine.name!r}: a live clone of "
                "its data directory; stop one of them, and start the other one again"
            )
        self.clock_skew_ms = peer.clock_ms - now_ms
        if abs(self.clock_skew_ms) > self._clock_skew_ms_max:
            side = "ahead of" if self.clock_skew_ms > 0 else "behind"
            raise ClockSkew(
                f"the clock of {peer.name!r} is {abs(self.clock_skew_ms):,} ms {side} that of "
                f"{mine.name!r}; the limit is {self._clock_skew_ms_max:,} ms: correct the clocks"
            )
        self.peer = peer
        self.claimed = vector_of(peer.heads)
        self.awaits_resting = (peer.resting, peer.resting_digest) != (
            mine.resting,
            mine.resting_digest,
        )
        self.state = "open"

    def claim(self, vector: Mapping[int, int]) -> None:
        """Take note that the peer claims to have these frames too.

        Raises MessageInvalid if those are more origins than there can be.
        """
        claimed = self.claimed
        for origin, sequence in vector.items():
            claimed[origin] = max(sequence, claimed.get(origin, 0))
        if len(claimed) > limits.ORIGINS_MAX + limits.RESTING_MAX:
            raise MessageInvalid(f"the peer claims frames of {len(claimed):,} origins")

    def _take_resting(self, message: Resting) -> None:
        self._resting_count += len(message.heads)
        if self._resting_count > limits.RESTING_MAX:
            raise MessageInvalid(f"the peer tells of {self._resting_count:,} origins at rest")
        if message.is_last:
            self._resting_count = 0
            self.awaits_resting = False

    # --- outgoing -----------------------------------------------------------------------------

    def take_outgoing(self) -> list[bytes]:
        """Return the messages to be sent, and forget them."""
        messages = list(self._outgoing)
        self._outgoing.clear()
        self.outgoing_bytes = 0
        return messages

    @property
    def may_send(self) -> bool:
        """Whether frames or a snapshot chunk may be offered: open, with credit, nothing unsent."""
        return (
            self.state == "open"
            and self._credit_bytes > 0
            and self.outgoing_bytes < limits.MESSAGE_FRAMES_BYTES
        )

    def offer_record(self, position: int, header: FrameHeader, raw: bytes) -> bytes | None:
        """Move past a journal record; return the frame if this peer wants it now."""
        self.position = position
        last_sent = self.subscriptions.get(header.origin)
        if last_sent is None or header.sequence != last_sent + 1:
            return None
        self.subscriptions[header.origin] = header.sequence
        return raw

    def send_frames(self, frames: Iterable[bytes]) -> None:
        """Queue frames as one message, and count them against the credit."""
        gathered = tuple(frames)
        if gathered:
            self._credit_bytes -= self._queue(Frames(gathered))

    def send_chunk(self, chunk: SnapshotChunk | Documents) -> int:
        """Queue a snapshot chunk or documents, count it against the credit; return its bytes."""
        if isinstance(chunk, SnapshotChunk):
            self._chunks_sent += 1
            chunk = replace(chunk, number=self._chunks_sent)
        size = self._queue(chunk)
        self._credit_bytes -= cost_bytes(chunk, size)
        return size

    def send_resting(self, heads: Heads, names: Names) -> None:
        """Queue all our origins at rest, in messages of so many; one at least."""
        origins = sorted(heads)
        for start in range(0, len(origins) or 1, limits.RESTING_CHUNK):
            part = origins[start : start + limits.RESTING_CHUNK]
            self.send(
                Resting(
                    {origin: heads[origin] for origin in part},
                    {origin: names[origin] for origin in part if origin in names},
                    start + limits.RESTING_CHUNK >= len(origins),
                )
            )

    def send(self, message: Message) -> int:
        """Queue any other message; return its bytes."""
        if isinstance(message, SnapshotBegin):
            self._chunks_sent = 0
        elif isinstance(message, SnapshotEnd):
            message = SnapshotEnd(self._chunks_sent)
        return 0 if self.state == "closed" else self._queue(message)

    def refuse(self, code: str, reason: str) -> None:
        """Queue the reason for which this end closes the link, and close it."""
        if self.state != "closed":
            self._queue(Refuse(code, reason))
            self.state = "closed"

    def release(self, received_bytes: int) -> None:
        """Give back credit for bytes that are durable, held or dropped: no longer the link's."""
        self._owed_bytes += received_bytes
        if self._owed_bytes >= limits.CREDIT_BYTES // 4:
            self.flush_credit()

    def flush_credit(self) -> None:
        """Send the credit that is owed, however little."""
        if self._owed_bytes and self.state == "open":
            self._queue(Credit(self._owed_bytes))
            self._received_bytes -= self._owed_bytes
            self._owed_bytes = 0

    def is_due(self, now_ms: int) -> bool:
        """Say whether ``gossip`` is due, as it is about every second."""
        return self.state == "open" and now_ms - self._gossiped_ms >= limits.GOSSIP_INTERVAL_MS

    def gossip(
        self,
        vector: Mapping[int, int],
        names: Names,
        removed: Set[str],
        clock_ms: int,
        now_ms: int,
    ) -> None:
        """Queue what is new of our durable vector, names and removed names; see ``is_due``."""
        changed = {o: number for o, number in vector.items() if self.told.get(o) != number}
        self.told.update(changed)
        news = {
            origin: name
            for origin, name in names.items()
            if self._gossiped_names.get(origin) != name
        }
        removed_news = removed - self._gossiped_removed
        self._gossiped_names = dict(names)
        self._gossiped_removed |= removed_news
        self._gossiped_ms = now_ms
        self.flush_credit()
        self._queue(Gossip(changed, clock_ms, news, tuple(sorted(removed_news))))

    def lag_frames(self, vector: Mapping[int, int]) -> int:
        """Return how many of our frames the peer has not confirmed."""
        return missing_count(self.claimed, vector)

    def _queue(self, message: Message) -> int:
        data = encode(message, self._tag)
        self._outgoing.append(data)
        self.outgoing_bytes += len(data)
        return len(data)
