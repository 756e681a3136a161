"""A machine: the disk of one replica, its clock, and the replica's process while it runs."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from crdtstore.engine.commits import Commit, persist_growing
from crdtstore.engine.resting import Resting
from crdtstore.engine.settlement import Settlement
from crdtstore.errors import StorageError
from crdtstore.links.exchange import Exchange
from crdtstore.storage.memory_storage import MemoryStorage
from crdtstore.store import Store
from crdtstore.sync.vector import Vector, vector_of

COMMIT_MS: Final = 2
"""Virtual milliseconds that a commit takes unless a machine is told otherwise."""


@dataclass(slots=True)
class Ticket:
    """What became of the writes of one turn.

    ``state`` is pending, committing, durable (then its writer was answered), kept (durable, but
    the process ended before it answered) or lost. ``origin`` and ``sequence`` name the last frame
    that may hold it; the sequence is 0 until that is known.
    """

    machine: str
    origin: int
    state: str = "pending"
    sequence: int = 0


class Machine:
    """One replica's machine. ``exchange`` is None while its process does not run.

    ``process`` counts the processes that ran here, ``commit_ms`` is how long a commit takes, and
    ``clock_ahead_ms`` how far its clock is from the true time.
    """

    def __init__(self, name: str, storage: MemoryStorage, space: str) -> None:
        self.name = name
        self.storage = storage
        self.space = space
        self.exchange: Exchange | None = None
        self.process = 0
        self.commit_ms = COMMIT_MS
        self.clock_ahead_ms = 0
        self.keeps_what_fails = False
        self.commit: Commit | None = None
        self.filling: list[Ticket] = []
        self.committing: list[Ticket] = []
        self.is_persisted = False
        self.settlement: Settlement | None = None
        self._failure: StorageError | None = None
        self._settling_failure: StorageError | None = None
        self._vector: Vector = {}

    @property
    def disk_vector(self) -> Vector:
        """What the disk durably holds, whether the process runs or not."""
        if self.exchange is None or self.is_persisted or self.keeps_what_fails:
            return self._vector
        return durable_vector(self.exchange.store)

    def replace_disk(self, storage: MemoryStorage, vector: Vector) -> None:
        """Put in another disk, which holds so much; the process must not run."""
        assert self.exchange is None, f"{self.name} is running"
        self.storage, self._vector = storage, vector

    @property
    def has_work(self) -> bool:
        """Whether something is written and not durable yet, or on its way to rest."""
        return bool(self.commit or self.settlement or self.filling)

    def begin(self) -> bool:
        """Begin a commit, if there is anything to commit and none is under way."""
        assert self.exchange is not None
        store = self.exchange.store
        if self.commit is not None or store.failure is not None:
            return False
        if store.commits.waits_for_settlement:
            return False
        if self.settlement is None:
            overwrite(store)
        self.commit = self.exchange.begin_commit(apart=True)
        if self.commit is not None and self.commit.makes_room:
            return True
        self._take_tickets()
        return self.commit is not None

    def checkpoint(self) -> bool:
        """Begin a commit that brings all documents to rest, unless another is under way."""
        assert self.exchange is not None
        if self.commit is not None or self.exchange.store.failure is not None:
            return False
        if self.settlement is not None:
            return False
        self.commit = self.exchange.store.begin_commit(checkpoint=True)
        if self.commit is not None and self.commit.makes_room:
            return True
        self._take_tickets()
        return self.commit is not None

    def _take_tickets(self) -> None:
        assert self.exchange is not None
        self.committing, self.filling = self.filling, []
        for ticket in self.committing:
            ticket.sequence = self.exchange.store.ledger.head(ticket.origin)[0]
        _mark(self.committing, "committing" if self.commit else "durable")

    def persist(self) -> None:
        """Make the commit under way durable, as the worker thread does: the store is not told."""
        assert self.commit is not None
        assert not self.is_persisted
        if self.exchange is not None:
            self.exchange.store.commits.prepare()  # as a replica does meanwhile
        try:
            persist_growing(self.commit, self.storage)
        except StorageError as failure:
            self._failure = failure
        else:
            self._vector = {**self.disk_vector, **self.commit.draft.reached}
        self.is_persisted = True

    def finish(self) -> StorageError | None:
        """Tell the store how its commit ended; return why, if it could not be made durable."""
        assert self.exchange is not None
        commit, self.commit = self.commit, None
        if commit is None:
            return None
        error, self._failure, self.is_persisted = self._failure, None, False
        self.exchange.finish_commit(commit, error)
        if not commit.makes_room or error is not None:
            _mark(self.committing, "durable" if error is None else "lost")
            self.committing = []
        if error is not None:
            _mark(self.filling, "lost")
            self.filling = []
        self.settlement = self.exchange.store.commits.settling
        return error

    def settle(self) -> None:
        """Bring to rest what is settling, as the second worker thread does."""
        assert self.settlement is not None
        try:
            self.settlement.settle_growing(self.storage)
        except StorageError as failure:
            self._settling_failure = failure

    def finish_settlement(self) -> StorageError | None:
        """Tell the store how its settlement ended; return why, if it could not be made."""
        assert self.exchange is not None
        assert self.settlement is not None
        settlement, self.settlement = self.settlement, None
        error, self._settling_failure = self._settling_failure, None
        self.exchange.finish_settlement(settlement, error)
        return error

    def fail_but_keep(self, error: StorageError) -> None:
        """Tell the store that the commit that is durable has failed."""
        assert self.exchange is not None
        assert self.commit is not None
        assert self.is_persisted
        if self._failure is not None:
            self.finish()
            return
        commit, self.commit = self.commit, None
        self.is_persisted = False
        self.exchange.finish_commit(commit, error)
        _mark(self.committing, "kept")
        _mark(self.filling, "lost")
        self.filling, self.committing = [], []
        self.keeps_what_fails = True

    def stop(self, *, persists: bool) -> None:
        """Stop at once; what is under way reaches the disk if ``persists``, unanswered."""
        self._vector = dict(self.disk_vector)
        self.keeps_what_fails = False
        if persists and self.settlement is not None:
            self.settle()
        if persists and self.commit is not None and not self.is_persisted:
            self.persist()
        is_kept = self.is_persisted and self._failure is None
        if self.commit is None or not self.commit.makes_room:
            _mark(self.committing, "kept" if is_kept else "lost")
        _mark(self.filling, "lost")
        self.commit, self.filling, self.committing = None, [], []
        self._failure, self.is_persisted = None, False
        self.settlement, self._settling_failure = None, None
        self.exchange = None


def overwrite(store: Store) -> None:
    """Overwrite what was erased, as a replica's worker thread does between commits."""
    cleaning = store.erasures.cleaning
    while cleaning.scrub is not None:
        cleaning.step(store.now_ms())


def is_at_rest(store: Store) -> bool:
    """Say whether all that a store shows is durable."""
    return store.replication.vector == vector_of(store.ledger.heads)


def durable_vector(store: Store) -> Vector:
    """Return what a store durably has of every origin, those at rest included."""
    resting = {origin: head[0] for origin, head in Resting(store.storage).items()}
    return resting | store.replication.vector


def _mark(tickets: Iterable[Ticket], state: str) -> None:
    for ticket in tickets:
        ticket.state = state
