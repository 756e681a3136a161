"""The ledger: links, work that is due, and dead letters of one vendor, as notes of the replica.

| note under "crm/SOURCE/" | holds                                                              |
|--------------------------|--------------------------------------------------------------------|
| link/PROFILE             | the link of a profile                                              |
| record/OBJECT/ID         | the profile of a record                                            |
| due/PROFILE              | since when the profile is to be compared with its record           |
| reread/OBJECT/ID         | since when the record is to be read again                          |
| dead/KEY                 | a dead letter                                                      |
| load/OBJECT              | how many loads of an object began                                  |
| merging/OBJECT/ID        | records that were merged into one that was not read yet            |
| withdrawn/PROFILE        | the identifiers that a record which went had said, for a while     |

All of it moves in the commits of the data that it is about.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgpack

from crdtstore import Replica
from replicas.crm import limits
from replicas.crm.crm import RecordKey
from replicas.crm.dead_letters import DeadLetter
from replicas.crm.joint import Joint
from replicas.crm.link import Link
from replicas.crm.withdrawn import Withdrawn

_pack: Callable[[Any], bytes] = msgpack.Packer().pack

_NONE: Final = _pack({})


class Touches:
    """When something was sent to which record last, in a time that only counts.

    A page that was read before may show what the record was before. That is remembered in memory
    only, as such pages are.
    """

    def __init__(self) -> None:
        self._now = 0
        self._last: dict[str, int] = {}

    def tick(self) -> int:
        """Return the place in time of what begins now: a number that grows."""
        self._now += 1
        return self._now

    def touch(self, profile_id: str) -> None:
        """Take note that something is being sent to the record of a profile, or was."""
        if len(self._last) >= limits.TOUCHED_MAX:
            self._last = dict(list(self._last.items())[limits.TOUCHED_MAX // 2 :])
        self._last.pop(profile_id, None)
        self._last[profile_id] = self.tick()

    def is_since(self, profile_id: str, tick: int) -> bool:
        """Say whether something was sent to the record of a profile since a place in time."""
        return self._last.get(profile_id, 0) > tick


class Loads:
    """The numbers of the loads of each object: they tell what was sent since one began."""

    def __init__(self, replica: Replica, prefix: str) -> None:
        self._notes = replica.notes
        self._prefix = f"{prefix}load/"

    def number(self, object_name: str) -> int:
        """Return the number of the load of an object that began last."""
        return int(self._notes.get(self._prefix + object_name) or b"0")

    def begin(self, commit: Joint, object_name: str) -> None:
        """Take note that a load begins: what is sent from now on is younger than it may be."""
        number = self.number(object_name) + 1
        commit.note(self._prefix + object_name, str(number).encode())


class Ledger:
    """What is known of one vendor's records, and what is still to be done."""

    def __init__(self, replica: Replica, source: str) -> None:
        self._notes = replica.notes
        self._prefix = f"crm/{source}/"
        self._started_ns = time.time_ns()
        self._marks = 0
        self._has_dead_letters = True
        self._has_dead_letters = any(True for _ in self.dead_letters())
        self.touches = Touches()
        self.loads = Loads(replica, self._prefix)
        self.withdrawn = Withdrawn(replica, self._prefix)

    # --- links --------------------------------------------------------------------------------

    def link(self, profile_id: str) -> Link | None:
        """Return the link of a profile, None if it has none."""
        packed = self._notes.get(f"{self._prefix}link/{profile_id}")
        return None if packed is None else Link.unpack(packed)

    def linked(self) -> list[str]:
        """Return all profiles that have a link: it takes a moment, and much memory."""
        prefix = f"{self._prefix}link/"
        return [name.removeprefix(prefix) for name in self._notes.starting_with(prefix)]

    def keep_link(self, commit: Joint, profile_id: str, link: Link) -> None:
        """Keep a link, and which profile its record belongs to."""
        commit.note(f"{self._prefix}link/{profile_id}", link.pack())
        if link.record_id:
            name = self._record_name(RecordKey(link.object, link.record_id))
            commit.note(name, profile_id.encode())

    def profile_of(self, key: RecordKey) -> str | None:
        """Return the profile of a record, None if it is not known."""
        packed = self._notes.get(self._record_name(key))
        return None if packed is None else packed.decode()

    def _record_name(self, key: RecordKey) -> str:
        return f"{self._prefix}record/{key.object}/{key.id}"

    # --- merges -------------------------------------------------------------------------------

    def await_merge(self, commit: Joint, gone: RecordKey, into: RecordKey, at_ms: int) -> None:
        """Take note that a record was merged, at a time, into one that must be read first."""
        name = self._merging_name(into)
        waiting = msgpack.unpackb(self._notes.get(name) or _NONE)
        commit.note(name, _pack({**waiting, gone.id: at_ms}))

    def awaited_merges(self, commit: Joint, into: RecordKey) -> dict[RecordKey, int]:
        """Return the records of which it was noted that they were merged into one, no more noted.

        Each has the time at which that happened.
        """
        name = self._merging_name(into)
        packed = self._notes.get(name)
        if packed is None:
            return {}
        commit.note(name, None)
        return {RecordKey(into.object, one): ms for one, ms in msgpack.unpackb(packed).items()}

    def _merging_name(self, into: RecordKey) -> str:
        return f"{self._prefix}merging/{into.object}/{into.id}"

    # --- what is due --------------------------------------------------------------------------

    def due(self) -> dict[str, bytes]:
        """Return the profiles that are to be compared with their records, each with a mark."""
        return self._marked("due/")

    def mark_due(self, commit: Joint, profile_id: str) -> None:
        """Have a profile compared with its record."""
        self._mark(commit, f"due/{profile_id}")

    def settle_due(self, commit: Joint, marks: Mapping[str, bytes]) -> None:
        """Take note that profiles were compared, unless they became due again meanwhile."""
        for profile_id, mark in marks.items():
            self._settle(commit, f"due/{profile_id}", mark)

    def rereads(self) -> dict[RecordKey, bytes]:
        """Return the records that are to be read again, each with a mark."""
        found = self._marked("reread/")
        return {RecordKey(*name.split("/", 1)): mark for name, mark in found.items()}

    def mark_reread(self, commit: Joint, key: RecordKey) -> None:
        """Have a record read again."""
        self._mark(commit, f"reread/{key.object}/{key.id}")

    def settle_rereads(self, commit: Joint, marks: Mapping[RecordKey, bytes]) -> None:
        """Take note that records were read again, unless they became due again meanwhile."""
        for key, mark in marks.items():
            self._settle(commit, f"reread/{key.object}/{key.id}", mark)

    def _marked(self, kind: str) -> dict[str, bytes]:
        prefix = self._prefix + kind
        found = self._notes.starting_with(prefix)
        return {name.removeprefix(prefix): mark for name, mark in found.items()}

    def _mark(self, commit: Joint, name: str) -> None:
        self._marks += 1
        commit.note(self._prefix + name, f"{self._started_ns}.{self._marks}".encode())

    def _settle(self, commit: Joint, name: str, mark: bytes) -> None:
        if self._notes.get(self._prefix + name) == mark:
            commit.note(self._prefix + name, None)

    # --- dead letters -------------------------------------------------------------------------

    def dead_letters(self) -> Iterator[DeadLetter]:
        """Yield the dead letters, by key."""
        if not self._has_dead_letters:
            return  # as nearly always: no look-up for each record of a load
        for packed in self._notes.starting_with(f"{self._prefix}dead/").values():
            yield DeadLetter.unpack(packed)

    def bury(self, commit: Joint, letter: DeadLetter) -> None:
        """Keep a dead letter; one about the same counts its attempts on."""
        self._has_dead_letters = True
        name = f"{self._prefix}dead/{letter.key}"
        packed = self._notes.get(name)
        if packed is not None:
            letter = letter.after(DeadLetter.unpack(packed))
        commit.note(name, letter.pack())

    def unbury(self, commit: Joint, key: str) -> None:
        """Drop the dead letter about something, if there is one: it succeeded."""
        if not self._has_dead_letters:
            return
        name = f"{self._prefix}dead/{key}"
        if self._notes.get(name) is not None:
            commit.note(name, None)
