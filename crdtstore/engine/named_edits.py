"""Named edits: which edits that carry an id of their client's choice are in the store already.

A client whose answer was lost sends its edit again under the same id. The newest ids are noted in
the commits of their edits, so that after any crash they say exactly which edits the store has. A
note is a hash of the id and its place, the profile's version and the text's revision: nothing of
what the edit or the text says.
"""

import hashlib
from collections import OrderedDict
from typing import Final, NamedTuple

import msgpack

from crdtstore import limits
from crdtstore.engine.notes import Notes

_PREFIX: Final = "crdtstore/edits/"


class NamedEdit(NamedTuple):
    """What became of a named edit: the profile's version, and the text's revision, after it."""

    version: str
    revision: str


class NamedEdits:
    """The newest named edits of one store. What is noted is undone with its commit."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._known: OrderedDict[str, NamedEdit] | None = None
        self._number = 0

    def find(self, key: str) -> NamedEdit | None:
        """Return what became of an edit, None if it is not known."""
        return self._all().get(key)

    def keep(self, key: str, edit: NamedEdit) -> None:
        """Take note of an edit in its commit; the oldest one goes if there are too many."""
        known = self._all()
        known[key] = edit
        self._number += 1
        notes: dict[str, bytes | None] = {_PREFIX + key: msgpack.packb([self._number, *edit])}
        while len(known) > limits.NAMED_EDITS_MAX:
            notes[_PREFIX + known.popitem(last=False)[0]] = None
        self._notes.change(notes)

    def forget(self) -> None:
        """Drop what is in memory: a commit has failed, and what it held is undone."""
        self._known = None

    def _all(self) -> OrderedDict[str, NamedEdit]:
        if self._known is None:
            found = self._notes.starting_with(_PREFIX)
            records = sorted(
                (msgpack.unpackb(packed), name.removeprefix(_PREFIX))
                for name, packed in found.items()
            )
            self._known = OrderedDict((key, NamedEdit(*record[1:])) for record, key in records)
            self._number = records[-1][0][0] if records else 0
        return self._known


def name_of_edit(profile_id: str, epoch: int, field: str, source: str, edit_id: str) -> str:
    """Return the key of an edit: two clients of one source share their ids, two sources do not."""
    digest = hashlib.blake2b(digest_size=16, person=b"crdtstore.edit")
    for part in (profile_id, str(epoch), field, source, edit_id):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()
