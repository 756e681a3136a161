"""ReplicaUnderTest: what a writer is given in a trial instead of a ``Replica``.

It reads and writes as a Replica does, on the real store. A write is acknowledged within
the trial's next two steps, unless a crash comes first. Coroutines get the same with ``await``.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from crdtstore.engine.writes import Write, WriteResult
from crdtstore.errors import CrdtstoreError, InvalidInput, Refused
from crdtstore.model.candidates import Candidate
from crdtstore.model.document import Document
from crdtstore.model.profile import Profile
from crdtstore.schema import Schema
from crdtstore.testing.promises import Promises
from crdtstore.testing.simulation.machine import Ticket
from crdtstore.testing.simulation.network import Network


class ReplicaUnderTest:
    """One replica of a trial, for a writer that is a plain function."""

    def __init__(self, network: Network, name: str, promises: Promises) -> None:
        self.name = name
        self.tickets: list[Ticket] = [network.ticket(name)]
        self._network = network
        self._promises = promises
        self._store = network.store(name)

    @property
    def schema(self) -> Schema:
        """The schema by which this replica reads."""
        return self._store.schema

    def read(self, profile_id: str) -> Profile:
        """Return the golden record; raises ProfileNotFound or ProfileErased."""
        return self._store.read(profile_id)

    def explain(self, profile_id: str, field: str | None = None) -> list[Candidate]:
        """Return every candidate of every field (or of one), with the rule that chose."""
        return self._store.explain(profile_id, field)

    def profiles(self, *, after: str = "", limit: int = 100) -> list[Profile]:
        """Return up to ``limit`` living profiles whose id is above ``after``, in id order."""
        return self._store.profiles(after=after, limit=limit)

    def write(
        self,
        profile_id: str,
        fields: Mapping[str, Any],
        *,
        source: str,
        if_version: str | None = None,
    ) -> str:
        """Write what a source says about a profile; return its version."""
        return self._noted(
            profile_id,
            fields,
            lambda: self._store.write(profile_id, fields, source=source, if_version=if_version),
        )

    def write_many(self, writes: Iterable[Write]) -> list[WriteResult | CrdtstoreError]:
        """Make several writes; return a result or an error for each, in order."""
        results: list[WriteResult | CrdtstoreError] = []
        for write in writes:
            try:
                version = self.write(
                    write.id, write.fields, source=write.source, if_version=write.if_version
                )
                results.append(WriteResult(write.id, version, tuple(write.fields)))
            except (InvalidInput, Refused) as error:
                results.append(error)
        return results

    def erase(self, profile_id: str, *, if_version: str | None = None) -> str:
        """Erase a profile for good; return its version."""
        return self._noted(
            profile_id, {}, lambda: self._store.erase(profile_id, if_version=if_version)
        )

    def revive(self, profile_id: str, *, if_version: str | None = None) -> str:
        """Let an erased profile take writes again; return its version."""
        return self._noted(
            profile_id, {}, lambda: self._store.revive(profile_id, if_version=if_version)
        )

    def _noted(
        self, profile_id: str, fields: Mapping[str, Any], act: Callable[[], WriteResult]
    ) -> str:
        document = self._store.documents.get(profile_id)
        before = Document(document.epoch, dict(document.cells))
        result = act()
        after = self._store.documents.get(profile_id)
        if after.version != before.version:
            ticket = self._network.ticket(self.name)
            self.tickets.append(ticket)
            self._promises.note(profile_id, before, after, ticket, fields)
        return result.version


class AsyncReplicaUnderTest:
    """One replica of a trial, for a writer that is a coroutine: its writes are awaited."""

    def __init__(self, replica: ReplicaUnderTest) -> None:
        self._replica = replica
        self.name = replica.name
        self.schema = replica.schema
        self.read = replica.read
        self.explain = replica.explain
        self.profiles = replica.profiles

    async def write(
        self,
        profile_id: str,
        fields: Mapping[str, Any],
        *,
        source: str,
        if_version: str | None = None,
    ) -> str:
        """Write what a source says about a profile; return its version."""
        return self._replica.write(profile_id, fields, source=source, if_version=if_version)

    async def write_many(self, writes: Iterable[Write]) -> list[WriteResult | CrdtstoreError]:
        """Make several writes; return a result or an error for each, in order."""
        return self._replica.write_many(writes)

    async def erase(self, profile_id: str, *, if_version: str | None = None) -> str:
        """Erase a profile for good; return its version."""
        return self._replica.erase(profile_id, if_version=if_version)

    async def revive(self, profile_id: str, *, if_version: str | None = None) -> str:
        """Let an erased profile take writes again; return its version."""
        return self._replica.revive(profile_id, if_version=if_version)
