"""Stewardship of a running replica, its persons and conflicts: what is answered is durable."""

from collections.abc import Callable, Iterable
from typing import Any

from crdtstore import limits
from crdtstore.engine.conflicts import Conflict
from crdtstore.engine.erasures import ErasureReport
from crdtstore.engine.feed import Change
from crdtstore.engine.persons import STEWARD, Person
from crdtstore.group_commit import GroupCommit
from crdtstore.model.candidates import Candidate
from crdtstore.model.values import Value
from crdtstore.store import Store


class ReplicaPersons:
    """What ``Store.persons`` does, on a replica: ``await replica.persons.merge("a", "b")``."""

    def __init__(self, store: Store, commits: GroupCommit) -> None:
        self._store = store
        self._commits = commits

    def find(self, kind: str, value: str, *, limit: int = 10) -> list[Person]:
        """Return the persons that hold an identifier; raises PersonNotFound or InvalidValue."""
        return self._store.persons.find(kind, value, limit=limit)

    def read(self, profile_id: str) -> Person:
        """Return the person of a profile; raises ProfileNotFound or ProfileErased."""
        return self._store.persons.read(profile_id)

    def explain(self, profile_id: str, field: str | None = None) -> list[Candidate]:
        """Return every candidate of every field (or of one) of a person, with its profile."""
        return self._store.persons.explain(profile_id, field)

    def profile_id_for(self, *identifiers: str) -> str:
        """Return the id for a new profile with these identifiers: the same on every replica."""
        return self._store.persons.profile_id_for(*identifiers)

    def in_feed(self, changes: Iterable[Change]) -> list[Change]:
        """Return changes with the persons that they touched; only the first, if these are many.

        For who needs the persons of some changes only: ``changes(persons=True)`` finds all.
        """
        return self._store.persons.in_feed(changes)

    async def merge(self, profile_id: str, other_id: str, *, source: str = STEWARD) -> Person:
        """Say that two profiles are of one person; raises MergeRefused if a rule forbids it."""
        return await self._kept(self._store.persons.merge, profile_id, other_id, source=source)

    async def unmerge(
        self, profile_id: str, other_id: str | None = None, *, source: str = STEWARD
    ) -> Person:
        """Part two profiles, and what is bound to each; or one from all others of its person."""
        return await self._kept(self._store.persons.unmerge, profile_id, other_id, source=source)

    async def not_match(self, profile_id: str, other_id: str, *, source: str = STEWARD) -> Person:
        """Say that two profiles are of two persons, now and later."""
        return await self._kept(self._store.persons.not_match, profile_id, other_id, source=source)

    async def pin(
        self, profile_id: str, field: str, value: Value, *, source: str = STEWARD
    ) -> Person:
        """Have a value survive, whatever sources say; None ends that."""
        return await self._kept(self._store.persons.pin, profile_id, field, value, source=source)

    async def ignore(
        self, profile_id: str, field: str, of_source: str, *, source: str = STEWARD
    ) -> Person:
        """Leave a profile's candidate out, for as long as its source says the same."""
        ignore = self._store.persons.ignore
        return await self._kept(ignore, profile_id, field, of_source, source=source)

    async def regard(
        self, profile_id: str, field: str, of_source: str, *, source: str = STEWARD
    ) -> Person:
        """Let a profile's candidates that were ignored count again."""
        regard = self._store.persons.regard
        return await self._kept(regard, profile_id, field, of_source, source=source)

    def export(self, profile_id: str) -> dict[str, Any]:
        """Return everything held on the person of a profile, as a document that JSON can hold."""
        return self._store.persons.export(profile_id)

    async def erase(
        self, profile_id: str, *, alone: bool = False, source: str = STEWARD
    ) -> ErasureReport:
        """Erase the person of a profile for good, on every replica, and suppress its identifiers.

        ``alone`` erases this profile only, and suppresses nothing. ``replica.erasures`` tells who
        has confirmed.
        """
        erasure = self._store.persons.erase(profile_id, alone=alone, source=source)
        await self._commits.durable()
        return erasure

    async def erase_identifier(
        self, kind: str, value: str, *, source: str = STEWARD
    ) -> ErasureReport:
        """Erase the person that holds an identifier, if anybody here does, and suppress it.

        Raises PersonAmbiguous, PersonNotFound if it is blocked, or InvalidValue.
        """
        erasure = self._store.persons.erase_identifier(kind, value, source=source)
        await self._commits.durable()
        return erasure

    async def _kept(self, decide: Callable[..., Person], *words: Any, source: str) -> Person:
        person = decide(*words, source=source)
        await self._commits.durable()
        return person


class ReplicaErasures:
    """What ``Store.erasures`` tells, on a replica: ``replica.erasures.read(erasure_id)``."""

    def __init__(self, store: Store, commits: GroupCommit) -> None:
        self._store = store
        self._commits = commits

    def read(self, erasure_id: str) -> ErasureReport:
        """Return one erasure with the receipts of all replicas; raises ErasureNotFound."""
        return self._store.erasures.read(erasure_id)

    def present(self, *, after: str = "", limit: int = 100) -> list[ErasureReport]:
        """Return up to ``limit`` erasures whose id is above ``after``, in the order of ids."""
        return self._store.erasures.present(after=after, limit=limit)

    @property
    def count(self) -> int:
        """How many erasures are known: it grows with each that is asked for, here or elsewhere."""
        return self._store.erasures.count

    @property
    def erased_writes(self) -> int:
        """How many writes and documents of erased profiles were applied since the replica is open.

        While it stands still, the change feed tells of no erasure that was not applied before.
        """
        return self._store.erasures.erased_writes

    def refuses(self, profile_id: str, *identifiers: str) -> bool:
        """Say whether an erasure forbids writes to a profile, or one of some identifiers."""
        return self._store.erasures.refuses(profile_id, identifiers)

    async def lift(self, erasure_id: str, *, source: str = STEWARD) -> ErasureReport:
        """Let the identifiers of an erasure be written again; what was erased stays erased."""
        erasure = self._store.erasures.lift(erasure_id, source)
        await self._commits.durable()
        return erasure


class ReplicaConflicts:
    """What ``Store.conflicts`` does, on a replica: ``await replica.conflicts.choose(id)``."""

    def __init__(self, store: Store, commits: GroupCommit) -> None:
        self._store = store
        self._commits = commits

    def present(
        self,
        profile_id: str | None = None,
        *,
        state: str = "open",
        after: str = "",
        limit: int = limits.PAGE_CONFLICTS_DEFAULT,
    ) -> list[Conflict]:
        """Return a page of conflicts, the oldest first; raises InvalidInput."""
        return self._store.conflicts.present(profile_id, state=state, after=after, limit=limit)

    def get(self, conflict_id: str) -> Conflict:
        """Return one conflict; raises ConflictNotFound."""
        return self._store.conflicts.get(conflict_id)

    async def choose(self, conflict_id: str, choice: str = "lost") -> Conflict:
        """Write the value that lost, or the one that is "kept", anew: that settles the conflict.

        Raises ConflictNotFound, ConflictSettled, or what a write raises.
        """
        conflict = self._store.conflicts.choose(conflict_id, choice)
        await self._commits.durable()
        return conflict
