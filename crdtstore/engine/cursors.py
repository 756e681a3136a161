"""Durable cursors: named positions in other systems' feeds, moved in the commit of their data."""

from collections.abc import Mapping

from crdtstore import limits
from crdtstore.engine.draft import Draft
from crdtstore.engine.drafting import Drafting
from crdtstore.engine.notes import Notes
from crdtstore.errors import InvalidInput, LimitExceeded
from crdtstore.names import check_name
from crdtstore.storage.contract import Storage

_PREFIX = "cursor/"


class Cursors:
    """The cursors of one store. A moved cursor is seen at once, and undone with its commit.

    ``notes`` are what a service remembers beside them.
    """

    def __init__(self, storage: Storage, drafting: Drafting) -> None:
        self.notes = Notes(storage, drafting)
        self._drafting = drafting
        self._durable = {
            name.removeprefix(_PREFIX): value.decode()
            for name, value in storage.metas(_PREFIX).items()
        }
        self._present = dict(self._durable)

    def get(self, name: str) -> str | None:
        """Return a cursor, None if it was never moved."""
        return self._present.get(name)

    def present(self) -> dict[str, str]:
        """Return all cursors by name."""
        return dict(self._present)

    def check(self, cursors: Mapping[str, str]) -> None:
        """Check names and values of cursors; raises InvalidInput."""
        for name, value in cursors.items():
            check_name(name, "a cursor name", limits.CURSOR_NAME_BYTES_MAX)
            if type(value) is not str:
                raise InvalidInput(f"the value of cursor {name!r} is text")
            try:
                size = len(value.encode())
            except UnicodeEncodeError:
                raise InvalidInput(
                    f"the value of cursor {name!r} has a lone surrogate, which is not Unicode"
                ) from None
            if size > limits.CURSOR_VALUE_BYTES_MAX:
                subject = f"the value of cursor {name!r}"
                raise LimitExceeded(subject, size, limits.CURSOR_VALUE_BYTES_MAX, "bytes")
        total = len(self._present.keys() | cursors.keys())
        if total > limits.CURSORS_MAX:
            raise LimitExceeded("the replica", total, limits.CURSORS_MAX, "cursors")

    def move(self, cursors: Mapping[str, str]) -> None:
        """Move cursors with the next commit."""
        for name, value in cursors.items():
            self._present[name] = value
            self._drafting.draft.meta[_PREFIX + name] = value.encode()

    def committed(self, draft: Draft) -> None:
        """Take note that a draft is durable."""
        self.notes.committed(draft)
        for name, value in draft.meta.items():
            if name.startswith(_PREFIX) and value is not None:
                self._durable[name.removeprefix(_PREFIX)] = value.decode()

    def commit_failed(self) -> None:
        """Go back to what is durable."""
        self.notes.commit_failed()
        self._present = dict(self._durable)
