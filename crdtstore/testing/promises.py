"""Promises: what was written in a trial, what became of it, and so what must stand at its end.

Every write is noted as the delta that it made. A document is a join of deltas, so two bounds say
all: it holds the join of what was acknowledged, and nothing beyond that but what a crash left
unanswered. Counters are added up a second time, from the amounts.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from crdtstore.errors import ProfileErased, ProfileNotFound
from crdtstore.model.cells import parse_key
from crdtstore.model.document import Document, canonical_bytes, join
from crdtstore.model.operations import Increment
from crdtstore.model.profile import Profile
from crdtstore.store import Store
from crdtstore.testing.broken import LawBroken
from crdtstore.testing.simulation.machine import Ticket


@dataclass(frozen=True, slots=True)
class Promise:
    """One write: the delta that it made, and the ticket that says what became of it."""

    profile_id: str
    delta: Document
    ticket: Ticket
    amounts: Mapping[str, int | float]

    def __str__(self) -> str:
        keys = [parse_key(key) for key in self.delta.cells]
        fields = ", ".join(dict.fromkeys(key.field for key in keys))
        kind = "an erasure" if self.delta.is_erased else "a revival"
        by = f"{keys[0].source} of {fields}" if keys else kind
        return f"the write of {self.profile_id!r} at {self.ticket.machine} by {by}"


@dataclass(slots=True)
class Promises:
    """All writes of a trial, in their order."""

    made: list[Promise] = field(default_factory=list)

    def note(
        self,
        profile_id: str,
        before: Document,
        after: Document,
        ticket: Ticket,
        fields: Mapping[str, Any],
    ) -> None:
        """Note a write that brought a document from one state to another."""
        cells = after.cells
        if before.epoch == after.epoch:
            cells = {key: cell for key, cell in cells.items() if before.cells.get(key) != cell}
        changed = {parse_key(key).field for key in cells}
        amounts = {
            name: operation.amount
            for name, operation in fields.items()
            if isinstance(operation, Increment) and name in changed
        }
        delta = Document(after.epoch, dict(cells))
        self.made.append(Promise(profile_id, delta, ticket, amounts))

    @property
    def profile_ids(self) -> list[str]:
        """The ids of all profiles that were written."""
        return sorted({promise.profile_id for promise in self.made})

    def check(self, name: str, store: Store) -> None:
        """Compare a store that has settled with all that was promised; raises LawBroken."""
        for profile_id in self.profile_ids:
            mine = [promise for promise in self.made if promise.profile_id == profile_id]
            document = store.documents.get(profile_id)
            kept = [promise for promise in mine if promise.ticket.state == "durable"]
            for promise in kept:
                if _differ(join(document, promise.delta), document):
                    raise LawBroken(
                        f"{name} lost an acknowledged write: {promise}",
                        f"  it holds {_text(document)}, without {_text(promise.delta)}",
                    )
            possible = kept + [promise for promise in mine if promise.ticket.state == "kept"]
            bound = _joined(promise.delta for promise in possible)
            if _differ(join(bound, document), bound):
                raise LawBroken(
                    f"{name} holds what nobody wrote in profile {profile_id!r}",
                    f"  it holds {_text(document)}, and all writes make {_text(bound)}",
                )
            self._check_counters(name, store, profile_id, possible)

    @staticmethod
    def _check_counters(
        name: str, store: Store, profile_id: str, possible: Iterable[Promise]
    ) -> None:
        epoch = store.documents.get(profile_id).epoch
        sums: dict[str, list[int | float]] = {}
        unknown: set[str] = set()
        for promise in possible:
            for counter, amount in promise.amounts.items():
                if promise.delta.epoch == epoch:
                    sums.setdefault(counter, []).append(amount)
                    if promise.ticket.state == "kept":
                        unknown.add(counter)
        profile = read(store, profile_id)
        torn = {conflict.field for conflict in profile.conflicts} if profile is not None else set()
        for counter in sums.keys() - unknown - torn:
            expected = sum(sums[counter])
            actual = 0 if profile is None else profile.get(counter, 0)
            is_exact = type(expected) is int
            assert isinstance(actual, int | float)
            if actual != expected and (is_exact or not math.isclose(actual, expected)):
                raise LawBroken(
                    f"{name} counts {counter!r} of {profile_id!r} wrong: {actual}",
                    f"  the acknowledged increments make {expected}",
                )


def read(store: Store, profile_id: str) -> Profile | None:
    """Return a profile, None if it is not there."""
    try:
        return store.read(profile_id)
    except (ProfileNotFound, ProfileErased):
        return None


def _joined(documents: Iterable[Document]) -> Document:
    joined = Document()
    for document in documents:
        joined = join(joined, document)
    return joined


def _differ(one: Document, other: Document) -> bool:
    return canonical_bytes(one) != canonical_bytes(other)


def _text(document: Document) -> str:
    cells = {"/".join(key.split("\x1f")): cell for key, cell in sorted(document.cells.items())}
    return f"epoch {document.epoch} {cells}"
