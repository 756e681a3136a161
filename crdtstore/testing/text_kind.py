"""The kinds text and list as the laws see them: Yjs states, and the join that is Yjs's merge.

States that meet must be of one history: two writers never write different elements under one
client and clock. So each example has a history of concurrent edits, drawn by its number, and its
cells are what replicas know that have heard of more or less of it, causes before effects.
"""

import random
from functools import lru_cache
from typing import Any, Final, TypeAlias

import msgpack
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from crdtstore import limits
from crdtstore.model.edits import plan_list, plan_text
from crdtstore.model.texts import Text, client_of
from crdtstore.model.update_contents import TEXT
from crdtstore.model.update_parts import normal_form
from crdtstore.model.updates import decode_update
from crdtstore.model.values import pack
from crdtstore.testing.strategies import ORIGINS

TextCell: TypeAlias = tuple[tuple[tuple[int, int], ...], bytes]
"""For each origin the number of its edits, and the state in its normal form."""

_ORIGINS: Final = (*ORIGINS, 3)
_EDITS: Final = 5
_HISTORIES: Final = 200
_SNIPPETS: Final = ("a", "bc", "é", "日本", "😀", "x😀y", "\n")


class TextKind:
    """The kind text or list; ``check_cell("text")`` and ``check_cell("list")`` prove it."""

    bytes_max = limits.TEXT_BYTES_MAX

    def __init__(self, kind: str) -> None:
        self.name = kind

    def cells(self) -> SearchStrategy[TextCell]:
        """Draw states of one history."""
        number = st.shared(st.integers(0, _HISTORIES - 1), key=f"history of a {self.name}")
        states = number.map(lambda seed: _history(self.name, seed))
        return states.flatmap(st.sampled_from)

    def join(self, one: TextCell, other: TextCell) -> TextCell:
        """Return the join of two states."""
        text = Text(self.name)
        for _, state in (one, other):
            text.take_whole(state, decode_update(state, self.name), ())
        counts = dict(one[0])
        for origin, count in other[0]:
            counts[origin] = max(count, counts.get(origin, 0))
        return tuple(sorted(counts.items())), normal_form(text.encode(), self.name)

    def value(self, cell: TextCell) -> object:
        """Return the formatted runs of a text, or the items of a list."""
        text = Text(self.name)
        text.take_whole(cell[1], decode_update(cell[1], self.name), ())
        return text.runs if self.name == TEXT else text.value

    def pack(self, cell: TextCell) -> bytes:
        """Return the bytes of a state."""
        return pack(cell)

    def unpack(self, packed: bytes) -> TextCell:
        """Return the state of the bytes."""
        counts, state = msgpack.unpackb(packed, use_list=False)
        return counts, state


@lru_cache(maxsize=32)
def _history(kind: str, seed: int) -> tuple[TextCell, ...]:
    """Return all states that some replicas were in, while they edited and heard of each other."""
    chance = random.Random(seed)
    texts = {origin: Text(kind) for origin in _ORIGINS}
    counts: dict[int, dict[int, int]] = {origin: {} for origin in _ORIGINS}
    states: list[TextCell] = []
    for _ in range(_EDITS * len(_ORIGINS)):
        origin, other = chance.sample(_ORIGINS, 2)
        text = texts[origin]
        if chance.random() < 0.3:
            state = texts[other].encode()
            text.take_whole(state, decode_update(state, kind), ())
            for writer, count in counts[other].items():
                counts[origin][writer] = max(count, counts[origin].get(writer, 0))
        else:
            raw = text.edit(_steps(text, chance), client_of(origin, 0))
            text.take(raw, decode_update(raw, kind))
            counts[origin][origin] = counts[origin].get(origin, 0) + 1
        states.append((tuple(sorted(counts[origin].items())), normal_form(text.encode(), kind)))
    return tuple(states)


def _steps(text: Text, chance: random.Random) -> list[Any]:
    if text.kind == TEXT:
        return plan_text(text.runs, _delta(text, chance), "character", "a text")
    length = len(text.value)
    at = chance.randrange(length + 1)
    steps: list[dict[str, Any]] = [{"at": at, "insert": [chance.randrange(9), [None, "é"]]}]
    if length > 1 and chance.random() < 0.4:
        steps.append({"at": chance.randrange(length), "delete": 1})
    if length > 1 and chance.random() < 0.4:
        steps.append({"at": chance.randrange(length), "move": chance.randrange(length)})
    return plan_list(text.value, steps, "a list")


def _delta(text: Text, chance: random.Random) -> list[dict[str, Any]]:
    length = sum(len(run) if isinstance(run, str) else 1 for run, _ in text.runs)
    at = chance.randrange(length + 1)
    delta: list[dict[str, Any]] = [{"retain": at}] if at else []
    rest = length - at
    choice = chance.random()
    if choice < 0.2 and rest:
        attributes = {"bold": chance.choice((True, None)), "link": chance.choice(("a", None))}
        delta.append({"retain": chance.randint(1, rest), "attributes": attributes})
    elif choice < 0.45 and rest:
        delta.append({"delete": chance.randint(1, rest)})
    elif choice < 0.55:
        delta.append({"insert": {"image": "a.png"}, "attributes": {"alt": "é"}})
    else:
        attributes = {"bold": True} if chance.random() < 0.3 else {}
        delta.append({"insert": chance.choice(_SNIPPETS), "attributes": attributes})
    return delta
