"""Collaboration: the texts and lists of a running replica, for readers and for Yjs clients.

Reading is as on a store (``store.texts``), and typed edits are operations of ``replica.write``.
What this module adds is what a service for Yjs clients (y-websocket) is built on:

    texts = replica.texts
    texts.kind("ann", "notes")                  -> "text"; the name of the Yjs root, too
    texts.epoch("ann")                          -> 0; a client of another epoch must begin anew
    texts.state_vector("ann", "notes")          -> bytes: sync step 1
    texts.missing("ann", "notes", vector)       -> bytes: sync step 2, for a vector from outside
    await texts.apply_update("ann", "notes", update, source="editor")    sync step 2, update
    async with texts.follow("ann", "notes") as news:
        async for updates, is_behind in news:   -> durable updates of everybody, in commit order

``apply_update`` takes bytes that nobody has looked at: it scans them, has native code try them in
a worker process, and writes what of them is news; when it returns, that is durable. What one client
sends is seen by the others through ``follow``, once it is durable. If ``is_behind``, updates are
missing before these: ask for what is missing by the state vector that was sent last. ``follow``
ends when the profile is erased: what a client has of it then must not come back, so it is closed.

Which Yjs client ids one session may use is its server's to know: see
``crdtstore.collaboration.rooms``. Ids that replicas write as are refused here.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from crdtstore.collaboration.trials import TextTrials
from crdtstore.engine.text_fields import TextEdit
from crdtstore.errors import InvalidOperation, ProfileErased, ReplicaClosed
from crdtstore.group_commit import GroupCommit
from crdtstore.model.operations import JoinUpdate
from crdtstore.model.texts import client_of
from crdtstore.model.updates import Update, decode_update, encode_update, fit
from crdtstore.store import Store


class ReplicaTexts:
    """The collaborative fields of one replica."""

    def __init__(self, store: Store, commits: GroupCommit) -> None:
        self.trials = TextTrials()
        self._store = store
        self._commits = commits
        self._is_closing = False

    # --- reading ------------------------------------------------------------------------------

    def read(self, profile_id: str, field: str) -> Any:
        """Return a text as a string, or the items of a list."""
        return self._store.texts.read(profile_id, field)

    def delta(self, profile_id: str, field: str) -> list[dict[str, Any]]:
        """Return a text as a rich-text (Quill) delta: inserts alone."""
        return self._store.texts.delta(profile_id, field)

    def history(self, profile_id: str, field: str) -> list[TextEdit]:
        """Return the newest edits (at most 200), newest first."""
        return self._store.texts.history(profile_id, field)

    def kind(self, profile_id: str, field: str) -> str:
        """Return "text" or "list": also the name of the root that Yjs clients use."""
        return self._store.texts.kind(profile_id, field)

    def epoch(self, profile_id: str) -> int:
        """Return the epoch of a profile: it moves when the profile is erased."""
        return self._store.texts.epoch(profile_id)

    # --- for Yjs clients ----------------------------------------------------------------------

    def state_vector(self, profile_id: str, field: str) -> bytes:
        """Return the Yjs state vector of a field."""
        return self._store.texts.state_vector(profile_id, field)

    def missing(self, profile_id: str, field: str, state_vector: bytes) -> bytes:
        """Return what a client with a state vector lacks, as an update; raises InvalidValue."""
        return self._store.texts.missing(profile_id, field, state_vector)

    async def apply_update(
        self,
        profile_id: str,
        field: str,
        update: bytes | Update,
        *,
        source: str,
        epoch: int | None = None,
    ) -> None:
        """Join a Yjs update from outside, decoded or not, and return when it is durable.

        ``epoch`` is that of the profile when its client began; nothing of another one comes in.
        Raises ProfileErased if it moved, InvalidInput for bytes that the scan refuses or that are
        beyond a limit, and UpdateRefused or TrialsBusy, all with nothing changed; StorageFull or
        StorageFailed.
        """
        texts = self._store.texts
        text = texts.text(profile_id, field)
        epoch = texts.epoch(profile_id) if epoch is None else epoch
        self._check_epoch(profile_id, epoch)
        given = update if isinstance(update, Update) else decode_update(update, text.kind)
        fitted = fit(given, text.clocks, text.pairs)
        self._check_clients(epoch, fitted.blocks.keys())
        if fitted.is_empty:
            return
        trimmed = encode_update(fitted, text.kind)
        await self.trials.try_update(f"{profile_id}\x1f{field}", text, trimmed)
        self._check_epoch(profile_id, epoch)
        operation = JoinUpdate(text.kind, trimmed)
        self._store.write(profile_id, {field: operation}, source=source)
        await self._commits.durable()

    def _check_epoch(self, profile_id: str, epoch: int) -> None:
        if self._store.texts.epoch(profile_id) != epoch:
            raise ProfileErased(profile_id)

    def _check_clients(self, epoch: int, clients: Any) -> None:
        origins = self._store.replication.names
        if any(client >> 52 for client in clients) and not clients.isdisjoint(
            client_of(origin, epoch) for origin in origins
        ):
            raise InvalidOperation("an update writes as a Yjs client that is a replica's")

    @asynccontextmanager
    async def follow(
        self, profile_id: str, field: str
    ) -> AsyncIterator[AsyncGenerator[tuple[list[bytes], bool], None]]:
        """Follow the durable updates of a text from now on, until the context or the profile ends.

        Yields (updates, whether others are missing before them).
        """
        texts = self._store.documents.texts
        kind = self._store.texts.kind(profile_id, field)
        watch = texts.watches.open(profile_id, kind[0] + field)

        async def news() -> AsyncGenerator[tuple[list[bytes], bool], None]:
            while not watch.has_ended:
                committed = self._commits.committed
                updates, is_behind = watch.take()
                if updates or is_behind:
                    yield updates, is_behind
                elif self._is_closing:
                    raise ReplicaClosed("the replica is closing")
                else:
                    await committed.wait()

        try:
            yield news()
        finally:
            texts.watches.close(watch)

    async def close(self) -> None:
        """End the worker process, and those who follow at the next commit."""
        self._is_closing = True
        await self.trials.close()
