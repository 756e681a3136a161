"""Texts and lists in a simulation: edits whose every element is its own, and what must be there.

Each insertion brings one character (or item) that no other one brings, so a text says which edits
it has. Nothing that was inserted is lost, unless a deletion saw it; nothing comes twice, unless a
list's item was moved by two at once; and nothing else is there.
"""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from crdtstore.errors import ProfileErased, ProfileNotFound
from crdtstore.model.operations import (
    Operation,
    delete_items,
    delete_text,
    format_text,
    insert_items,
    insert_text,
    move_item,
)
from crdtstore.store import Store
from crdtstore.testing.simulation.history import MUST, Entry

GARBAGE: Final = tuple(
    bytes.fromhex(digits)
    for digits in (
        "",
        "000000",
        "01010a01000000",
        "01014dfeffffff0f000500",
        "01010302a107030000",
        "0101010104010004f09f988000",
        "010102000401016104f09f988000",
        "010107feffffff0f88ffffffffffffff0f01037f7f7901ffffffff0f00",
        "00014d0100ffffffff0f",
        "0101090584090401780001",
        "01010900840900017800",
        "010109000401047465787402",
        "010109000801046c69737401757575757575757575757e00",
    )
)
"""What hostile Yjs clients send: bytes that harm pycrdt, gaps, strangers, cut short."""

INSERT = "insert"
CUT = "cut"
MOVE = "move"
FORMAT = "format"
EDITS = frozenset({INSERT, CUT, MOVE, FORMAT})


class DrawnEdit(NamedTuple):
    """An edit: what it does, the operation, and the elements that it is about."""

    what: str
    operation: Operation
    elements: tuple[Any, ...]


def elements_of(store: Store, profile: str, field: str) -> Sequence[Any]:
    """Return the characters or items of a field at a store, none if it is not there."""
    try:
        found: Sequence[Any] = store.texts.read(profile, field)
    except (ProfileNotFound, ProfileErased):
        return ()
    return found


def draw_edit(chance: random.Random, kind: str, present: Sequence[Any], number: int) -> DrawnEdit:
    """Draw an edit of a text or a list, which has ``present`` now."""
    length = len(present)
    choice = chance.random()
    at = chance.randrange(length) if length else 0
    if length and choice < 0.2:
        count = min(chance.randrange(1, 4), length - at)
        cut = delete_text(at, count) if kind == "text" else delete_items(at, count)
        return DrawnEdit(CUT, cut, tuple(present[at : at + count]))
    if length and choice < 0.35:
        if kind == "text":
            attributes = {"bold": chance.choice([True, None])}
            return DrawnEdit(FORMAT, format_text(at, 1, attributes), ())
        return DrawnEdit(MOVE, move_item(at, chance.randrange(length)), (present[at],))
    at = chance.randrange(length + 1)
    if kind == "list":
        return DrawnEdit(INSERT, insert_items(at, number), (number,))
    character = chr((0x4E00 if number % 3 else 0x20000) + number)
    return DrawnEdit(INSERT, insert_text(at, character), (character,))


def complaint_about(kind: str, present: Iterable[Any], entries: Sequence[Entry]) -> str | None:
    """Say what is wrong with the elements of a field, given the edits that must or may stand."""
    counts = Counter(present)
    moves = Counter(element for e in entries if e.what == MOVE for element in e.value)
    must_go = {element for e in entries if e.what == CUT and e.fate == MUST for element in e.value}
    may_go = {element for e in entries if e.what == CUT for element in e.value}
    inserted: set[Any] = set()
    for entry in entries:
        if entry.what != INSERT:
            continue
        (element,) = entry.value
        inserted.add(element)
        count = counts[element]
        if count > 1 + moves[element]:
            return f"{element!r} is there {count} times, after {moves[element]} moves"
        if count == 0 and entry.fate == MUST and element not in may_go:
            return f"{element!r} is lost: {entry}"
        if count and element in must_go and not moves[element]:
            return f"{element!r} is back: {entry}"
    strangers = counts.keys() - inserted
    return f"{sorted(map(str, strangers))} were never inserted" if strangers else None
