"""Every fold of a trait is a commutative monoid, and what is folded in pieces reads as a whole."""

from functools import reduce
from itertools import permutations

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crdtstore.errors import InvalidValue
from crdtstore.model.cells import TRAIT, check_cells, trait_key
from crdtstore.model.folds import FOLDS
from crdtstore.model.traits import Partial, folded_in, trait_at, value_of
from crdtstore.model.values import OPAQUE_EXT_CODE, from_cell_value, pack
from crdtstore.testing import partials

every_fold = pytest.mark.parametrize("fold", sorted(FOLDS))
some = settings(max_examples=25)


def opaque(parts):
    try:
        return msgpack.ExtType(OPAQUE_EXT_CODE, pack(parts))
    except (ValueError, TypeError):
        return None


def drawn_payloads(data, fold, count):
    options = data.draw(partials.options_of(fold))
    return options, [data.draw(partials.payloads(fold, options)) for _ in range(count)]


@every_fold
@some
@given(data=st.data())
def test_uniting_is_associative_and_commutative(fold, data):
    options, (a, b, c) = drawn_payloads(data, fold, 3)
    unite = FOLDS[fold].unite
    assert pack(unite(a, b, options)) == pack(unite(b, a, options))
    left, right = unite(unite(a, b, options), c, options), unite(a, unite(b, c, options), options)
    assert pack(left) == pack(right)


@pytest.mark.parametrize(
    "fold", ["minimum", "maximum", "first", "last", "unique_list", "unique_count"]
)
@some
@given(data=st.data())
def test_what_does_not_count_may_be_united_again(fold, data):
    options, (a, b) = drawn_payloads(data, fold, 2)
    unite = FOLDS[fold].unite
    assert pack(unite(unite(a, b, options), b, options)) == pack(unite(a, b, options))


@every_fold
@some
@given(data=st.data())
def test_what_is_united_and_bounded_passes_the_check(fold, data):
    options, (a, b) = drawn_payloads(data, fold, 2)
    both = FOLDS[fold].bounded(FOLDS[fold].unite(a, b, options), options)
    FOLDS[fold].check(both, options)
    assert FOLDS[fold].bounded(both, options) == both


@every_fold
@some
@given(data=st.data())
def test_uniting_leaves_what_it_was_given(fold, data):
    options, (a, b) = drawn_payloads(data, fold, 2)
    before = pack((a, b))
    FOLDS[fold].bounded(FOLDS[fold].unite(a, b, options), options)
    FOLDS[fold].value(a, options)
    assert pack((a, b)) == before


@every_fold
@some
@given(data=st.data())
def test_the_value_is_the_same_however_events_were_divided_over_origins(fold, data):
    options, parts = drawn_payloads(data, fold, 3)
    cells = [folded_in(None, Partial(1, fold, options, part), "f") for part in parts]
    apart = {repr(value_of(order)) for order in permutations(cells)}
    whole = reduce(lambda one, other: FOLDS[fold].unite(one, other, options), parts)
    together = value_of([folded_in(None, Partial(1, fold, options, whole), "f")])
    assert apart == {repr(together)}
    now = from_cell_value(together) if not isinstance(together, list) else together
    trait_at(now, 150)


@every_fold
@some
@given(data=st.data())
def test_what_is_folded_in_is_the_packed_union_and_passes_the_check_of_peers(fold, data):
    options, (a, b) = drawn_payloads(data, fold, 2)
    one = folded_in(None, Partial(1, fold, options, a), "f")
    both = folded_in(one, Partial(1, fold, options, b), "f")
    united = FOLDS[fold].bounded(FOLDS[fold].unite(a, b, options), options)
    assert both == opaque([1, fold, options, united])
    for cell in (one, both):
        check_cells({trait_key("f", "cdp", 255): (1, 255, cell)}, 9)


@given(st.lists(partials.partials(), min_size=1, max_size=5))
def test_only_partials_of_the_newest_version_count(drawn):
    cells = [folded_in(None, partial, "f") for partial in drawn]
    newest = max(partial.definition for partial in drawn)
    counting = [
        cell for cell, partial in zip(cells, drawn, strict=True) if partial.definition == newest
    ]
    assert repr(value_of(cells)) == repr(value_of(counting))


def anything():
    leaves = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text()
    return st.recursive(
        leaves | st.binary(max_size=40), lambda inner: st.lists(inner, max_size=4), max_leaves=12
    )


@every_fold
@some
@given(data=st.data())
def test_whatever_a_peer_sends_is_refused_or_can_be_read(fold, data):
    options = data.draw(partials.options_of(fold) | st.lists(anything(), max_size=4))
    payload = data.draw(partials.payloads(fold, options) if _fits(fold, options) else anything())
    mutated = data.draw(st.one_of(st.just(payload), _mutated(payload), anything()))
    cell = opaque([data.draw(st.integers(0, 2)), fold, options, mutated])
    key = trait_key("f", "cdp", 255)
    try:
        check_cells({key: (1, 255, cell)}, 9)
    except InvalidValue:
        return
    assert key[0] == TRAIT
    value = value_of([cell, cell])
    trait_at(from_cell_value(value) if not isinstance(value, list) else value, 150)


def _fits(fold, options):
    try:
        FOLDS[fold].check_options(options)
    except InvalidValue:
        return False
    return fold not in ("windows", "quantiles", "unique_count", "sessions")


def _mutated(payload):
    """Return payloads with one part replaced by anything."""
    if not isinstance(payload, list) or not payload:
        return anything()
    place = st.integers(0, len(payload) - 1)
    return st.tuples(place, st.one_of(anything(), _mutated(payload[0]))).map(
        lambda pair: [*payload[: pair[0]], pair[1], *payload[pair[0] + 1 :]]
    )
