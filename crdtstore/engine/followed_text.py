"""FollowedText: a text as clients without a CRDT see it, one revision after another.

It keeps a decoded copy of the text, and is given what the text has and the copy lacks. What that
changes is told as a rich-text delta, in UTF-16 units. The newest deltas are kept, so that an edit
of an earlier revision can be brought to the present one.
"""

import hashlib
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from crdtstore import limits
from crdtstore.model.delta import (
    Delete,
    Delta,
    Insert,
    Operation,
    Retain,
    compose,
    normal,
    utf16_units,
)
from crdtstore.model.shared import Run, Shared
from crdtstore.model.update_contents import TEXT

_STEP_BYTES = 200


class FollowedText:
    """A text, its present revision, and what led there from some earlier ones.

    A revision names a state: equal states have equal revisions, at any replica.
    ``document`` is the text as a delta, ``native_faults`` counts where pycrdt's account of a change
    was not one.
    """

    def __init__(self) -> None:
        self.document: Delta = ()
        self.revision = ""
        self.clocks: Mapping[int, int] = {}
        self.native_faults = 0
        self._shared = Shared(TEXT, 1)
        self._steps: deque[tuple[str, Delta, int]] = deque()
        self._steps_bytes = 0

    @property
    def size_bytes(self) -> int:
        """About how much memory it takes."""
        units = sum(part.units for part in self.document)
        return limits.FOLLOWED_BYTES_PER_UNIT * units + self._steps_bytes + _STEP_BYTES

    def advance(self, update: bytes, clocks: Mapping[int, int], revision: str) -> Delta:
        """Join what leads to a later revision; return what it changes. Raises NativeFault."""
        before = self.document
        told = self._shared.apply_told(update)
        self.document = after = _document_of(self._shared.runs())
        change = _change_of(told, before)
        if change is None or compose(before, change) != after:
            self.native_faults += 1
            change = normal((*after, *_deletion_of(before)))
        if self.revision:
            self._keep(self.revision, change)
        self.clocks, self.revision = dict(clocks), revision
        return change

    def since(self, revision: str) -> Delta | None:
        """Return what changed after a revision, None if that is not known any more."""
        if revision == self.revision:
            return ()
        change: Delta | None = None
        for earlier, step, _ in self._steps:
            if change is not None:
                change = compose(change, step)
            elif earlier == revision:
                change = step
        return change

    def _keep(self, revision: str, change: Delta) -> None:
        size = _STEP_BYTES * (len(change) + 1)
        size += sum(4 * part.units for part in change if isinstance(part, Insert))
        self._steps.append((revision, change, size))
        self._steps_bytes += size
        while (
            len(self._steps) > limits.REVISIONS_MAX
            or self._steps_bytes > limits.REVISIONS_BYTES_MAX
        ):
            self._steps_bytes -= self._steps.popleft()[2]


def revision_of(epoch: int, clocks: Mapping[int, int], deleted: bytes) -> str:
    """Return the name of a state: by the epoch, the clocks, and the bytes of what is deleted."""
    digest = hashlib.blake2b(digest_size=12, person=b"crdtstore.revis")
    digest.update(epoch.to_bytes(8, "big"))
    for client, clock in sorted(clocks.items()):
        digest.update(client.to_bytes(8, "big") + clock.to_bytes(8, "big"))
    digest.update(deleted)
    return digest.hexdigest()


def _document_of(runs: Sequence[Run]) -> Delta:
    return normal([Insert(content, attributes or {}) for content, attributes in runs])


def _deletion_of(document: Delta) -> tuple[Operation, ...]:
    units = sum(part.units for part in document)
    return (Delete(units),) if units else ()


def _change_of(told: Sequence[Mapping[str, Any]], before: Delta) -> Delta | None:
    """Return a change as pycrdt tells it, in UTF-16 units; None if it cannot be so."""
    ruler = _Ruler(before)
    operations: list[Operation] = []
    for part in told:
        attributes = part.get("attributes") or {}
        if "insert" in part:
            operations.append(Insert(part["insert"], attributes))
            continue
        units = ruler.units(part["retain"] if "retain" in part else part["delete"])
        if units is None:
            return None
        operations.append(Retain(units, attributes) if "retain" in part else Delete(units))
    return normal(operations)


class _Ruler:
    """Measures a document from its start on: in UTF-8 bytes, as pycrdt, and in UTF-16 units."""

    def __init__(self, document: Delta) -> None:
        self._contents = [
            part.content.encode() if isinstance(part.content, str) else None
            for part in document
            if isinstance(part, Insert)
        ]
        self._run = 0
        self._at = 0

    def units(self, length: int) -> int | None:
        """Pass over so many bytes, an embed counts as one; return them in UTF-16 units."""
        units = 0
        while length:
            if self._run == len(self._contents):
                return None
            content = self._contents[self._run]
            if content is None:
                self._run, units, length = self._run + 1, units + 1, length - 1
                continue
            taken = content[self._at : self._at + length]
            self._at += len(taken)
            length -= len(taken)
            if self._at == len(content):
                self._run, self._at = self._run + 1, 0
            try:
                units += len(taken) if taken.isascii() else utf16_units(taken.decode())
            except UnicodeDecodeError:
                return None
        return units
