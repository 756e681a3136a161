"""Every kind of cell keeps the laws, and its join and its keys are what they are said to be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtstore.model.cells import (
    COUNTER,
    DENIAL,
    GRANT,
    NEWEST_KINDS,
    REGISTER,
    SET,
    TRAIT,
    check_cells,
    decode_element,
    encode_element,
    join_cells,
    parse_key,
    supersedes,
)
from crdtstore.model.values import pack
from crdtstore.schema import KINDS
from crdtstore.testing import check_cell, strategies

every_kind = pytest.mark.parametrize("letter", [REGISTER, COUNTER, TRAIT, SET, DENIAL, GRANT])


@st.composite
def cells_of_one_key(draw, letter, count):
    key = draw(strategies.keys(letter))
    return [draw(strategies.cells_at(key)) for _ in range(count)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_cell_keeps_every_law(kind):
    check_cell(kind)


@pytest.mark.parametrize("letter", sorted(NEWEST_KINDS))
@given(data=st.data())
def test_the_join_of_newest_cells_is_the_one_with_the_greater_timestamp_and_origin(letter, data):
    a, b = data.draw(cells_of_one_key(letter, 2))
    joined = join_cells(a, b)
    assert joined[:2] == max(a[:2], b[:2])
    assert joined is a or joined is b


@pytest.mark.parametrize("letter", [SET, DENIAL])
@given(data=st.data())
def test_the_join_of_maxima_keeps_the_latest_of_each(letter, data):
    a, b = data.draw(cells_of_one_key(letter, 2))
    assert join_cells(a, b) == (max(a[0], b[0]), max(a[1], b[1]))


@given(data=st.data())
def test_superseding_is_a_strict_total_order(data):
    a, b = data.draw(cells_of_one_key(REGISTER, 2))
    assert not supersedes(a, a)
    assert (supersedes(a, b), supersedes(b, a)).count(True) == (pack(a) != pack(b))


@given(strategies.cell_maps())
def test_what_writers_make_passes_the_check_for_what_comes_from_elsewhere(cells):
    latest = max((cell[0] for cell in cells.values()), default=0)
    latest = max([latest, *(cell[1] for cell in cells.values() if len(cell) == 2)])
    check_cells(cells, latest)


@given(strategies.scalars())
def test_a_set_element_comes_back_with_its_type(value):
    decoded = decode_element(encode_element(value))
    assert type(decoded) is type(value)
    assert pack(decoded) == pack(value)


@given(strategies.scalars(), strategies.scalars())
def test_elements_have_one_name_exactly_if_they_are_one_value(one, other):
    same = type(one) is type(other) and pack(one) == pack(other)
    assert (encode_element(one) == encode_element(other)) is same


@every_kind
@given(data=st.data())
def test_a_parsed_key_names_its_parts(letter, data):
    key = data.draw(strategies.keys(letter))
    parsed = parse_key(key)
    assert parsed.letter == letter
    assert parsed.field in strategies.FIELDS
    assert parsed.source in strategies.SOURCES
    has_origin = letter in (COUNTER, TRAIT, SET, DENIAL)
    assert (parsed.origin in strategies.ORIGINS) is has_origin
    assert (parsed.element != "") is (letter == SET)
