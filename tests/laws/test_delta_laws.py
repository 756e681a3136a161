"""The laws of the algebra: TP1, inversion, associativity, and the normal form."""

from hypothesis import given
from hypothesis import strategies as st

from crdtstore.model.delta import Insert, compose, invert, normal, transform
from crdtstore.model.delta_forms import delta_of, operations_of
from tests.model.deltas import Operations, changes, documents, forks, length_before, units_of

Fork = tuple[Operations, Operations, Operations]


@given(forks())
def test_tp1(fork: Fork) -> None:
    document, one, other = map(delta_of, fork)
    over_one = compose(compose(document, one), transform(one, other, first_is_first=True))
    over_other = compose(compose(document, other), transform(other, one, first_is_first=False))
    assert over_one == over_other
    assert all(isinstance(part, Insert) for part in over_one)


@given(forks())
def test_a_change_and_its_inverse_change_nothing(fork: Fork) -> None:
    document, change, _ = map(delta_of, fork)
    assert compose(compose(document, change), invert(change, document)) == document


@given(st.data())
def test_composition_is_associative(data: st.DataObject) -> None:
    document = data.draw(documents())
    first = data.draw(changes(units_of(document)))
    a = compose(delta_of(document), delta_of(first))
    b = delta_of(data.draw(changes(sum(part.units for part in a))))
    assert compose(a, b) == compose(delta_of(document), compose(delta_of(first), b))


@given(forks())
def test_transforming_keeps_to_the_text(fork: Fork) -> None:
    document, one, other = map(delta_of, fork)
    moved = transform(one, other, first_is_first=True)
    assert length_before(moved) <= sum(part.units for part in compose(document, one))


@given(forks())
def test_the_normal_form_is_its_own(fork: Fork) -> None:
    for delta in map(delta_of, fork):
        assert normal(delta) == delta
        assert delta_of(operations_of(delta)) == delta
