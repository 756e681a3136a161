"""Writing: what a source says, checked and applied to the document of its profile."""

from collections.abc import Mapping
from typing import Any, Final

from crdtstore import limits
from crdtstore.clock import HybridClock, wall_ms_of
from crdtstore.engine.documents import Documents
from crdtstore.engine.drafting import Drafting
from crdtstore.engine.writes import WriteResult
from crdtstore.errors import LimitExceeded, ProfileErased, VersionMismatch
from crdtstore.model.cells import Cells, trail_key
from crdtstore.model.document import Document, erased_epoch
from crdtstore.model.operations import COLLABORATIVE_OPERATIONS
from crdtstore.model.texts import Text
from crdtstore.model.update_parts import split_update
from crdtstore.model.values import CellValue
from crdtstore.model.write import plan_write
from crdtstore.model.write_context import WriteContext
from crdtstore.names import check_field_name, check_profile_id, check_source_name
from crdtstore.person_errors import IdentifierSuppressed
from crdtstore.schema import Schema

_PART_BYTES: Final = limits.WRITE_BYTES_MAX - 4 * limits.KIBIBYTE


class Writing:
    """The local writes of one store.

    ``noops`` counts those that repeated what was there, ``suppressed`` those that were refused
    because they would have brought an erased identifier back.
    """

    def __init__(
        self,
        documents: Documents,
        drafting: Drafting,
        clock: HybridClock,
        schema: Schema,
    ) -> None:
        self.noops = 0
        self.suppressed = 0
        self._suppression = drafting.suppression
        self._documents = documents
        self._drafting = drafting
        self._clock = clock
        self._schema = schema
        self._known_sources: set[str] = set()

    def apply(
        self,
        profile_id: str,
        fields: Mapping[str, Any],
        source: str,
        if_version: str | None,
        now_ms: int,
    ) -> tuple[Document, tuple[str, ...]]:
        """Apply a write; return the document, and the fields that it changed.

        Raises InvalidInput, Refused or StorageCorrupt with nothing changed.
        """
        check_profile_id(profile_id)
        if type(source) is not str or source not in self._known_sources:
            self._check_source(source)
        document = self._documents.get(profile_id)
        check_state(profile_id, document, if_version)
        brought: list[tuple[Text, Cells]] = []
        for field, given in fields.items():
            if type(given) in COLLABORATIVE_OPERATIONS:
                brought += self._ready_text(profile_id, document, field, given, source, now_ms)
        timestamp = self._clock.tick(now_ms)
        context = WriteContext(document, self._schema, source, timestamp, self._drafting.origin)
        delta, changed = plan_write(context, fields)
        if delta:
            if (suppressed := self._suppression.suppressed_in(delta)) is not None:
                self.suppressed += 1
                raise IdentifierSuppressed(profile_id, suppressed.partition(":")[0])
            for text, part in brought:
                self._drafting.record(profile_id, document, document.epoch, part)
                text.carries_all = False
            self._drafting.record(profile_id, document, document.epoch, delta)
        else:
            self.noops += 1
        return document, changed

    def move_epoch(
        self, profile_id: str, if_version: str | None, now_ms: int, *, to_erased: bool
    ) -> WriteResult:
        """Erase or revive a profile; one that is so already is left as it is.

        Raises InvalidName, VersionMismatch, LimitExceeded or StorageCorrupt.
        """
        check_profile_id(profile_id)
        document = self._documents.get(profile_id)
        if if_version is not None and document.version != if_version:
            check_version(profile_id, document, if_version)
        if document.is_erased == to_erased:
            return WriteResult(profile_id, document.version, ())
        if document.epoch >= limits.EPOCH_MAX:
            subject = f"profile {profile_id!r}"
            raise LimitExceeded(subject, document.epoch + 1, limits.EPOCH_MAX, "epochs")
        wall_ms = wall_ms_of(self._clock.tick(now_ms))
        epoch = erased_epoch(document.epoch, wall_ms) if to_erased else document.epoch + 1
        self._drafting.record(profile_id, document, epoch, {})
        return WriteResult(profile_id, document.version, ())

    def restate(self, profile_id: str, key: str, value: CellValue, now_ms: int) -> None:
        """Write a register anew, even if it repeats what is there.

        Raises ProfileErased, LimitExceeded or StorageCorrupt with nothing changed.
        """
        document = self._documents.get(profile_id)
        check_state(profile_id, document, None)
        cell = (self._clock.tick(now_ms), self._drafting.origin, value)
        self._drafting.record(profile_id, document, document.epoch, {key: cell})

    def _ready_text(
        self,
        profile_id: str,
        document: Document,
        field: Any,
        operation: Any,
        source: str,
        now_ms: int,
    ) -> list[tuple[Text, Cells]]:
        """Have a text at hand for an edit; return what must go into frames before it.

        That is all of the text, if it has what came by no frame: whoever applies the edit must
        have what it stands beside. It counts as no edit.
        """
        kind = COLLABORATIVE_OPERATIONS[type(operation)] or operation.kind
        check_field_name(field)
        text = self._documents.texts.get(profile_id, document, kind[0] + field)
        if not text.carries_all:
            return []
        origin = self._drafting.origin
        key = trail_key(kind, field, source, origin)
        trail = document.cells.get(key)
        number = 0 if trail is None else trail[2]
        return [
            (text, {key: (self._clock.tick(now_ms), origin, number, part)})
            for part in split_update(text.encode(), kind, _PART_BYTES)
        ]

    def _check_source(self, source: str) -> None:
        check_source_name(source)
        self._schema.check_source(source)
        if len(self._known_sources) < limits.SOURCES_PER_DOCUMENT_MAX:
            self._known_sources.add(source)


def check_state(profile_id: str, document: Document, if_version: str | None) -> None:
    """Refuse a write that the document's state does not allow.

    Raises ProfileErased or VersionMismatch.
    """
    if document.is_erased:
        raise ProfileErased(profile_id)
    if if_version is not None:
        check_version(profile_id, document, if_version)


def check_version(profile_id: str, document: Document, if_version: str) -> None:
    """Refuse what was meant for another version; raises VersionMismatch."""
    actual = None if document.is_absent else document.version
    if actual != if_version:
        raise VersionMismatch(profile_id, if_version, actual)
