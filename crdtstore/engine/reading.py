"""Reading: golden records, explanations, pages of profiles, and the change feed of one store."""

from collections.abc import Callable

from crdtstore.engine.conflict_log import ConflictLog
from crdtstore.engine.documents import Documents
from crdtstore.engine.feed import Change, end_cursor, read_changes
from crdtstore.engine.ledger import Ledger
from crdtstore.engine.listing import living_document, living_profiles
from crdtstore.engine.replication import Replication
from crdtstore.engine.retention import Retention
from crdtstore.model.candidates import Candidate
from crdtstore.model.golden import explain, resolve
from crdtstore.model.profile import Profile, TextReader
from crdtstore.schema import Schema
from crdtstore.storage.contract import Storage


class Reading:
    """What readers of one store see, as its methods of the same names tell."""

    def __init__(
        self,
        storage: Storage,
        documents: Documents,
        schema: Schema,
        ledger: Ledger,
        retention: Retention,
        replication: Replication,
        conflicts: ConflictLog,
        texts: TextReader,
        now_ms: Callable[[], int],
    ) -> None:
        self._storage = storage
        self._documents = documents
        self._schema = schema
        self._ledger = ledger
        self._retention = retention
        self._replication = replication
        self._conflicts = conflicts
        self._texts = texts
        self._now_ms = now_ms

    def read(self, profile_id: str) -> Profile:
        """Return the golden record of a profile."""
        document = living_document(self._documents, profile_id)
        return resolve(profile_id, document, self._schema, self._texts)

    def explain(self, profile_id: str, field: str | None) -> list[Candidate]:
        """Return every candidate of every field, or of one."""
        document = living_document(self._documents, profile_id)
        return explain(profile_id, document, self._schema, self._replication.names, field)

    def profiles(self, after: str, limit: int) -> list[Profile]:
        """Return a page of living profiles."""
        return living_profiles(
            self._storage, self._documents, self._schema, self._texts, after, limit
        )

    def changes(self, since: str, limit: int) -> list[Change]:
        """Return a page of the change feed."""
        self._retention.feed_read(self._now_ms())
        if since == "end":
            since = end_cursor(self._ledger)
        names = self._replication.names
        return read_changes(self._ledger, names, self._conflicts, since, limit)
