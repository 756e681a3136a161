"""Suppression: which identifiers and profiles were erased, in memory, and what came for them.

It is rebuilt from the documents of the erasures whenever the store is opened, so nothing of it is
stored. Where there is no erasure it costs one comparison per write.
"""

from collections.abc import Iterable

from crdtstore.model.cells import Cells
from crdtstore.model.document import Document
from crdtstore.model.erasure import ERASURE_PREFIX, Erasure, Traces
from crdtstore.model.identity import IDENTIFIER_PREFIX, identifiers_in


class Suppression:
    """The erasures that a store knows, by the ids of their documents.

    ``arrived`` are ids of documents that came from elsewhere and have to be looked at: erasures,
    and profiles with a suppressed identifier. ``late`` are erasures of profiles for which something
    came that was written before.
    """

    def __init__(self, traces: Traces) -> None:
        self.traces = traces
        self.erasures: dict[str, Erasure] = {}
        self.arrived: dict[str, None] = {}
        self.late: set[str] = set()
        self._by_trace: dict[bytes, set[str]] = {}
        self._by_profile: dict[str, set[str]] = {}

    def put(self, document_id: str, erasure: Erasure) -> None:
        """Take an erasure in, or what is new of it."""
        self.erasures[document_id] = erasure
        for profile_id in erasure.profiles:
            self._by_profile.setdefault(profile_id, set()).add(document_id)
        for trace in erasure.traces:
            holders = self._by_trace.setdefault(trace, set())
            if not erasure.lifted_by:
                holders.add(document_id)
            else:
                holders.discard(document_id)
                if not holders:
                    del self._by_trace[trace]

    def clear(self) -> None:
        """Forget everything."""
        self.erasures.clear()
        self._by_trace.clear()
        self._by_profile.clear()

    def of_identifiers(self, identifiers: Iterable[str]) -> set[str]:
        """Return the erasures that suppress one of some identifiers."""
        found: set[str] = set()
        if self._by_trace:
            for text in identifiers:
                found |= self._by_trace.get(self.traces.of(text), set())
        return found

    def suppressed_in(self, cells: Cells) -> str | None:
        """Return an identifier that some cells add and that is suppressed, None if there is none.

        It is cheap for cells without identifiers.
        """
        if self._by_trace and any(key.startswith(IDENTIFIER_PREFIX) for key in cells):
            for text in sorted(identifiers_in(cells)):
                if self.traces.of(text) in self._by_trace:
                    return text
        return None

    def note(self, profile_id: str, document: Document, epoch: int, cells: Cells) -> None:
        """Take note of a write from elsewhere, after it was joined into the document."""
        if profile_id.startswith(ERASURE_PREFIX):
            self.arrived[profile_id] = None
        elif self.erasures and cells:
            if epoch < document.epoch:
                self.late |= self._by_profile.get(profile_id, set())
            elif self.suppressed_in(cells) is not None:
                self.arrived[profile_id] = None
