"""check_cell: kinds of one's own keep the laws, or are found out by the one they break."""

import json
import time
from dataclasses import dataclass, replace

import pytest
from hypothesis import strategies as st

from crdtstore.testing import LawBroken, check_cell


@dataclass(frozen=True)
class Greatest:
    """The three greatest scores that anybody reached."""

    name: str = "three greatest"
    bytes_max: int = 100

    def cells(self):
        return st.lists(st.integers(0, 9), max_size=3, unique=True).map(self.ordered)

    @staticmethod
    def ordered(scores):
        return sorted(set(scores), reverse=True)[:3]

    def join(self, one, other):
        return self.ordered([*one, *other])

    def value(self, cell):
        return list(cell)

    def pack(self, cell):
        return json.dumps(cell).encode()

    def unpack(self, packed):
        return json.loads(packed)


class Sum(Greatest):
    def join(self, one, other):
        return [sum(one) + sum(other)]


class First(Greatest):
    def join(self, one, other):
        return one or other


class Average(Greatest):
    def cells(self):
        return st.lists(st.integers(0, 9), min_size=1, max_size=1)

    def join(self, one, other):
        return [(one[0] + other[0]) // 2]


class Union(Greatest):
    @staticmethod
    def ordered(scores):
        return sorted(set(scores))


class InPlace(Greatest):
    def join(self, one, other):
        one[:] = self.ordered([*one, *other])
        return one


class Aging(Greatest):
    def value(self, cell):
        return [cell, time.time() // 3600]


class Forgetful(Greatest):
    def unpack(self, packed):
        return json.loads(packed)[:2]


class Unordered(Greatest):
    def cells(self):
        return st.lists(st.integers(0, 9), max_size=3, unique=True)

    def unpack(self, packed):
        return self.ordered(json.loads(packed))


class Typed(Greatest):
    def unpack(self, packed):
        return tuple(json.loads(packed))

    def value(self, cell):
        return cell


@pytest.mark.parametrize("kind", ["register", "counter", "set", "consent"])
def test_the_kinds_of_the_store_keep_the_laws(kind):
    check_cell(kind)


def test_a_kind_of_ones_own_may_keep_the_laws():
    check_cell(Greatest())


@pytest.mark.parametrize(
    ("kind", "law"),
    [
        (Sum, "idempotence"),
        (First, "commutativity"),
        (Average, "associativity"),
        (InPlace, "determinism: join or value changes a cell"),
        (Aging, r"determinism: join or value asks time\.time"),
        (Forgetful, "storage"),
        (Unordered, "storage"),
        (Typed, "value"),
    ],
)
def test_a_kind_that_breaks_a_law_is_found(kind, law):
    with pytest.raises(LawBroken, match=rf"^kind 'own' breaks the law of {law}") as caught:
        check_cell(kind(name="own"))
    assert len(str(caught.value).splitlines()) in (2, 3)


def test_a_kind_that_grows_with_its_history_is_found():
    text = r"breaks the law of growth: \d+ bytes, more than 12\n  after the join of \d cells"
    with pytest.raises(LawBroken, match=text):
        check_cell(Union(bytes_max=12))
    check_cell(replace(Greatest(), bytes_max=12))


def test_a_kind_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="'map' is no kind of cell; there are register, counter"):
        check_cell("map")
