"""Notes of a running replica, and joint commits: writes, notes and cursors together or not at all.

    async with replica.notes.commit() as commit:
        commit.write("ann", {"email": "ann@example.com"}, source="salesforce")
        commit.note("salesforce/003A1", b"...")
        commit.move_cursor("salesforce", "2026-11-21T08:00:00Z")

When the block is left, all of it is durable, or none.
"""

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from crdtstore.engine.feed import end_cursor
from crdtstore.engine.writes import WriteResult
from crdtstore.group_commit import GroupCommit
from crdtstore.store import Store


class JointCommit:
    """Changes that become durable in one commit.

    Nothing may be awaited inside of the block: a commit would come between. Each change is applied
    at once; one that is refused raises and changes nothing, and the others stand.
    """

    def __init__(self, store: Store, commits: GroupCommit) -> None:
        self._store = store
        self._commits = commits
        self._draft = store.cursors.notes.draft

    async def __aenter__(self) -> "JointCommit":
        self._draft = self._store.cursors.notes.draft
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._check_unbroken()
        if error is None:
            await self._commits.durable()

    def write(self, profile_id: str, fields: Mapping[str, Any], *, source: str) -> WriteResult:
        """Write what a source says about a profile; raises InvalidInput or Refused."""
        self._check_unbroken()
        return self._store.write(profile_id, fields, source=source)

    def erase(self, profile_id: str) -> WriteResult:
        """Erase a profile for good; erasing it again changes nothing."""
        self._check_unbroken()
        return self._store.erase(profile_id)

    def merge(self, profile_id: str, other_id: str, *, source: str) -> None:
        """Say that two profiles are of one person; raises MergeRefused if a rule forbids it."""
        self._check_unbroken()
        self._store.persons.merge(profile_id, other_id, source=source)

    def note(self, name: str, value: bytes | None) -> None:
        """Change a note, None removes it; raises InvalidInput."""
        self._check_unbroken()
        self._store.cursors.notes.change({name: value})

    def move_cursor(self, name: str, value: str) -> None:
        """Move a durable cursor; raises InvalidInput."""
        self._check_unbroken()
        self._store.cursors.check({name: value})
        self._store.cursors.move({name: value})

    def _check_unbroken(self) -> None:
        assert self._store.cursors.notes.draft is self._draft, "something was awaited in the block"


class ReplicaNotes:
    """The notes of a replica: small records that it keeps for the service around it."""

    def __init__(self, store: Store, commits: GroupCommit) -> None:
        self._store = store
        self._commits = commits

    def get(self, name: str) -> bytes | None:
        """Return a note, None if there is none."""
        return self._store.cursors.notes.get(name)

    def starting_with(self, prefix: str) -> dict[str, bytes]:
        """Return all notes whose name starts with ``prefix``, by name."""
        return self._store.cursors.notes.starting_with(prefix)

    def feed_end(self) -> str:
        """Return the cursor of the present end of the change feed: only later changes follow it.

        A service that then reads all profiles, and keeps this cursor with what it made of them, has
        seen everything.
        """
        return end_cursor(self._store.ledger)

    def commit(self) -> JointCommit:
        """Return a commit of several changes, to be entered with ``async with``."""
        return JointCommit(self._store, self._commits)
