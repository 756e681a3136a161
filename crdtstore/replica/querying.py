"""Querying a running replica: the event loop goes on between slices of a few milliseconds."""

import asyncio
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import BinaryIO, TypeVar

from crdtstore.engine.index_reading import Steps
from crdtstore.engine.querying import QueryCount, QueryPage
from crdtstore.group_commit import GroupCommit
from crdtstore.model.profile import Profile
from crdtstore.replica.exporting import ExportProgress, export_replica, nameless_export
from crdtstore.store import Store

_T = TypeVar("_T")


class ReplicaQueries:
    """What ``Store.queries`` does, on a replica: ``await replica.queries.page('age ge 30')``."""

    def __init__(self, store: Store, commits: GroupCommit, directory: Path | None) -> None:
        self._store = store
        self._commits = commits
        self._directory = directory

    async def page(
        self, where: str = "", *, order: str = "", after: str = "", limit: int = 100
    ) -> QueryPage:
        """Return up to ``limit`` living profiles that a filter asks for ("": all).

        ``order`` is a field, with a ``-`` before it for falling order; without it they come in the
        order of their ids. ``after`` is the ``next`` of the page before. Raises InvalidFilter, or
        QueryTooBroad where only an index could answer.
        """
        return await finished_in_turns(self._store.queries.page_steps(where, order, after, limit))

    async def count(self, where: str = "") -> QueryCount:
        """Return how many living profiles a filter asks for; raises as ``page`` does."""
        return await finished_in_turns(self._store.queries.count_steps(where))

    async def all(self, where: str = "", *, order: str = "") -> AsyncGenerator[Profile, None]:
        """Yield all profiles that a filter asks for, read page by page."""
        after: str | None = ""
        while after is not None:
            page = await self.page(where, order=order, after=after)
            for profile in page.profiles:
                yield profile
            after = page.next

    def export(
        self, path: str | os.PathLike[str], *, form: str = "parquet"
    ) -> AsyncGenerator[ExportProgress, None]:
        """Write the golden records of all profiles, as they are now, into a new file.

        ``form`` is "parquet", "arrow" or "jsonl". Yields how far it is; worker threads do the work.
        Raises ConfigurationError if pyarrow is missing, TargetExists, StorageFull or StorageError.
        """
        return export_replica(self._store, self._commits, path, form)

    async def export_nameless(self, form: str) -> BinaryIO:
        """Return such an export in a file without a name, to be read from its start and closed."""
        return await nameless_export(self._store, self._commits, form, self._directory)


async def finished_in_turns(steps: Steps[_T]) -> _T:
    """Return what a generator returns; at each of its pauses the event loop has its turn."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            value: _T = end.value
            return value
        await asyncio.sleep(0)
