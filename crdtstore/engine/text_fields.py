"""Collaborative fields as their readers see them: string, rich-text delta, items, history, Yjs.

They are written to by ``write``, with the operations of ``crdtstore.model.operations``:

    store.write("ann", {"notes": insert_text(0, "Hello")}, source="editor")
    store.texts.read("ann", "notes")      -> "Hello"
    store.texts.delta("ann", "notes")     -> [{"insert": "Hello"}]
    store.write("ann", {"tasks": insert_items(0, "call", "write")}, source="editor")
    store.texts.read("ann", "tasks")      -> ["call", "write"]
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crdtstore.clock import datetime_of
from crdtstore.engine.documents import Documents
from crdtstore.engine.listing import living_document
from crdtstore.engine.origins import Origins
from crdtstore.errors import KindConflict, ProfileNotFound
from crdtstore.model.cells import KIND_OF_LETTER, texts_in
from crdtstore.model.document import Document
from crdtstore.model.profile import TextPlace
from crdtstore.model.texts import Text
from crdtstore.model.update_contents import LIST, TEXT
from crdtstore.model.updates import decode_clocks, encode_clocks
from crdtstore.model.values import Value
from crdtstore.names import check_field_name, check_profile_id
from crdtstore.schema import Schema


@dataclass(frozen=True, slots=True)
class TextEdit:
    """One edit of a collaborative field, as its history tells of it.

    ``inserted`` and ``deleted`` are elements as Yjs counts them: UTF-16 units and embeds of a text,
    items of a list. ``replica`` is the name of the origin's, empty if it is not known.
    """

    timestamp: int
    origin: int
    replica: str
    source: str
    inserted: int
    deleted: int

    @property
    def at(self) -> datetime:
        """The time of writing, by the clock of the replica that took the edit."""
        return datetime_of(self.timestamp)


class TextFields:
    """The collaborative fields of one store, for reading.

    A field that nobody wrote to is empty if the schema declares it. All methods raise
    ProfileNotFound or ProfileErased, KindConflict for a field of another kind, StorageCorrupt for a
    text that was damaged, and CollaborationMissing without the library pycrdt.
    """

    def __init__(self, documents: Documents, origins: Origins, schema: Schema) -> None:
        self._documents = documents
        self._origins = origins
        self._schema = schema

    def read(self, profile_id: str, field: str) -> Any:
        """Return a text as a string, or the items of a list."""
        text = self._text(profile_id, field)
        return list(text.value) if text.kind == LIST else text.value

    def delta(self, profile_id: str, field: str) -> list[dict[str, Any]]:
        """Return a text as a rich-text (Quill) delta: inserts alone."""
        return delta_form(self._text(profile_id, field, TEXT))

    def history(self, profile_id: str, field: str) -> list[TextEdit]:
        """Return the newest edits (at most 200), newest first."""
        names = self._origins.names
        return [
            TextEdit(edit.timestamp, edit.origin, names.get(edit.origin, ""), *edit[2:])
            for edit in reversed(self._text(profile_id, field).history)
        ]

    # --- for Yjs clients ----------------------------------------------------------------------

    def kind(self, profile_id: str, field: str) -> str:
        """Return "text" or "list": also the name of the root that Yjs clients use."""
        return self.text(profile_id, field).kind

    def epoch(self, profile_id: str) -> int:
        """Return the epoch of a profile: what a client has from another one must not come back."""
        return self._present_or_new(profile_id).epoch

    def state_vector(self, profile_id: str, field: str) -> bytes:
        """Return the Yjs state vector of a field."""
        return encode_clocks(self.text(profile_id, field).clocks)

    def missing(self, profile_id: str, field: str, state_vector: bytes) -> bytes:
        """Return what a client with a state vector lacks, and all that is deleted, as an update.

        The vector may come from outside: raises InvalidValue for one that is malformed.
        """
        clocks = decode_clocks(state_vector)
        return self.text(profile_id, field).missing(clocks)

    # --- for profiles -------------------------------------------------------------------------

    def value_of(self, place: TextPlace) -> Value:
        """Return the value of a field that a golden record has."""
        document = self._documents.get(place.profile_id)
        value = self._documents.texts.get(place.profile_id, document, place.name).value
        return list(value) if isinstance(value, list) else value

    def states(self, profile_id: str) -> list[tuple[str, Text]]:
        """Return the states of all fields of a profile, by letter and field, not to be changed."""
        document = self._documents.get(profile_id)
        names = sorted(texts_in(document.cells))
        return [(name, self._documents.texts.get(profile_id, document, name)) for name in names]

    def text(self, profile_id: str, field: str) -> Text:
        """Return the state of a field, not to be changed.

        Of a profile that is new it is empty: whoever edits it first makes the profile.
        """
        document = self._present_or_new(profile_id)
        if document.is_absent and self._schema.kind_of(field) is None:
            raise ProfileNotFound(profile_id)
        name = self._name_of(document, field, None)
        return self._documents.texts.get(profile_id, document, name)

    def _present_or_new(self, profile_id: str) -> Document:
        check_profile_id(profile_id)
        document = self._documents.get(profile_id)
        return document if document.is_absent else living_document(self._documents, profile_id)

    def _text(self, profile_id: str, field: str, kind: str | None = None) -> Text:
        document = living_document(self._documents, profile_id)
        name = self._name_of(document, field, kind)
        return self._documents.texts.get(profile_id, document, name)

    def _name_of(self, document: Document, field: str, kind: str | None) -> str:
        check_field_name(field)
        declared = self._schema.kind_of(field)
        if declared is None:
            kinds = {KIND_OF_LETTER[n[0]] for n in texts_in(document.cells) if n[1:] == field}
            declared = kinds.pop() if len(kinds) == 1 else None
        if declared not in (TEXT, LIST) or kind not in (None, declared):
            raise KindConflict(
                f"field {field!r} is no {kind or 'text or list'}: declare it in the schema"
                if declared is None
                else f"field {field!r} is a {declared}, not a {kind or 'text or list'}"
            )
        return declared[0] + field


def delta_form(text: Text) -> list[dict[str, Any]]:
    """Return a text as the delta that makes it."""
    return [
        {"insert": run, "attributes": attributes} if attributes else {"insert": run}
        for run, attributes in text.runs
    ]
