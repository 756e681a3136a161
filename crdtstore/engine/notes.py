"""Notes: small named records of the service around a store, kept in the commit of their data.

A service that copies records from elsewhere must remember how far it came with each of them. Notes
are that memory: they belong to this store alone, are never replicated, go with its backups, and
move in the same commit as the writes that they are about, so that neither is there without the
other after a crash.
"""

from collections.abc import Mapping
from typing import Final

from crdtstore import limits
from crdtstore.engine.draft import Draft
from crdtstore.engine.drafting import Drafting
from crdtstore.errors import InvalidInput, LimitExceeded
from crdtstore.names import check_name
from crdtstore.storage.contract import Storage

_PREFIX: Final = "note/"


class Notes:
    """The notes of one store. A changed note is seen at once, and undone with its commit."""

    def __init__(self, storage: Storage, drafting: Drafting) -> None:
        self._storage = storage
        self._drafting = drafting
        self._fresh: dict[str, bytes | None] = {}

    @property
    def draft(self) -> Draft:
        """What the next commit makes durable: another one after each commit."""
        return self._drafting.draft

    def get(self, name: str) -> bytes | None:
        """Return a note, None if there is none."""
        if name in self._fresh:
            return self._fresh[name]
        return self._storage.meta(_PREFIX + name)

    def starting_with(self, prefix: str) -> dict[str, bytes]:
        """Return all notes whose name starts with ``prefix``, by name, in order of their bytes."""
        found: dict[str, bytes | None] = {
            name.removeprefix(_PREFIX): value
            for name, value in self._storage.metas(_PREFIX + prefix).items()
        }
        found.update((name, self._fresh[name]) for name in self._fresh if name.startswith(prefix))
        names = sorted(found, key=str.encode)
        return {name: value for name in names if (value := found[name]) is not None}

    def change(self, notes: Mapping[str, bytes | None]) -> None:
        """Change notes with the next commit, None removes one; raises InvalidInput."""
        for name, value in notes.items():
            check_name(name, "a note's name", limits.NOTE_NAME_BYTES_MAX)
            if value is not None and type(value) is not bytes:
                raise InvalidInput(f"note {name!r} is bytes, not a {type(value).__name__}")
            if value is not None and len(value) > limits.NOTE_BYTES_MAX:
                raise LimitExceeded(f"note {name!r}", len(value), limits.NOTE_BYTES_MAX, "bytes")
        for name, value in notes.items():
            self._fresh[name] = value
            self._drafting.draft.meta[_PREFIX + name] = value

    def committed(self, draft: Draft) -> None:
        """Take note that a draft is durable."""
        for name, value in draft.meta.items():
            plain = name.removeprefix(_PREFIX)
            if plain != name and plain in self._fresh and self._fresh[plain] is value:
                del self._fresh[plain]

    def commit_failed(self) -> None:
        """Go back to what is durable."""
        self._fresh.clear()
