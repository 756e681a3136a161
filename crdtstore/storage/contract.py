"""What the store asks of a storage: documents, a journal, waypoints and named records.

A storage knows keys and bytes, never profiles. It has five tables:

    documents    key -> bytes          rewritten by checkpoints, read in key order
    journal      position -> bytes     appended, read in position order, trimmed at the front
    waypoints    position -> bytes     notes about a place in the journal, trimmed with it
    meta         name -> bytes         small named records: identity, vector, cursors
    index        keys alone            derived from documents; read by prefix, in key order

One commit changes all of them together or none. Commits come one at a time; a commit may run in a
worker thread while the owner's thread reads. Documents may also be settled, by a second worker
thread, while commits without documents go on. All other calls belong to the owner's thread.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from crdtstore import limits
from crdtstore.errors import StorageError, StorageFull


class MapFull(StorageFull):
    """The map is full: ``grow`` and commit the same batch again, or refuse it if it cannot grow."""


class CopyInterrupted(StorageError):
    """A copy or a view ended too early: the map had to grow, or the storage was closed."""


class ScrubInterrupted(StorageError):
    """A scrub ended before it was whole: the map had to grow, or the storage was closed."""


class PackedRecord(bytes):
    """A document in the form in which a storage keeps it, as its ``packing`` gave it.

    Only a batch of that storage may have it, in place of the record; it reads as the record.
    """


class Packing(Protocol):
    """What makes documents shorter for a storage, ahead of a commit; in the owner's thread."""

    def learn(self, parts: Sequence[bytes]) -> None:
        """Take note of bytes that most documents have in them, in their order.

        They are kept for good, so nothing may be in them that is ever to be deleted. No commit may
        be running.
        """
        ...

    def packed(self, record: bytes) -> bytes:
        """Return a document as it may be put into a batch in place of its record.

        That takes ten times as long as to write the record.
        """
        ...


@dataclass(slots=True)
class Batch:
    """The changes of one commit.

    ``journal`` positions ascend and lie above every position committed before. In ``documents``
    and ``meta`` the value None deletes, and so does False in ``index``; of two changes to one key
    the later one counts.
    ``trim_before`` drops journal records and waypoints below that position: at most
    ``limits.TRIM_RECORDS_MAX`` of each per commit, oldest first, and never the last journal record,
    so the last position is always remembered. A batch that only deletes, trims and writes meta is
    *relief*: it may use the reserve of the map.
    """

    journal: list[tuple[int, bytes]] = field(default_factory=list)
    documents: list[tuple[bytes, bytes | None]] = field(default_factory=list)
    waypoints: list[tuple[int, bytes]] = field(default_factory=list)
    meta: dict[str, bytes | None] = field(default_factory=dict)
    index: list[tuple[bytes, bool]] = field(default_factory=list)
    trim_before: int = 0

    def is_relief(self) -> bool:
        """Tell whether the batch adds no journal record, document, waypoint or index key."""
        puts = any(value is not None for _, value in self.documents)
        puts = puts or any(is_there for _, is_there in self.index)
        return not (self.journal or self.waypoints or puts)

    def size_bytes(self) -> int:
        """Return the bytes of all keys and values that the batch would write."""
        return (
            sum(8 + len(value) for _, value in self.journal)
            + sum(8 + len(value) for _, value in self.waypoints)
            + sum(len(key) + len(value or b"") for key, value in self.documents)
            + sum(len(name) + len(value or b"") for name, value in self.meta.items())
            + sum(len(key) for key, _ in self.index)
        )


@dataclass(frozen=True, slots=True)
class StorageSize:
    """How full a storage is, in bytes.

    ``used_bytes`` is what live records take now (it shrinks when they go), ``documents_bytes``
    about how long all documents are to those who read them, ``map_bytes`` what the map can hold
    before it grows, ``map_bytes_max`` where it stops growing, ``disk_free_bytes`` what the file
    system would still give us.
    """

    used_bytes: int
    documents_bytes: int
    map_bytes: int
    map_bytes_max: int
    disk_free_bytes: int


def map_reserve_bytes(map_bytes: int) -> int:
    """Return how much of a map ordinary commits leave free, so that relief finds room."""
    return min(limits.MAP_RESERVE_BYTES, map_bytes // limits.MAP_RESERVE_DIVISOR)


class StorageCopy(Protocol):
    """What was committed at one moment, to be written down once, while commits go on.

    ``form`` names the form of its bytes, which is the storage's own. While it is open the storage
    cannot use again what commits free.
    """

    form: str

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes of the copy, in any one thread; it has ended with the last of them.

        Raises CopyInterrupted when the copy was closed before, StorageError if it cannot be read.
        """
        ...

    def close(self) -> None:
        """End the copy, by any thread, at any time; a second call does nothing."""
        ...


class StorageScrub(Protocol):
    """What overwrites all that was deleted before it began, in steps between commits."""

    def step(self) -> bool:
        """Overwrite some more, in any one thread; return whether all is done, and on the disk.

        No commit may run meanwhile. Raises ScrubInterrupted if it has to begin anew, StorageError.
        """
        ...

    def close(self) -> None:
        """End the scrub, in the owner's thread; a second call does nothing."""
        ...


class StorageView(Protocol):
    """What was committed at one moment, to be read while commits go on, by any one thread.

    While it is open the storage cannot use again what commits free.
    """

    def documents(self, after: bytes, *, limit: int, bytes_max: int) -> list[tuple[bytes, bytes]]:
        """Return what ``StorageReader.documents`` returned then; raises CopyInterrupted.

        That says that the view was closed.
        """
        ...

    def meta(self, name: str) -> bytes | None:
        """Return what ``StorageReader.meta`` returned then; raises CopyInterrupted."""
        ...

    def close(self) -> None:
        """End the view, by any thread, at any time; a second call does nothing."""
        ...


class StorageReader(Protocol):
    """The reading half of a storage.

    Reads see whole commits only. ``limit`` is at least 1; ``bytes_max`` bounds the sum of the
    values of one answer, which has at least one record if any exists. Reads raise StorageCorrupt
    for a damaged file and StorageFailed when the storage cannot be read at all.
    """

    def document(self, key: bytes) -> bytes | None:
        """Return the document under a key, or None."""
        ...

    def documents(self, after: bytes, *, limit: int, bytes_max: int) -> list[tuple[bytes, bytes]]:
        """Return the first documents in key order whose key is above ``after`` (b"": all)."""
        ...

    def journal(self, after: int, *, limit: int, bytes_max: int) -> list[tuple[int, bytes]]:
        """Return the first journal records, in order, whose position is above ``after``."""
        ...

    def journal_headers(
        self, after: int, *, limit: int, header_bytes: int
    ) -> list[tuple[int, bytes]]:
        """Return the first ``header_bytes`` of the journal records above ``after``, in order."""
        ...

    def journal_bounds(self) -> tuple[int, int]:
        """Return the first and the last position of the journal, (0, 0) when it is empty."""
        ...

    def waypoints(self) -> list[tuple[int, bytes]]:
        """Return all waypoints in position order."""
        ...

    def meta(self, name: str) -> bytes | None:
        """Return the named record, or None."""
        ...

    def metas(self, prefix: str) -> dict[str, bytes]:
        """Return all named records whose name starts with ``prefix``, in order of their bytes."""
        ...

    def index(self, prefix: bytes, after: bytes, *, limit: int) -> list[bytes]:
        """Return the first index keys above ``after`` that begin with ``prefix``, in order."""
        ...

    def index_range(
        self, lower: bytes, upper: bytes, *, limit: int, is_down: bool = False
    ) -> list[bytes]:
        """Return the first index keys from ``lower`` on and below ``upper``, in order.

        With ``is_down`` they are the last ones, in falling order.
        """
        ...


class Storage(StorageReader, Protocol):
    """Where a store rests.

    ``fingerprint`` is a text that stays the same as long as this is the same file: a copied or
    restored one has another. ``packing`` makes documents shorter.
    """

    fingerprint: str
    packing: Packing

    def commit(self, batch: Batch) -> None:
        """Make a batch durable, whole; it is on the disk when this returns.

        Raises MapFull (grow, then commit it again), StorageFull (the disk is full: nothing was
        kept, and the same batch may be tried later), or StorageFailed: the disk reported a failure,
        and every later commit is refused, because what a failed fsync left behind is unknown.
        """
        ...

    @property
    def is_crowded(self) -> bool:
        """Whether commits will soon be slower, unless something is settled."""
        ...

    def seal(self, batch: Batch) -> None:
        """Take note that a batch will be settled, with which the commits up to here end.

        It has documents, and what goes with them: no journal records and no waypoints. It is called
        by who commits, between two commits; nothing may be settling.
        """
        ...

    def settle(self, batch: Batch) -> None:
        """Make the batch durable, whole, that was given to ``seal``; other commits may go on.

        What is on the disk after any crash is what was committed up to some moment, and the
        documents as they were settled by then. Raises what ``commit`` raises; after MapFull and
        StorageFull it may be called again, or ``seal`` with another batch.
        """
        ...

    def grow(self) -> bool:
        """Double the map; False when it is at its maximum. No commit may be running.

        It may end copies and views that are under way.
        """
        ...

    def shed(self) -> None:
        """Let go of what reads hold in memory, if it is much; cheap."""
        ...

    def size(self) -> StorageSize:
        """Return how full the storage is; cheap."""
        ...

    def release_ballast(self) -> bool:
        """Give the reserves of disk and map to the next commits; False if the disk's was gone."""
        ...

    def restore_ballast(self) -> bool:
        """Take the reserves back; False when the disk has no room for its whole one.

        Of one that was given up it takes what there is, of another one up to a quarter of that.
        """
        ...

    def pinned_copy(self) -> StorageCopy:
        """Return a copy of all that is committed now; nothing is read yet."""
        ...

    def scrub(self) -> StorageScrub:
        """Begin to overwrite what was deleted from the files; no commit may be running.

        It may end copies that are under way. Until it is closed the storage cannot use again what
        commits free.
        """
        ...

    def pinned_view(self) -> StorageView:
        """Return a view of all documents that are committed now."""
        ...

    def close(self) -> None:
        """Release files and locks, and end all copies and views; a second call does nothing."""
        ...
