"""The laws of a kind of cell, and the proof that one keeps them.

| law           | demands                                                                     |
|---------------|-----------------------------------------------------------------------------|
| associativity | it does not matter which two of three cells were joined first               |
| commutativity | it does not matter which of two cells came first                            |
| idempotence   | a cell that comes again changes nothing                                     |
| determinism   | the same cells always join to the same bytes, and stay as they were         |
| value         | equal cells have equal values, now and later                                |
| storage       | a cell comes back from its bytes, and equal cells have equal bytes          |
| growth        | however many cells are joined, the result has at most ``bytes_max`` bytes   |

The first three make a join-semilattice: replicas that have seen the same cells are equal, in
whatever order, how often and in whatever batches they came (Shapiro et al. 2011). The others make
that visible: equal digests for equal cells, and a document that does not grow with its history.
"""

from typing import Any, Final, Protocol

import msgpack
from hypothesis import settings as Settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from crdtstore import limits
from crdtstore.model.cells import (
    COLLABORATIVE_KINDS,
    DENIAL,
    GRANT,
    KIND_OF_LETTER,
    Cell,
    join_cells,
    parse_key,
)
from crdtstore.model.document import Document
from crdtstore.model.golden import resolve
from crdtstore.model.values import pack
from crdtstore.schema import Schema
from crdtstore.testing import strategies
from crdtstore.testing.broken import LawBroken
from crdtstore.testing.laws import prove
from crdtstore.testing.outside import watched
from crdtstore.testing.text_kind import TextKind


class CellKind(Protocol):
    """A kind of cell of your own: what its cells are, and how two of them join.

    The store does not take it: its own kinds are four, so that every replica can join every cell.
    It is for a value that your code folds, say a sketch or a bounded list, which each source keeps
    in a register of its own and readers join over the candidates of ``explain``; and for proposing
    a kind to the store.
    """

    name: str
    bytes_max: int

    def cells(self) -> SearchStrategy[Any]:
        """Draw cells, often alike."""
        ...

    def join(self, one: Any, other: Any) -> Any:
        """Return the join of two cells."""
        ...

    def value(self, cell: Any) -> object:
        """Return what a reader sees."""
        ...

    def pack(self, cell: Any) -> bytes:
        """Return the bytes of a cell."""
        ...

    def unpack(self, packed: bytes) -> Any:
        """Return the cell of the bytes."""
        ...


def check_cell(kind: CellKind | str, *, settings: Settings | None = None) -> None:
    """Prove the laws of a kind of cell; raises LawBroken with the smallest example.

    ``kind`` is one of your own, or the name of one of the store's: register, counter, trait, set,
    consent, text, list.
    """
    __tracebackhide__ = True
    kinds = _kinds_named(kind) if isinstance(kind, str) else [kind]
    for each in kinds:
        prove(_Laws(each).check, settings)


class _Laws:
    """The laws of one kind, over drawn cells."""

    def __init__(self, kind: CellKind) -> None:
        self._kind = kind

    def check(self, data: st.DataObject) -> None:
        one, two, three = (data.draw(self._kind.cells()) for _ in range(3))
        self._check_storage(one)
        self._check_determinism(one, two)
        self._check_storage(self._kind.join(one, two))
        self._check_join(one, two, three)
        self._check_value(one, two)
        self._check_growth(data.draw(st.lists(self._kind.cells(), max_size=12)))

    def _check_join(self, a: Any, b: Any, c: Any) -> None:
        join, kind = self._kind.join, self._kind.name
        forth, back = join(a, b), join(b, a)
        if self._differ(forth, back):
            raise LawBroken(
                f"kind {kind!r} breaks the law of commutativity",
                f"  join(a, b) = {forth!r}, join(b, a) = {back!r}",
                f"  a = {a!r}, b = {b!r}",
            )
        left, right = join(join(a, b), c), join(a, join(b, c))
        if self._differ(left, right):
            raise LawBroken(
                f"kind {kind!r} breaks the law of associativity",
                f"  join(join(a, b), c) = {left!r}, join(a, join(b, c)) = {right!r}",
                f"  a = {a!r}, b = {b!r}, c = {c!r}",
            )
        for text, again in (("join(a, a)", join(a, a)), ("join(join(a, b), b)", join(forth, b))):
            expected = a if text == "join(a, a)" else forth
            if self._differ(again, expected):
                raise LawBroken(
                    f"kind {kind!r} breaks the law of idempotence",
                    f"  {text} = {again!r}, not {expected!r}",
                    f"  a = {a!r}, b = {b!r}",
                )

    def _check_determinism(self, a: Any, b: Any) -> None:
        before = self._kind.pack(a), self._kind.pack(b)
        with watched() as asked:
            once = self._kind.pack(self._kind.join(a, b))
            value = repr(self._kind.value(a))
        is_kept = (self._kind.pack(a), self._kind.pack(b)) == before
        if asked:
            fault = f"join or value asks {asked[0]}"
        elif not is_kept:
            fault = "join or value changes a cell that it was given"
        elif self._kind.pack(self._kind.join(a, b)) != once or repr(self._kind.value(a)) != value:
            fault = "asked again, it answers otherwise"
        else:
            return
        raise LawBroken(
            f"kind {self._kind.name!r} breaks the law of determinism: {fault}",
            f"  a = {a!r}, b = {b!r}",
        )

    def _check_value(self, a: Any, b: Any) -> None:
        for cell in (a, self._kind.join(a, b)):
            stored = self._kind.unpack(self._kind.pack(cell))
            value, other = self._kind.value(cell), self._kind.value(stored)
            if repr(value) != repr(other):
                raise LawBroken(
                    f"kind {self._kind.name!r} breaks the law of value: equal cells, two values",
                    f"  value(cell) = {value!r}, and {other!r} after packing and unpacking",
                    f"  cell = {cell!r}",
                )

    def _check_storage(self, cell: Any) -> None:
        packed = self._kind.pack(cell)
        again = self._kind.pack(self._kind.unpack(packed))
        if again != packed:
            raise LawBroken(
                f"kind {self._kind.name!r} breaks the law of storage: a cell comes back otherwise",
                f"  {packed!r} is unpacked and packed to {again!r}",
                f"  cell = {cell!r}",
            )

    def _check_growth(self, cells: list[Any]) -> None:
        joined = None
        for count, cell in enumerate(cells, 1):
            joined = cell if joined is None else self._kind.join(joined, cell)
            size = len(self._kind.pack(joined))
            if size > self._kind.bytes_max:
                raise LawBroken(
                    f"kind {self._kind.name!r} breaks the law of growth: {size:,} bytes, "
                    f"more than {self._kind.bytes_max:,}",
                    f"  after the join of {count} cells: {cells[:count]!r}",
                )

    def _differ(self, one: Any, other: Any) -> bool:
        return self._kind.pack(one) != self._kind.pack(other)


_CELL_BYTES_MAX: Final = limits.VALUE_BYTES_MAX + limits.KIBIBYTE


class _StoreKind:
    """A kind of the store's own: the cells at one key of a document."""

    bytes_max = _CELL_BYTES_MAX

    def __init__(self, letter: str) -> None:
        self.name = {DENIAL: "consent (denial)", GRANT: "consent (grant)"}.get(
            letter, KIND_OF_LETTER[letter]
        )
        self._key = strategies.usual_key(letter)

    def cells(self) -> SearchStrategy[Cell]:
        return strategies.cells_at(self._key)

    def join(self, one: Cell, other: Cell) -> Cell:
        return join_cells(one, other)

    def value(self, cell: Cell) -> object:
        profile = resolve("ann", Document(0, {self._key: cell}), Schema())
        return profile.get(parse_key(self._key).field)

    def pack(self, cell: Cell) -> bytes:
        return pack(cell)

    def unpack(self, packed: bytes) -> Cell:
        cell: Cell = msgpack.unpackb(packed, use_list=False, timestamp=3)
        return cell


def _kinds_named(name: str) -> list[CellKind]:
    kinds: list[CellKind] = [
        TextKind(kind) if letter in COLLABORATIVE_KINDS else _StoreKind(letter)
        for letter, kind in KIND_OF_LETTER.items()
        if kind == name
    ]
    if not kinds:
        names = ", ".join(dict.fromkeys(KIND_OF_LETTER.values()))
        raise ValueError(f"{name!r} is no kind of cell; there are {names}")
    return kinds
