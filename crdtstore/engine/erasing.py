"""Erasing: what a store does about erasures, its own and those that arrive.

An erasure is a document. Whoever has it erases the profiles that it names, and every profile that
holds an identifier whose trace it has, then and whenever one arrives later. These erasures are
ordinary writes: replicas that do the same at once reach the same epoch, and what one of them found
the others get. So in any order of arrival all come to the same documents, none of which is alive
and holds a suppressed identifier.
"""

from collections.abc import Iterable

from crdtstore import limits
from crdtstore.clock import HybridClock, wall_ms_of
from crdtstore.engine.documents import Documents
from crdtstore.engine.drafting import Drafting
from crdtstore.engine.identifiers import candidates
from crdtstore.model.cells import Cells, forget_keys
from crdtstore.model.document import erased_epoch
from crdtstore.model.erasure import (
    ERASURE_PREFIX,
    Erasure,
    erasure_document_id,
    erasure_of,
    lifting_cells,
    named_cells,
    request_cells,
    state_cells,
)
from crdtstore.model.identifiers import forget_normalised
from crdtstore.model.identity import identifiers_in
from crdtstore.storage.contract import Storage

_NAMED_PER_WRITE = 400


class Erasing:
    """The erasures of one store. ``owed`` are those of which it may hold old bytes.

    ``settle`` is to be called whenever something was applied, before anything else is read.
    """

    def __init__(
        self,
        storage: Storage,
        documents: Documents,
        drafting: Drafting,
        clock: HybridClock,
    ) -> None:
        self.suppression = drafting.suppression
        self.owed: set[str] = set()
        self.found_late = 0
        self._storage = storage
        self._documents = documents
        self._drafting = drafting
        self._clock = clock

    def load(self) -> None:
        """Read all erasures anew: when the store is opened, and when a commit was undone."""
        self.suppression.clear()
        self.suppression.arrived.clear()
        self.suppression.late.clear()
        self.owed.clear()
        for document_id in self._stored_ids():
            document = self._documents.get_to_join(document_id)
            if not document.is_absent:
                self.suppression.put(document_id, erasure_of(document_id, document.cells))

    def _stored_ids(self) -> list[str]:
        """Return the ids of all documents that are erasures, at rest or not."""
        found = {each for each in self._documents.dirty if each.startswith(ERASURE_PREFIX)}
        after = ERASURE_PREFIX.encode()
        while True:
            records = self._storage.documents(
                after, limit=limits.PAGE_PROFILES_MAX, bytes_max=limits.JOURNAL_CACHE_BYTES
            )
            keys = [key for key, _ in records if key.startswith(ERASURE_PREFIX.encode())]
            found.update(key.decode() for key in keys)
            if not keys or len(keys) < len(records):
                return sorted(found)
            after = keys[-1]

    # --- asking for one -----------------------------------------------------------------------

    def order(
        self,
        erasure_id: str,
        kind: str,
        profiles: Iterable[str],
        identifiers: Iterable[str],
        *,
        source: str,
        now_ms: int,
    ) -> Erasure:
        """Erase profiles, and suppress identifiers; nothing is durable before the next commit."""
        document_id = erasure_document_id(erasure_id)
        named = sorted(profiles)
        epochs = [self._documents.get_to_join(profile_id).epoch for profile_id in named]
        timestamp, origin = self._clock.tick(now_ms), self._drafting.origin
        self._write(
            document_id,
            request_cells(
                kind=kind,
                epoch=erased_epoch(max(epochs, default=0), wall_ms_of(timestamp)),
                key_check=self.suppression.traces.check,
                source=source,
                timestamp=timestamp,
                origin=origin,
            ),
        )
        self._drafting.draft.erasures += 1  # so that it is urgent, even if it names no profile
        traces = sorted(map(self.suppression.traces.of, identifiers))
        for start in range(0, max(len(named), len(traces)), _NAMED_PER_WRITE):
            part = slice(start, start + _NAMED_PER_WRITE)
            cells = named_cells(
                named[part], traces[part], source=source, timestamp=timestamp, origin=origin
            )
            self._write(document_id, cells)
        self.suppression.arrived[document_id] = None
        self.settle()
        return self.suppression.erasures[document_id]

    def lift(self, document_id: str, source: str) -> Erasure:
        """Let the identifiers of an erasure be written again; what was erased stays so."""
        timestamp = self._clock.tick(0)
        self._write(document_id, lifting_cells(source, timestamp, self._drafting.origin))
        self.suppression.arrived[document_id] = None
        self.settle()
        return self.suppression.erasures[document_id]

    def say(self, document_id: str, replica: str, state: str) -> None:
        """Write down how far this replica is with an erasure."""
        timestamp = self._clock.tick(0)
        cells = state_cells(replica, state, timestamp, self._drafting.origin)
        self._write(document_id, cells)
        document = self._documents.get_to_join(document_id)
        self.suppression.put(document_id, erasure_of(document_id, document.cells))

    def _write(self, document_id: str, cells: Cells) -> None:
        document = self._documents.get_to_join(document_id)
        self._drafting.record(document_id, document, document.epoch, cells)

    # --- doing it -----------------------------------------------------------------------------

    def settle(self) -> None:
        """Act on all that arrived: erase what must be erased."""
        suppression = self.suppression
        if suppression.late:
            self.owed |= suppression.late
            self.found_late += len(suppression.late)
            suppression.late = set()
        while suppression.arrived:
            arrived, suppression.arrived = suppression.arrived, {}
            for document_id in sorted(arrived):
                if document_id.startswith(ERASURE_PREFIX):
                    self._learn(document_id)
                else:
                    self._erase_holder(document_id)

    def _learn(self, document_id: str) -> None:
        known = self.suppression.erasures.get(document_id)
        document = self._documents.get_to_join(document_id)
        if document.is_absent:
            return
        erasure = erasure_of(document_id, document.cells)
        self.suppression.put(document_id, erasure)
        profiles, traces = erasure.profiles, erasure.traces
        if known is not None:
            profiles, traces = profiles - known.profiles, traces - known.traces
        if known is None or profiles or traces:
            self.owed.add(document_id)
        for profile_id in sorted(profiles):
            if self._documents.get_to_join(profile_id).epoch < erasure.epoch:
                self._erase(profile_id, erasure.epoch)
            else:
                self._mend(profile_id)
        if erasure.lifted_by:
            return
        for trace in sorted(traces):
            for profile_id in list(candidates(self._storage, self._documents.fresh, trace)):
                self._erase_holder(profile_id)

    def _erase_holder(self, profile_id: str) -> None:
        """Erase a profile if it holds a suppressed identifier, and have the erasures name it."""
        document = self._documents.get_to_join(profile_id)
        if document.is_erased:
            return
        covering = self.suppression.of_identifiers(identifiers_in(document.cells))
        if not covering:
            return
        erasures = self.suppression.erasures
        epoch = max(erasures[document_id].epoch for document_id in covering)
        self._erase(profile_id, max(epoch, erased_epoch(document.epoch, 0)))
        self.owed |= covering
        for document_id in sorted(covering):
            if profile_id not in erasures[document_id].profiles:
                cells = named_cells(
                    [profile_id],
                    [],
                    source=erasures[document_id].source,
                    timestamp=self._clock.tick(0),
                    origin=self._drafting.origin,
                )
                self._write(document_id, cells)
                self.suppression.arrived[document_id] = None

    def _erase(self, profile_id: str, epoch: int) -> None:
        document = self._documents.get_to_join(profile_id)
        self._drafting.record(profile_id, document, epoch, {})
        self._mend(profile_id)

    def _mend(self, profile_id: str) -> None:
        """Have a damaged document rest without what its record held, if it is erased."""
        documents = self._documents
        document = documents.damaged.get(profile_id)
        if document is not None and document.is_erased:
            document.stored_texts = documents.texts.names_at_rest(profile_id)
            documents.make_whole(profile_id)
            self._drafting.draft.healed.append(profile_id)
            self._drafting.draft.resting.append(profile_id)

    def forget(self, erasures: Iterable[Erasure]) -> None:
        """Drop what memory has beside the documents of cells, identifiers and texts."""
        forget_keys()
        forget_normalised()
        self._documents.texts.forget({each for erasure in erasures for each in erasure.profiles})
