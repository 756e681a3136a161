"""Version vectors: cover, count, join and meet."""

from hypothesis import given
from hypothesis import strategies as st

from crdtstore.sync.vector import covers, join_vectors, meet_heads, missing_count, vector_of

VECTORS = st.dictionaries(st.integers(1, 4), st.integers(1, 5))
HEADS = st.dictionaries(
    st.integers(1, 4), st.integers(1, 5).map(lambda sequence: (sequence, bytes([sequence]) * 16))
)


def test_an_origin_that_is_not_named_stands_at_zero():
    assert covers({}, {1: 0})
    assert not covers({}, {1: 1})
    assert covers({1: 1}, {})
    assert missing_count({}, {1: 3, 2: 4}) == 7
    assert missing_count({1: 5}, {1: 3}) == 0
    assert missing_count({1: 1, 2: 9}, {1: 3, 2: 1}) == 2


@given(VECTORS, VECTORS)
def test_a_join_is_the_least_vector_that_covers_both(one, other):
    joined = join_vectors(one, other)
    assert covers(joined, one)
    assert covers(joined, other)
    assert set(joined.items()) <= set(one.items()) | set(other.items())
    assert joined == join_vectors(other, one)


@given(VECTORS, VECTORS)
def test_one_covers_another_exactly_if_nothing_is_missing(one, other):
    assert covers(one, other) == (missing_count(one, other) == 0)


@given(HEADS, HEADS)
def test_a_meet_is_what_both_have_reached(one, other):
    met = meet_heads(one, other)
    assert covers(vector_of(one), vector_of(met))
    assert covers(vector_of(other), vector_of(met))
    for origin in one.keys() & other.keys():
        assert met[origin] in (one[origin], other[origin])
    assert met.keys() == one.keys() & other.keys()
