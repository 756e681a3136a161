"""Conflicts of a store: listing what lost without having been seen, and choosing.

To choose is to write: the value goes into the field as its source's newest, and settles the
conflict on every replica that the write reaches.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Final, Protocol

from crdtstore import limits
from crdtstore.clock import datetime_of
from crdtstore.engine.conflict_errors import ConflictNotFound, ConflictSettled
from crdtstore.engine.conflict_log import ConflictLog, Entry, Stamp
from crdtstore.engine.documents import Documents
from crdtstore.engine.replication import Replication
from crdtstore.engine.writing import Writing
from crdtstore.errors import CrdtstoreError, InvalidInput
from crdtstore.model.cells import Cell, parse_key
from crdtstore.model.values import Value, from_cell_value
from crdtstore.names import check_profile_id

CHOICES: Final = ("lost", "kept")
"""What can be chosen: the value that lost, or what the source says at present."""

STATES: Final = ("open", "settled", "all")
"""Which conflicts can be listed."""


@dataclass(frozen=True, slots=True)
class WriteStamp:
    """A write: its timestamp, the origin that took it, and that one's replica, "" if not known."""

    timestamp: int
    origin: int
    replica: str

    @property
    def at(self) -> datetime:
        """The time of writing, by the clock of the replica that took the write."""
        return datetime_of(self.timestamp)


@dataclass(frozen=True, slots=True)
class Conflict:
    """A value that lost against another one of its source, neither author having seen the other.

    ``kept`` is the value that won then; it may have been replaced since. ``id`` is the same on
    every replica, ``cursor`` the place in this one's log. ``settled`` is the write that settled
    the conflict, None while it is open.
    """

    id: str
    cursor: str
    profile_id: str
    field: str
    source: str
    kept: Value
    kept_write: WriteStamp
    lost: Value
    lost_write: WriteStamp
    settled: WriteStamp | None


class Body(Protocol):
    """What conflicts need of a store."""

    writing: Writing
    now_ms: Callable[[], int]

    @property
    def refusal(self) -> CrdtstoreError | None:
        """Why the store takes no writes now."""
        ...


class Conflicts:
    """The conflicts that one store has found, and not forgotten.

    A choice is applied at once, and durable after a commit, as any write.
    """

    def __init__(
        self, store: Body, log: ConflictLog, documents: Documents, replication: Replication
    ) -> None:
        self._store = store
        self._log = log
        self._documents = documents
        self._names = replication.names

    def present(
        self,
        profile_id: str | None = None,
        *,
        state: str = "open",
        after: str = "",
        limit: int = limits.PAGE_CONFLICTS_DEFAULT,
    ) -> list[Conflict]:
        """Return up to ``limit`` conflicts, the oldest first, after the ``cursor`` of one.

        ``profile_id`` asks for those of one profile, ``state`` for those that are "open",
        "settled", or "all". Raises InvalidInput.
        """
        if not 0 < limit <= limits.PAGE_CONFLICTS_MAX:
            raise InvalidInput(f"limit is a number from 1 to {limits.PAGE_CONFLICTS_MAX:,}")
        if state not in STATES:
            raise InvalidInput(f"state is one of {', '.join(STATES)}, not {state[:40]!r}")
        if after and not (after.isascii() and after.isdigit() and len(after) < 20):
            raise InvalidInput(f"{after[:40]!r} is not a cursor of the conflict log")
        if profile_id is not None:
            check_profile_id(profile_id)
        number = int(after or 0)
        found = (
            entry
            for entry in self._log.entries(profile_id)
            if entry.number > number
            and (state == "all" or (entry.settled is None) == (state == "open"))
        )
        return [self._told(entry) for entry in islice(found, limit)]

    def get(self, conflict_id: str) -> Conflict:
        """Return one conflict; raises ConflictNotFound."""
        return self._told(self._entry(conflict_id))

    def choose(self, conflict_id: str, choice: str = "lost") -> Conflict:
        """Write one of the two values anew, as its source's, and so settle the conflict.

        "lost" brings back the value that lost; "kept" confirms what the source says at present.
        Raises ConflictNotFound, ConflictSettled, InvalidInput, or what a write raises.
        """
        if choice not in CHOICES:
            raise InvalidInput(f"choice is lost or kept, not {choice[:40]!r}")
        entry = self._entry(conflict_id)
        if (refusal := self._store.refusal) is not None:
            raise refusal
        if entry.settled is not None:
            raise ConflictSettled(conflict_id)
        cell = entry.lost
        if choice == "kept":
            cell = self._documents.get(entry.profile_id).cells[entry.key]
        self._store.writing.restate(entry.profile_id, entry.key, cell[2], self._store.now_ms())
        return self._told(entry)

    def _entry(self, conflict_id: str) -> Entry:
        entry = self._log.entry(conflict_id)
        if entry is None:
            raise ConflictNotFound(conflict_id)
        return entry

    def _told(self, entry: Entry) -> Conflict:
        key = parse_key(entry.key)
        return Conflict(
            id=entry.id,
            cursor=str(entry.number),
            profile_id=entry.profile_id,
            field=key.field,
            source=key.source,
            kept=from_cell_value(entry.kept[2]),
            kept_write=self._stamp(entry.kept),
            lost=from_cell_value(entry.lost[2]),
            lost_write=self._stamp(entry.lost),
            settled=None if entry.settled is None else self._stamp(entry.settled),
        )

    def _stamp(self, write: Cell | Stamp) -> WriteStamp:
        return WriteStamp(write[0], write[1], self._names.get(write[1], ""))
