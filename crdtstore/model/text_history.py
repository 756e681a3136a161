"""The history of a text: its newest edits, by author and time, the same at all replicas."""

from itertools import pairwise
from typing import NamedTuple

from crdtstore import limits
from crdtstore.model.update_contents import DELETED, FORMAT
from crdtstore.model.updates import Update


class Edit(NamedTuple):
    """One edit in the history of a field: when, at which origin, by which source, how much.

    ``inserted`` and ``deleted`` count as Yjs does: UTF-16 units and embeds, or items.
    """

    timestamp: int
    origin: int
    source: str
    inserted: int
    deleted: int


def newest_edits(edits: tuple[Edit, ...]) -> tuple[Edit, ...]:
    """Return the newest of some edits, each once, oldest first: a join, like all here."""
    if any(one[:2] >= other[:2] for one, other in pairwise(edits)):
        by_place = {edit[:3]: edit for edit in sorted(edits)}
        edits = tuple(sorted(by_place.values()))
    return edits[-limits.TEXT_HISTORY_MAX :]


def with_edit(edits: tuple[Edit, ...], edit: Edit) -> tuple[Edit, ...]:
    """Return a history with one edit more."""
    if edits and edits[-1][:2] >= edit[:2]:
        return newest_edits((*edits, edit))
    return (*edits[1 - limits.TEXT_HISTORY_MAX :], edit)


def tally_of(update: Update) -> tuple[int, int]:
    """Return how many elements an update brings, and how many it deletes, as Yjs counts."""
    inserted = sum(
        block.length
        for blocks in update.blocks.values()
        for block in blocks
        if block.ref not in (DELETED, FORMAT)
    )
    deleted = sum(length for ranges in update.deleted.values() for _, length in ranges)
    return inserted, deleted
