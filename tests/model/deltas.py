"""Documents and deltas for properties, drawn so that deltas fit their documents."""

from typing import Any

from hypothesis import strategies as st

from crdtstore.model.delta import Delta, Insert
from crdtstore.model.delta_forms import delta_of

Operations = list[dict[str, Any]]

TEXTS = st.text("ab \né中😀", min_size=1, max_size=5)
EMBEDS = st.sampled_from([{"image": "a.png"}, {"mention": {"id": 7, "name": "Ann"}}])
VALUES = st.sampled_from([True, False, 1, 2.5, "red", "blue"])
NAMES = st.sampled_from(["bold", "color", "link"])
FORMATS = st.dictionaries(NAMES, VALUES, max_size=2)
CHANGES = st.dictionaries(NAMES, VALUES | st.none(), max_size=2)


@st.composite
def insertions(draw: st.DrawFn) -> dict[str, Any]:
    """Return an insertion."""
    operation: dict[str, Any] = {"insert": draw(TEXTS | EMBEDS)}
    if formats := draw(FORMATS):
        operation["attributes"] = formats
    return operation


def documents(max_size: int = 6) -> st.SearchStrategy[Operations]:
    """Return documents: insertions only."""
    return st.lists(insertions(), max_size=max_size)


@st.composite
def changes(draw: st.DrawFn, units: int) -> Operations:
    """Return operations that fit a text of so many units."""
    operations: Operations = []
    left = units
    for _ in range(draw(st.integers(0, 6))):
        kind = draw(st.sampled_from(["insert", "retain", "delete"]))
        if kind == "insert":
            operations.append(draw(insertions()))
        elif left:
            count = draw(st.integers(1, left))
            left -= count
            operation: dict[str, Any] = {kind: count}
            if kind == "retain" and (formats := draw(CHANGES)):
                operation["attributes"] = formats
            operations.append(operation)
    return operations


@st.composite
def forks(draw: st.DrawFn) -> tuple[Operations, Operations, Operations]:
    """Return a document, and two changes of it."""
    document = draw(documents())
    units = units_of(document)
    return document, draw(changes(units)), draw(changes(units))


def units_of(document: Operations) -> int:
    """Return how long a document is."""
    return sum(part.units for part in delta_of(document))


def length_before(delta: Delta) -> int:
    """Return how many units a text must have at least for a delta to fit it."""
    return sum(part.units for part in delta if not isinstance(part, Insert))
