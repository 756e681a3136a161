"""Store: the synchronous heart. It holds the documents of one space, and does all the work.

It is single-threaded and deterministic: time and randomness are injected, bytes come in and go out
through its storage and its ``replication``. Programs without asyncio use it as it is:

    with Store.open("./eu", name="eu") as store:
        store.write("ann", {"email": "ann@example.com"}, source="salesforce")
        store.commit()
"""

import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from crdtstore.clock import HybridClock
from crdtstore.engine.causes import Causes
from crdtstore.engine.commits import Commit, Committing, persist_growing
from crdtstore.engine.conflict_log import ConflictLog
from crdtstore.engine.conflicts import Conflicts
from crdtstore.engine.cursors import Cursors
from crdtstore.engine.digests import Digests, StoreDigest
from crdtstore.engine.documents import Documents
from crdtstore.engine.drafting import Drafting
from crdtstore.engine.erasures import Erasures
from crdtstore.engine.feed import Change
from crdtstore.engine.identifiers import ensure_index
from crdtstore.engine.identity import settle_identity
from crdtstore.engine.indexes import Indexes
from crdtstore.engine.ledger import Ledger
from crdtstore.engine.persons import Persons
from crdtstore.engine.queries import Queries
from crdtstore.engine.reading import Reading
from crdtstore.engine.recovery import recover
from crdtstore.engine.replication import Replication
from crdtstore.engine.retention import Retention
from crdtstore.engine.returning import Returning
from crdtstore.engine.room import Room
from crdtstore.engine.settlement import Settlement
from crdtstore.engine.stream_sessions import StreamSessions
from crdtstore.engine.text_fields import TextFields
from crdtstore.engine.verification import Verification, VerifyReport
from crdtstore.engine.writes import WriteResult
from crdtstore.engine.writing import Writing
from crdtstore.errors import CrdtstoreError, ReplicaClosed, StorageError, StorageFailed, StorageFull
from crdtstore.model.candidates import Candidate
from crdtstore.model.erasure import Traces
from crdtstore.model.profile import Profile
from crdtstore.person_errors import ReplicaReturning
from crdtstore.schema import Schema
from crdtstore.settings import Settings
from crdtstore.storage.contract import Storage
from crdtstore.storage.logged_storage import LoggedStorage
from crdtstore.sync.frame import space_tag


class Store:
    """One replica's documents, journal and identity. Open it with ``Store.open``.

    Writes are applied at once, and durable after ``commit``. ``replication`` is the side that faces
    the peers, ``commits`` the one that faces the disk: a mere reader and writer needs neither.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        name: str,
        space: str,
        schema: Schema,
        settings: Settings,
        now_ms: Callable[[], int],
        random_bits: Callable[[int], int],
    ) -> None:
        self.schema = schema
        self.settings = settings
        self.storage = storage
        self.now_ms = now_ms
        self.random_bits = random_bits
        identity = settle_identity(storage, name, space, random_bits)
        tag = space_tag(space)
        traces = Traces(space, settings.suppression_key)
        has_index = ensure_index(storage, traces)
        self._clock = HybridClock()
        self.documents = Documents(storage, settings.cache_bytes, traces, Indexes(storage, schema))
        self.ledger = Ledger(storage, tag)
        causes = Causes(self.ledger)
        recover(storage, self.documents, self.ledger, causes, self._clock, tag)
        self.conflict_log = ConflictLog(storage, causes)
        self._drafting = Drafting(
            self.documents, self.ledger, self._clock, causes, self.conflict_log,
            origin=identity.origin, tag=tag, clock_skew_ms_max=settings.clock_skew_ms_max,
        )  # fmt: skip
        self.retention = Retention(
            storage, self.ledger, self._drafting,
            journal_retention_ms=settings.journal_retention_ms,
            acknowledged_retention_ms=settings.acknowledged_retention_ms,
            journal_bytes_max=settings.journal_bytes_max,
        )  # fmt: skip
        self.commits = Committing(
            storage, self.documents, self.ledger, self._drafting, self._clock, self.retention
        )
        self.replication = Replication(
            storage, self.documents, self.ledger, self._drafting, self.commits, identity, now_ms()
        )
        self.erasures = Erasures(
            storage, self.documents, self.ledger, self._drafting, self._clock, self.commits,
            self.retention, self.replication, settings.erasure_grace_ms, now_ms, random_bits,
        )  # fmt: skip
        self.digests = Digests(self.ledger, self.replication, self.erasures)
        self._texts = texts = TextFields(self.documents, self.replication.origins, schema)
        parts = (storage, self.documents, schema, self.replication, self.erasures, texts)
        self._persons = Persons(self, *parts, has_index)
        self._queries = Queries(storage, self.documents, self.commits, self.erasures, schema, texts)
        self.writing = Writing(self.documents, self._drafting, self._clock, schema)
        self._reading = Reading(
            storage, self.documents, schema, self.ledger, self.retention, self.replication,
            self.conflict_log, texts, now_ms,
        )  # fmt: skip
        self.returning = Returning(storage, self._drafting)
        self.cursors = Cursors(storage, self._drafting)
        self.streams = StreamSessions(storage, self._drafting, now_ms())
        self._commits_failed = 0
        self._room = Room(storage)
        self.failure: StorageError | None = None
        self._is_closed = False
        self.erasures.load()

    @classmethod
    def open(
        cls,
        where: str | Path | Storage,
        *,
        name: str,
        space: str = "default",
        schema: Schema | None = None,
        settings: Settings | None = None,
        now_ms: Callable[[], int] | None = None,
        random_bits: Callable[[int], int] | None = None,
    ) -> "Store":
        """Open the store of a data directory (made if absent) or of a storage.

        ``now_ms`` returns Unix milliseconds, ``random_bits`` so many random bits; the defaults are
        the system's. Raises StorageError (DirectoryInUse, FormatTooNew, StorageCorrupt,
        SpaceMismatch …) or InvalidName.
        """
        settings = settings or Settings()
        if isinstance(where, str | Path):
            storage: Storage = LoggedStorage.open(
                where, map_bytes_initial=settings.map_bytes_initial,
                map_bytes_max=settings.map_bytes_max, witness_directory=settings.witness_directory,
            )  # fmt: skip
        else:
            storage = where
        try:
            store = cls(
                storage, name=name, space=space, schema=schema or Schema(), settings=settings,
                now_ms=now_ms or (lambda: time.time_ns() // 1_000_000),
                random_bits=random_bits or secrets.randbits,
            )  # fmt: skip
            with suppress(StorageFull):
                store.commit()
        except BaseException:
            storage.close()
            raise
        return store

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- writing ------------------------------------------------------------------------------

    def write(
        self,
        profile_id: str,
        fields: Mapping[str, Any],
        *,
        source: str,
        if_version: str | None = None,
        cursors: Mapping[str, str] | None = None,
    ) -> WriteResult:
        """Apply what a source says about a profile; reads see it at once, a commit keeps it.

        ``fields`` maps names to values (None clears) or operations. With ``if_version`` the profile
        must be at that version. ``cursors`` moves durable cursors in the same commit. Raises
        InvalidInput or Refused with nothing changed, StorageFull or StorageFailed.
        """
        if (refusal := self.refusal) is not None:
            raise refusal
        if cursors:
            self.cursors.check(cursors)
        now_ms = self.now_ms()
        document, changed = self.writing.apply(profile_id, fields, source, if_version, now_ms)
        if cursors:
            self.cursors.move(cursors)
        return WriteResult(profile_id, document.version, changed)

    def erase(self, profile_id: str, *, if_version: str | None = None) -> WriteResult:
        """Erase a profile, known here or not: its values go, and late writes cannot bring it back.

        It refuses writes until it is revived. Erasing it again changes nothing.
        """
        self._check_open()
        return self.writing.move_epoch(profile_id, if_version, self.now_ms(), to_erased=True)

    def revive(self, profile_id: str, *, if_version: str | None = None) -> WriteResult:
        """Let an erased profile take writes again, from nothing; a living one is left as it is."""
        self._check_open()
        return self.writing.move_epoch(profile_id, if_version, self.now_ms(), to_erased=False)

    @property
    def refusal(self) -> CrdtstoreError | None:
        """Why the store takes no writes now, None if it takes them."""
        if self._is_closed:
            return ReplicaClosed("the store was closed")
        if self.failure is not None:
            return StorageFailed(f"the store stopped writing: {self.failure}")
        return self.replication.refusal or self._room.refusal(self.now_ms())

    def _check_open(self) -> None:
        """Refuse what even a full disk takes; raises ReplicaClosed or StorageFailed."""
        refusal = self.refusal
        if refusal is not None and not isinstance(refusal, StorageFull):
            raise refusal

    # --- committing ---------------------------------------------------------------------------

    def commit(self, *, checkpoint: bool = False) -> None:
        """Make durable what was written; with ``checkpoint`` bring all documents to rest too.

        Raises StorageFull or StorageFailed, after undoing what could not be made durable.
        """
        goes_on = True
        while goes_on:
            commit = self.begin_commit(checkpoint=checkpoint)
            if commit is not None:
                try:
                    persist_growing(commit, self.storage)
                except StorageError as error:
                    self.finish_commit(commit, error)
                    raise
                self.finish_commit(commit)
            goes_on = commit is not None and (checkpoint or commit.makes_room)
            goes_on |= self.erasures.cleaning.finish(commit, self.now_ms())

    def begin_commit(self, *, checkpoint: bool = False, apart: bool = False) -> Commit | None:
        """Return the commit that makes durable what was written, None if there is nothing to do.

        The caller persists it, in any thread, and then calls ``finish_commit`` in this one; with
        ``apart`` likewise its settlement, beside other commits.
        """
        if self.failure is not None:
            raise StorageFailed(f"the store stopped writing: {self.failure}")
        room, now_ms = self._room, self.now_ms()
        self.erasures.advance(now_ms, may_write=self.refusal is None)
        is_urgent = self._drafting.draft.erasures > 0 and room.is_short()
        is_lean = is_urgent or (room.refuses(now_ms) and not checkpoint)
        commit = self.commits.begin(
            now_ms, checkpoint, is_full=room.is_full, is_lean=is_lean, apart=apart
        )
        self.erasures.cleaning.commit_begun(commit)
        if commit is not None and is_urgent and commit.draft.erasures:
            room.open_reserve()
        return commit

    def finish_commit(self, ended: Commit | Settlement, error: StorageError | None = None) -> None:
        """Take note that a commit is durable, or undo it; a settlement that failed stays dirty."""
        if isinstance(ended, Settlement):
            self.commits.settled(ended, error)
        elif error is None:
            self.commits.finish(ended)
            self.erasures.cleaning.commit_finished()
            self.cursors.committed(ended.draft)
            self.streams.committed(ended.draft)
            self.documents.texts.watches.tell(ended.draft.notices)
            self._room.commit_ended(None, self.now_ms())
        else:
            self._undo(ended)
        if error is not None:
            self._room.commit_ended(error, self.now_ms())
        if error is not None and not isinstance(error, StorageFull):
            self.failure = error

    def _undo(self, commit: Commit) -> None:
        self.commits.abandon(commit)
        self.erasures.load()
        self.replication.commit_failed()
        self.conflict_log.reload()
        self.cursors.commit_failed()
        self.streams.commit_failed(self.now_ms())
        self._commits_failed += 1

    # --- reading ------------------------------------------------------------------------------

    def read(self, profile_id: str) -> Profile:
        """Return the golden record; raises ProfileNotFound or ProfileErased."""
        self._check_readable()
        return self._reading.read(profile_id)

    def explain(self, profile_id: str, field: str | None = None) -> list[Candidate]:
        """Return every candidate of every field (or of one), with the rule that chose."""
        self._check_readable()
        return self._reading.explain(profile_id, field)

    def profiles(self, *, after: str = "", limit: int = 100) -> list[Profile]:
        """Return up to ``limit`` living profiles whose id is above ``after``, in id order."""
        self._check_readable()
        return self._reading.profiles(after, limit)

    def changes(
        self, *, since: str = "", limit: int = 1_000, persons: bool = False
    ) -> list[Change]:
        """Return durable changes after a cursor ("" from the journal's start, "end" none so far).

        With ``persons`` each names those that it touched, and pages may end early. Raises
        CursorExpired if the journal no longer reaches back, InvalidInput for no cursor.
        """
        self._check_readable()
        found = self._reading.changes(since, limit)
        return self.persons.in_feed(found) if persons else found

    def _check_readable(self) -> None:
        """Raise ReplicaClosed, or ReplicaReturning before a restored replica has met a peer."""
        if self._is_closed:
            raise ReplicaClosed("the store was closed")
        if self.returning.is_awaited:
            raise ReplicaReturning

    def digest(self) -> StoreDigest:
        """Return number of profiles, digest and vector: equal on converged replicas."""
        return self.digests.whole()

    def verify(self) -> VerifyReport:
        """Read every record at rest and check it; reports what is damaged."""
        return Verification(self.storage, self.commits).whole()

    def cursor(self, name: str) -> str | None:
        """Return a durable cursor that a write moved, None if it never did."""
        return self.cursors.get(name)

    @property
    def persons(self) -> Persons:
        """The persons of the store: which profiles are one, and their golden records."""
        self._check_readable()
        return self._persons

    @property
    def queries(self) -> Queries:
        """Pages of profiles that a filter asks for, in an order, and how many there are."""
        self._check_readable()
        return self._queries

    @property
    def texts(self) -> TextFields:
        """The collaborative fields, for reading."""
        self._check_readable()
        return self._texts

    @property
    def conflicts(self) -> Conflicts:
        """What lost against a write of the same source that had not seen it."""
        self._check_readable()
        return Conflicts(self, self.conflict_log, self.documents, self.replication)

    @property
    def profile_count(self) -> int:
        """How many living profiles there are."""
        return self.commits.living() - self.erasures.count

    @property
    def counters(self) -> dict[str, int]:
        """What happened since the store was opened, by name; every number only grows."""
        rounds, failed = self.erasures.cleaning.rounds, self._commits_failed
        own = {"noops": self.writing.noops, "writes_suppressed": self.writing.suppressed}
        own |= {"cleaning_rounds": rounds, "commits_failed": failed}
        own |= self._persons.counters | self._drafting.counters | self.conflict_log.counters
        return own | self.commits.counters | self.replication.counters

    def close(self) -> None:
        """Make everything durable, bring the documents to rest, and let the directory go.

        Raises StorageFull or StorageFailed if something written could not be made durable.
        """
        if self._is_closed:
            return
        self._is_closed = True
        try:
            if self.failure is None:
                self.commit()
                with suppress(StorageFull):
                    self.commit(checkpoint=True)
        finally:
            self.storage.close()
