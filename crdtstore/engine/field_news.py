"""FieldNews: one collaborative field, as it goes on for those who follow it.

What is news are the Yjs updates that the field took since one looked, from wherever they came.
Where they are no longer known one by one, the difference between then and now takes their place.
"""

from crdtstore.engine.documents import Documents
from crdtstore.errors import ProfileErased
from crdtstore.model.texts import Text
from crdtstore.model.updates import Clocks


class FieldNews:
    """A field of kind ``kind`` that is followed, from now on, in the profile's present epoch."""

    def __init__(self, documents: Documents, profile_id: str, field: str, kind: str) -> None:
        self.kind = kind
        self.epoch = documents.get(profile_id).epoch
        self._documents = documents
        self._profile_id = profile_id
        self._name = kind[0] + field
        self._text: Text | None = None
        self._changes = -1
        self._note(self.text())

    def text(self) -> Text:
        """Return the field's state; raises ProfileErased if it is not that of the same epoch."""
        document = self._documents.get(self._profile_id)
        if document.epoch != self.epoch or document.epoch % 2:
            raise ProfileErased(self._profile_id)
        return self._documents.texts.get(self._profile_id, document, self._name)

    def news(self) -> list[bytes]:
        """Return the updates since this was asked last; raises ProfileErased or StorageCorrupt.

        They may repeat what was told before, which does no harm.
        """
        text = self.text()
        updates: list[bytes] = []
        if text is not self._text or text.changes != self._changes:
            is_same_list = text is self._text and text.parts is self._parts
            if is_same_list and len(text.parts) > self._count and text.is_readable:
                updates = text.parts[self._count :]
            else:
                updates = [text.missing(self._clocks)]
        self._note(text)
        return updates

    def _note(self, text: Text) -> None:
        is_changed = text is not self._text or text.changes != self._changes
        self._text = text
        self._parts = text.parts
        self._count = len(text.parts)
        self._changes = text.changes
        if is_changed:
            self._clocks: Clocks = dict(text.clocks)
