"""Ledger: what was applied, in which order, and from where in the journal it can be served again.

The journal is one sequence of records in local order, which is a causal order. A record is a frame
(magic "CF"), the note of a snapshot chunk ("CS": its timestamp and the ids that it touched), or the
adoption of a snapshot's heads ("CV"). Waypoints, every few hundred records, keep the vector of all
that lies before them, so that the start of any peer's tail is found without an index of frames.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgpack

from crdtstore import limits
from crdtstore.engine.number_maps import pack_numbers, unpack_numbers
from crdtstore.engine.resting import Resting
from crdtstore.errors import FrameCorrupt, StorageCorrupt
from crdtstore.storage.contract import Storage
from crdtstore.sync.frame import (
    HEADER_BYTES,
    MAGIC,
    NO_HASH,
    Frame,
    FrameHeader,
    parse,
    parse_header,
)
from crdtstore.sync.vector import (
    Head,
    Heads,
    Vector,
    join_vectors,
    missing_count,
    vector_of,
)

SNAPSHOT_MAGIC: Final = b"CS"
ADOPTION_MAGIC: Final = b"CV"

NO_HEAD: Final[Head] = (0, NO_HASH)

_SCAN_RECORDS: Final = 4_096
_NOTE_HASH_BYTES: Final = 8

_pack: Callable[[Any], bytes] = msgpack.Packer().pack


def snapshot_note(timestamp: int, profile_ids: list[str]) -> bytes:
    """Return the journal record of a snapshot chunk."""
    return _note(SNAPSHOT_MAGIC + _pack([timestamp, profile_ids]))


def read_snapshot_note(record: bytes) -> tuple[int, list[str]]:
    """Return the timestamp of a snapshot chunk, and the profile ids that it touched."""
    timestamp, profile_ids = msgpack.unpackb(record[2:-_NOTE_HASH_BYTES])
    return timestamp, profile_ids


def adoption_note(heads: Heads) -> bytes:
    """Return the journal record of the adoption of a snapshot's heads."""
    return _note(ADOPTION_MAGIC + pack_numbers(heads))


def read_adoption_note(record: bytes) -> Heads:
    """Return the heads that were adopted."""
    return unpack_numbers(record[2:-_NOTE_HASH_BYTES])


def _note(content: bytes) -> bytes:
    return content + _note_hash(content)


def _note_hash(content: bytes) -> bytes:
    return blake2b(content, digest_size=_NOTE_HASH_BYTES, person=b"crdtstore.note").digest()


def checked_record(position: int, record: bytes, tag: bytes) -> Frame | None:
    """Check a journal record from the disk, and return the frame that it is, None for a note.

    Raises StorageCorrupt.
    """
    if record[:2] in (SNAPSHOT_MAGIC, ADOPTION_MAGIC):
        content, found = record[:-_NOTE_HASH_BYTES], record[-_NOTE_HASH_BYTES:]
        if _note_hash(content) != found:
            raise _damaged(position, "a note does not match its hash")
        return None
    try:
        return parse(record, tag)
    except FrameCorrupt as error:
        raise _damaged(position, str(error)) from error


def _damaged(position: int, reason: str) -> StorageCorrupt:
    return StorageCorrupt(
        f"journal record {position} is damaged ({reason}); restore this replica from a peer: "
        "start it from an empty directory"
    )


class Waypoint(NamedTuple):
    """What lies before (and at) a journal position: bytes ever written, newest time, vector."""

    position: int
    bytes_total: int
    timestamp: int
    vector: Vector

    def pack(self) -> bytes:
        """Return the bytes in which storage keeps a waypoint."""
        return _pack([self.bytes_total, self.timestamp, sorted(self.vector.items())])

    @classmethod
    def unpack(cls, position: int, packed: bytes) -> "Waypoint":
        """Return the waypoint that storage keeps at a position."""
        bytes_total, timestamp, pairs = msgpack.unpackb(packed, use_list=False)
        return cls(position, bytes_total, timestamp, dict(pairs))


class Ledger:
    """Heads applied, vector durable, journal positions, waypoints, and the newest records.

    ``heads`` runs ahead of ``durable`` by what is not committed yet. ``floor`` is the vector that
    a peer must cover to be served from this journal. All three leave out the origins at rest, which
    are in ``resting``. ``applied`` is a live view of all that was applied, those included, and
    ``lately_rested`` those that durably came to rest, until all peers were told. ``position`` is
    the last durable record's.
    """

    def __init__(self, storage: Storage, tag: bytes) -> None:
        self._storage = storage
        self._tag = tag
        self.heads: Heads = {}
        self.durable: Vector = {}
        self.floor: Vector = {}
        self.resting = Resting(storage)
        self.lately_rested: Vector = {}
        self.applied: Mapping[int, int] = _Applied(self)
        self.first_position, self.position = storage.journal_bounds()
        self.bytes_total = 0
        self.bytes_trimmed = 0
        self._waypoints = [
            Waypoint.unpack(position, packed) for position, packed in storage.waypoints()
        ]
        self._recent: deque[tuple[int, bytes]] = deque()
        self._recent_bytes = 0

    @property
    def journal_bytes(self) -> int:
        """Bytes of the records that the journal holds."""
        return self.bytes_total - self.bytes_trimmed

    def vector(self) -> Vector:
        """Return the vector of all that was applied, durable or not, at rest or not."""
        return {origin: head[0] for origin, head in self.resting.items()} | vector_of(self.heads)

    def durable_of_others(self, origin: int) -> Vector:
        """Return the vector of all that is durable of other origins than one."""
        others = {other: head[0] for other, head in self.resting.items()} | self.durable
        others.pop(origin, None)
        return others

    def head(self, origin: int) -> Head:
        """Return the last applied frame of an origin, (0, zeros) if there is none."""
        return self.heads.get(origin) or self.resting.get(origin) or NO_HEAD

    def load_floor(self) -> None:
        """Take over the floor that storage keeps: what was trimmed, what a snapshot stood for."""
        trimmed, adopted = self._storage.meta("trimmed"), self._storage.meta("floor")
        floor = {} if trimmed is None else Waypoint.unpack(0, trimmed).vector
        if adopted is not None:
            floor = join_vectors(floor, unpack_numbers(adopted))
        self.floor = self._active(floor)

    def _active(self, vector: Vector) -> Vector:
        """Return a vector without the origins at rest."""
        return {o: sequence for o, sequence in vector.items() if o not in self.resting}

    # --- appending ----------------------------------------------------------------------------

    def due_waypoint(
        self, timestamp: int, timestamp_min: int, position_wanted: int = 0
    ) -> Waypoint | None:
        """Return the waypoint to be written for the durable records, if one is due.

        It is due after so many records, or after the first if the last one is older than
        ``timestamp_min``, or lies before ``position_wanted``.
        """
        last = self._waypoints[-1] if self._waypoints else Waypoint(0, 0, 0, {})
        records = self.position - last.position
        is_old = last.timestamp < timestamp_min or last.position < position_wanted
        if records < (1 if is_old else limits.WAYPOINT_RECORDS):
            return None
        return Waypoint(self.position, self.bytes_total, timestamp, dict(self.durable))

    def committed(
        self, placed: list[tuple[int, bytes]], reached: Vector, moved: Iterable[int]
    ) -> None:
        """Take note that records are durable, and what they brought each origin to.

        ``moved`` are origins that came to rest, or woke up.
        """
        self.durable.update(reached)
        for origin in moved:
            self.lately_rested.pop(origin, None)
            if origin in self.resting:
                self.durable.pop(origin, None)
                self.lately_rested[origin] = self.resting.sequence(origin)
        for position, record in placed:
            self._recent.append((position, record))
            self._recent_bytes += len(record)
            self.bytes_total += len(record)
            self.position = position
        if placed and not self.first_position:
            self.first_position = placed[0][0]
        while self._recent_bytes > limits.JOURNAL_CACHE_BYTES and len(self._recent) > 1:
            self._recent_bytes -= len(self._recent.popleft()[1])

    def waypoint_committed(self, waypoint: Waypoint) -> None:
        """Take note that a waypoint is durable."""
        self._waypoints.append(waypoint)

    # --- serving ------------------------------------------------------------------------------

    def records_after(self, position: int, bytes_max: int) -> list[tuple[int, bytes]]:
        """Return durable journal records after a position, some bytes of them, at least one.

        Raises StorageCorrupt if one is damaged.
        """
        if position >= self.position:
            return []
        if not self._recent or position + 1 < self._recent[0][0]:
            found = self._read(position, _SCAN_RECORDS, bytes_max)
            return [record for record in found if record[0] <= self.position]
        start = position + 1 - self._recent[0][0]
        records = []
        size = 0
        for index in range(start, len(self._recent)):
            records.append(self._recent[index])
            size += len(records[-1][1])
            if size >= bytes_max:
                break
        return records

    def _read(self, position: int, limit: int, bytes_max: int) -> list[tuple[int, bytes]]:
        records = self._storage.journal(position, limit=limit, bytes_max=bytes_max)
        for at, record in records:
            checked_record(at, record, self._tag)
        return records

    def position_before(self, wanted: Vector) -> int | None:
        """Return a position after which every frame lies that follows ``wanted``.

        ``wanted`` maps some origins to the last sequence that is not needed. None means that the
        journal no longer has them.
        """
        for origin, sequence in wanted.items():
            if max(self.floor.get(origin, 0), self.resting.sequence(origin)) > sequence:
                return None
        if all(self.durable.get(origin, 0) <= sequence for origin, sequence in wanted.items()):
            return self.position
        for waypoint in reversed(self._waypoints):
            if all(
                waypoint.vector.get(origin, 0) <= sequence for origin, sequence in wanted.items()
            ):
                return waypoint.position
        return max(0, self.first_position - 1)

    def bytes_after(self, wanted: Vector) -> int:
        """Estimate the bytes of all frames that follow ``wanted``.

        They are so many, of the mean length of the records from where the journal would be read.
        """
        position = self.position_before(wanted)
        if position is None or position >= self.position:
            return 0
        before = max((w.bytes_total for w in self._waypoints if w.position <= position), default=0)
        mean_bytes = (self.bytes_total - max(before, self.bytes_trimmed)) / (
            self.position - position
        )
        durable = {origin: self.durable.get(origin, 0) for origin in wanted}
        return int(missing_count(wanted, durable) * mean_bytes)

    def hash_at(self, origin: int, sequence: int) -> bytes | None:
        """Return the hash of an origin's frame, None if the journal no longer has it."""
        if self.head(origin)[0] == sequence:
            return self.head(origin)[1]
        for at, header in self._headers_after(self.position_before({origin: sequence})):
            if header.origin == origin and header.sequence == sequence + 1:
                self._read(at - 1, 1, 1)
                return header.previous_hash
        return None

    def timestamp_at(self, origin: int, sequence: int) -> int | None:
        """Return the timestamp of an origin's frame, None if the journal does not have it."""
        for at, header in self._headers_after(self.position_before({origin: sequence - 1})):
            if header.origin == origin and header.sequence == sequence:
                self._read(at - 1, 1, 1)
                return header.timestamp
        return None

    def _headers_after(self, position: int | None) -> Iterator[tuple[int, FrameHeader]]:
        """Yield the headers of durable frames after a position, none after None."""
        while position is not None:
            records = self._storage.journal_headers(
                position, limit=_SCAN_RECORDS, header_bytes=HEADER_BYTES
            )
            if not records:
                return
            for at, header_bytes in records:
                header = self._header_at(at, header_bytes)
                if header:
                    yield at, header
            position = records[-1][0]

    @staticmethod
    def _header_at(position: int, header_bytes: bytes) -> FrameHeader | None:
        try:
            return frame_header(header_bytes)
        except FrameCorrupt as error:
            raise _damaged(position, str(error)) from error

    # --- retention ----------------------------------------------------------------------------

    def next_trim(self, position_max: int) -> Waypoint | None:
        """Return the waypoint up to which the journal can be dropped next, if there is one.

        Never beyond ``position_max``, and never with the last record.
        """
        for waypoint in self._waypoints[:2]:
            if self.first_position <= waypoint.position <= position_max:
                return waypoint if waypoint.position < self.position else None
        return None

    def dropped_by(self, waypoint: Waypoint) -> Vector:
        """Return up to which frame of which origins the journal would lose by a trim."""
        floor = self.floor
        return {
            origin: sequence
            for origin, sequence in waypoint.vector.items()
            if sequence > floor.get(origin, 0) and origin not in self.resting
        }

    def trimmed(self, waypoint: Waypoint) -> None:
        """Take note that all up to a waypoint was dropped from the journal."""
        self.first_position = waypoint.position + 1
        self.bytes_trimmed = waypoint.bytes_total
        self.floor = join_vectors(self.floor, self._active(waypoint.vector))
        self._waypoints = [later for later in self._waypoints if later.position > waypoint.position]
        while self._recent and self._recent[0][0] < self.first_position:
            self._recent_bytes -= len(self._recent.popleft()[1])


class _Applied(Mapping[int, int]):
    """A live view of all that a ledger has applied, so that nothing is copied per frame."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def __getitem__(self, origin: int) -> int:
        sequence = self._ledger.head(origin)[0]
        if not sequence:
            raise KeyError(origin)
        return sequence

    def __iter__(self) -> Iterator[int]:
        yield from self._ledger.heads
        yield from (origin for origin, _ in self._ledger.resting.items())

    def __len__(self) -> int:
        return len(self._ledger.heads) + len(self._ledger.resting)


def frame_header(record: bytes) -> FrameHeader | None:
    """Return the frame header at the start of a journal record, None if it is no frame."""
    if record[:2] != MAGIC:
        return None
    return parse_header(record)
