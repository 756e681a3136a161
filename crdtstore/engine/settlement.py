"""Settlements: documents as they come to rest, and what goes with them.

A settlement is part of a commit, or a transaction of its own. Then the commit that it was taken
with is durable before it begins, and others may become so beside it: it has nothing that was
written after that commit began, and nobody waits for it but who reads documents at rest.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from crdtstore.engine.documents import Documents
from crdtstore.engine.identifiers import changes_between
from crdtstore.engine.ledger import Waypoint
from crdtstore.engine.mark import Mark
from crdtstore.model.cells import texts_in
from crdtstore.model.document import Document
from crdtstore.model.texts import Text
from crdtstore.storage.contract import Batch, MapFull, Storage


class Rested(NamedTuple):
    """A document as a settlement brings it to rest."""

    profile_id: str
    document: Document
    epoch: int
    stamp: int
    digest: int
    identifiers: frozenset[str]
    texts: tuple[tuple[Text, int], ...]
    text_names: frozenset[str]


@dataclass(slots=True)
class Settlement:
    """Documents on their way to rest. ``settle`` may run in a worker thread.

    ``digest`` and ``profiles`` are the totals of all documents at rest after it, ``wanted`` the ids
    of documents for which somebody waits, ``trim`` how the journal is cut with it, ``completed``
    the mark of the checkpoint that it ends.
    """

    digest: int
    profiles: int
    batch: Batch = field(default_factory=Batch)
    rested: list[Rested] = field(default_factory=list)
    wanted: list[str] = field(default_factory=list)
    trim: Waypoint | None = None
    completed: Mark | None = None

    def settle(self, storage: Storage) -> None:
        """Bring it to rest apart from its commit; raises MapFull, StorageFull or StorageFailed."""
        storage.settle(self.batch)

    def settle_growing(self, storage: Storage) -> None:
        """Bring it to rest in the caller's own thread, growing the map as needed."""
        while True:
            try:
                return self.settle(storage)
            except MapFull:
                if not storage.grow():
                    raise

    def add(self, documents: Documents, profile_ids: Iterable[str], *, is_calm: bool) -> None:
        """Put dirty documents, and what they change in the index, into its batch.

        They are packed for storage if the checkpoint ``is_calm``.
        """
        batch, traces = self.batch, documents.fresh.traces
        rested = documents.rest(sorted(profile_ids), is_calm=is_calm)
        for profile_id, document, (record, digest, identifiers) in rested:
            batch.documents.append((profile_id.encode(), record))
            batch.index += changes_between(
                traces, profile_id, document.stored_identifiers, identifiers
            )
            batch.index += documents.indexes.changes(profile_id, document)
            batch.meta.update(documents.texts.rows(profile_id, document))
            texts = tuple((text, text.changes) for text in document.texts.values())
            has_texts = bool(texts or document.stored_texts)
            self.rested.append(
                Rested(
                    profile_id,
                    document,
                    document.epoch,
                    document.stamp,
                    digest,
                    identifiers,
                    texts,
                    texts_in(document.cells) if has_texts else frozenset(),
                )
            )
            self.digest ^= document.stored_digest ^ digest
            self.profiles += (1 - (document.epoch & 1)) - document.stored_living

    def cut(self, trim: Waypoint) -> None:
        """Have the journal cut with it."""
        self.trim = trim
        self.batch.trim_before = trim.position + 1
        self.batch.meta["trimmed"] = trim.pack()

    def take_note(self, documents: Documents) -> None:
        """Take note that it has ended: documents rest as it has them, some have changed since."""
        for rested in self.rested:
            profile_id, document, epoch, stamp, digest, identifiers, texts, text_names = rested
            document.stored_digest = digest
            document.stored_living = 1 - (epoch & 1)
            document.stored_identifiers = identifiers
            document.stored_texts = text_names
            for text, changes in texts:
                text.rested = changes
            if document.stamp == stamp and document.epoch == epoch:
                documents.settle(profile_id)
