"""The conflict log: what lost against a write whose author had not seen it.

A register has one cell for each source. If that source wrote it at two replicas, neither having
seen the other, one value stays and the other one goes out of the document; it is kept here, until
it is settled by a write to the cell whose author had seen it. Each replica finds out by itself from
the frames that it applies, and keeps what it finds in the transaction of the frame. The log is
bounded, the oldest entries go first.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import msgpack

from crdtstore import limits
from crdtstore.engine.causes import Causes
from crdtstore.errors import StorageCorrupt
from crdtstore.model.cells import REGISTER, Cell, Cells, supersedes
from crdtstore.model.document import Document, Meetings
from crdtstore.model.values import CellValue, pack
from crdtstore.names import OWN_IDS
from crdtstore.storage.contract import Storage

_PREFIX: Final = "conflict/"
"""Beginning of the names of the records in which entries rest, one for each place in the log."""

_NOTHING: Final = (0, 0, object())
"""Stands for a cell that a damaged document has lost: no author's, like no value."""

Records: TypeAlias = dict[str, bytes | None]
Stamp: TypeAlias = tuple[int, int]
"""Timestamp and origin: they name one write."""

_unpack: Callable[..., Any] = msgpack.unpackb


@dataclass(slots=True)
class Entry:
    """A value that lost: ``lost`` against ``kept``, the cell that was there right afterwards.

    ``number`` counts the entries of this replica; ``id`` is the same on all, it names the losing
    write. ``is_late`` says that the losing write came
    after the winning one. ``settled`` names the write that settled it, None while it is open.
    """

    number: int
    profile_id: str
    epoch: int
    key: str
    kept: Cell
    lost: Cell
    is_late: bool
    settled: Stamp | None = None
    id: str = field(init=False)
    size_bytes: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        place = f"{self.profile_id}\0{self.key}\0{self.lost[0]}\0{self.lost[1]}".encode()
        self.id = hashlib.blake2b(place, digest_size=8, person=b"crdtstore.lost").hexdigest()

    @property
    def cause(self) -> Stamp:
        """The write by which this replica found the conflict."""
        cell = self.lost if self.is_late else self.kept
        return cell[0], cell[1]

    def pack(self) -> bytes:
        """Return the bytes in which storage keeps the entry."""
        return pack(
            (
                self.number, self.profile_id, self.epoch, self.key,
                self.kept, self.lost, self.is_late, self.settled,
            )
        )  # fmt: skip

    @classmethod
    def unpack(cls, packed: bytes) -> "Entry":
        """Return the entry that storage keeps."""
        entry = cls(*_unpack(packed, use_list=False, timestamp=3))
        entry.size_bytes = len(packed)
        return entry


@dataclass(slots=True)
class _Logged:
    """The entries of one profile, in one epoch: all by number, and the open ones by cell key."""

    epoch: int
    entries: dict[int, Entry] = field(default_factory=dict)
    open: dict[str, list[Entry]] = field(default_factory=dict)


class ConflictLog:
    """The conflict log of one replica. ``logged`` has the profiles with entries.

    Methods that take ``records`` change the log and put into them what the next commit must keep.
    After a commit that failed, ``reload`` goes back to what is durable. ``causes`` tells who had
    seen what. ``counters`` counts what was logged, settled, driven out by newer entries, or could
    not be judged.
    """

    def __init__(self, storage: Storage, causes: Causes) -> None:
        self.counters = dict.fromkeys(
            ("conflicts_logged", "conflicts_settled", "conflicts_evicted", "conflicts_undecided"), 0
        )
        self.logged: dict[str, _Logged] = {}
        self.unreadable: Records = {}
        self._storage = storage
        self.causes = causes
        self._load()

    def _load(self) -> None:
        self.logged.clear()
        self._entries: dict[int, Entry] = {}
        self._numbers: dict[str, int] = {}
        self._size_bytes = 0
        for entry in sorted(self._stored(), key=lambda entry: entry.number):
            self._put(entry)
        self._next = max(self._entries, default=0) + 1
        self._has_changed = False

    def _stored(self) -> Iterator[Entry]:
        """Yield what storage has; of a damaged entry no more is known than where it rests."""
        try:
            packed = list(self._storage.metas(_PREFIX).values())
        except StorageCorrupt:
            packed = []
            for number in range(limits.CONFLICTS_MAX):
                try:
                    record = self._storage.meta(_place(number))
                except StorageCorrupt:
                    self.unreadable[_place(number)] = None
                else:
                    packed += [] if record is None else [record]
        yield from map(Entry.unpack, packed)

    def reload(self) -> None:
        """Go back to what is durable."""
        if self._has_changed:
            self._load()

    # --- reading ------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._entries)

    def entry(self, conflict_id: str) -> Entry | None:
        """Return an entry, None if there is none."""
        number = self._numbers.get(conflict_id)
        return None if number is None else self._entries[number]

    def entries(self, profile_id: str | None = None) -> Iterator[Entry]:
        """Yield all entries, or those of one profile, the oldest first."""
        if profile_id is None:
            yield from self._entries.values()
        elif (logged := self.logged.get(profile_id)) is not None:
            yield from logged.entries.values()

    def told_by(self, profile_id: str, cells: Cells) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the ids of the conflicts that a write brought about, and of those it settled."""
        stamps = {(key, *cell[:2]) for key, cell in cells.items()}
        entries = tuple(self.entries(profile_id))
        return (
            tuple(entry.id for entry in entries if (entry.key, *entry.cause) in stamps),
            tuple(
                entry.id
                for entry in entries
                if entry.settled is not None and (entry.key, *entry.settled) in stamps
            ),
        )

    # --- what documents meet ------------------------------------------------------------------

    def applied(
        self,
        profile_id: str,
        document: Document,
        epoch: int,
        cells: Cells,
        met: Meetings,
        records: Records,
    ) -> None:
        """Take note of a frame's write that was joined into a document, and of what it met."""
        for key, old, new in met:
            is_own = profile_id.startswith(OWN_IDS)  # of one replica in two lives: no conflict
            if key[0] == REGISTER and not is_own and not is_same(old[2], new[2]):
                self._judge(profile_id, epoch, key, old, new, records)
        logged = self._current(profile_id, document, records)
        if logged is None or not logged.open or epoch != document.epoch:
            return
        for key in logged.open.keys() & cells.keys():
            for entry in tuple(logged.open[key]):
                if self._is_settled_by(cells[key], entry.lost):
                    self._settle(logged, entry, cells[key], records)
            self._agree(document, logged, key, records)

    def _judge(
        self, profile_id: str, epoch: int, key: str, old: Cell, new: Cell, records: Records
    ) -> None:
        """Log the value that lost, if the author of the other one had not seen it."""
        if supersedes(new, old):
            has_seen = self.causes.saw(new[1], old[1], old[0])
            kept, lost, is_late = new, old, False
        else:
            # Causes come first, and what came as a frame came after all that it had caused.
            has_seen = False if new[0] > self.causes.exact_since else None
            kept, lost, is_late = old, new, True
        if has_seen is None:
            self.counters["conflicts_undecided"] += 1
        elif not has_seen:
            self._log(Entry(self._next, profile_id, epoch, key, kept, lost, is_late), records)

    def written(self, profile_id: str, document: Document, cells: Cells, records: Records) -> None:
        """Take note of a local write: its author had seen all that is logged here."""
        logged = self._current(profile_id, document, records)
        if logged is not None:
            for key in logged.open.keys() & cells.keys():
                for entry in tuple(logged.open[key]):
                    self._settle(logged, entry, cells[key], records)

    def joined(self, profile_id: str, document: Document, records: Records) -> None:
        """Take note of cells that came without causes: they settle what their own origin lost."""
        logged = self._current(profile_id, document, records)
        if logged is None:
            return
        for key, entries in tuple(logged.open.items()):
            cell = document.cells.get(key, _NOTHING)
            for entry in tuple(entries):
                if cell[1] == entry.lost[1] and cell[0] > entry.lost[0]:
                    self._settle(logged, entry, cell, records)
            self._agree(document, logged, key, records)

    def _current(self, profile_id: str, document: Document, records: Records) -> _Logged | None:
        """Return what is logged of a profile, after wiping what an erasure made an end of."""
        logged = self.logged.get(profile_id)
        if logged is not None and document.epoch > logged.epoch:
            for entry in tuple(logged.entries.values()):
                self._drop(entry, records)
            return None
        return logged

    def _is_settled_by(self, cell: Cell, lost: Cell) -> bool:
        """Say whether the author of a cell had seen a value that lost."""
        return cell[0] > lost[0] and self.causes.saw(cell[1], lost[1], lost[0]) is True

    def _agree(self, document: Document, logged: _Logged, key: str, records: Records) -> None:
        """Settle what lost and is said by the present cell all the same."""
        cell = document.cells.get(key, _NOTHING)
        for entry in tuple(logged.open.get(key, ())):
            if is_same(entry.lost[2], cell[2]):
                self._settle(logged, entry, cell, records)

    # --- changing -----------------------------------------------------------------------------

    def _log(self, entry: Entry, records: Records) -> None:
        if entry.id in self._numbers:
            return
        packed = entry.pack()
        entry.size_bytes = len(packed)
        self._has_changed = True
        self._next = entry.number + 1
        while self._entries:
            oldest = next(iter(self._entries.values()))
            is_small = self._size_bytes + entry.size_bytes <= limits.CONFLICTS_BYTES_MAX
            if is_small and entry.number - oldest.number < limits.CONFLICTS_MAX:
                break
            self._drop(oldest, records)
            self.counters["conflicts_evicted"] += 1
        self._put(entry)
        records[_place(entry.number)] = packed
        self.counters["conflicts_logged"] += 1

    def _put(self, entry: Entry) -> None:
        self._entries[entry.number] = entry
        self._numbers[entry.id] = entry.number
        self._size_bytes += entry.size_bytes
        logged = self.logged.get(entry.profile_id)
        if logged is None:
            logged = self.logged[entry.profile_id] = _Logged(entry.epoch)
        logged.entries[entry.number] = entry
        if entry.settled is None:
            logged.open.setdefault(entry.key, []).append(entry)

    def _drop(self, entry: Entry, records: Records) -> None:
        self._has_changed = True
        records[_place(entry.number)] = None
        del self._entries[entry.number]
        del self._numbers[entry.id]
        self._size_bytes -= entry.size_bytes
        logged = self.logged[entry.profile_id]
        del logged.entries[entry.number]
        if entry.settled is None:
            _close(logged, entry)
        if not logged.entries:
            del self.logged[entry.profile_id]

    def _settle(self, logged: _Logged, entry: Entry, by: Cell, records: Records) -> None:
        self._has_changed = True
        _close(logged, entry)
        entry.settled = (by[0], by[1])
        packed = entry.pack()
        self._size_bytes += len(packed) - entry.size_bytes
        entry.size_bytes = len(packed)
        records[_place(entry.number)] = packed
        self.counters["conflicts_settled"] += 1


def is_same(one: CellValue, other: CellValue) -> bool:
    """Say whether two values are the same: 1 is neither 1.0 nor true."""
    return type(one) is type(other) and one == other


def _close(logged: _Logged, entry: Entry) -> None:
    entries = logged.open[entry.key]
    entries.remove(entry)
    if not entries:
        del logged.open[entry.key]


def _place(number: int) -> str:
    """Return the name of the record of an entry: as many as there may be, used in turn."""
    return f"{_PREFIX}{number % limits.CONFLICTS_MAX:05d}"
