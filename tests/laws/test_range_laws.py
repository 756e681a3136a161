"""Laws of comparing ranges: it finds what differs, all of it, in few rounds and bytes."""

import math
from hashlib import blake2b
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crdtstore import limits
from tests.sync.range_pairs import Digests, compare, expected

DIGESTS = st.integers(1, 2**128 - 1)
IDS = st.text(st.characters(min_codepoint=0x20, exclude_categories=["C", "Z"]), min_size=1,
              max_size=6)  # fmt: skip


def documents(contents: dict[str, int]) -> Digests:
    """Return digests bound to their ids, as real ones are: no two ids share one."""
    return {
        name: int.from_bytes(blake2b(f"{name} {content}".encode(), digest_size=16).digest(), "big")
        for name, content in contents.items()
    }


DOCUMENTS = st.dictionaries(IDS, DIGESTS, max_size=60).map(documents)


def populated(draw: Any) -> tuple[Digests, Digests]:
    """Two large sets of documents that differ in some places."""
    count = draw(st.integers(0, 2_500))
    own = {f"p{number * 7919 % 10_007:05d}": number * 2**100 + 1 for number in range(count)}
    peer = dict(own)
    names = st.integers(0, 10_006).map(lambda number: f"p{number:05d}")
    for side in (own, peer):
        side.update(draw(st.dictionaries(names, DIGESTS, max_size=30)))
        for name in draw(st.lists(names, max_size=10)):
            side.pop(name, None)
        if draw(st.booleans()) and draw(st.booleans()):
            lower, upper = sorted((draw(names), draw(names)))
            for name in [name for name in side if lower <= name < upper]:
                del side[name]
    return own, peer


pairs = st.composite(populated)()


@given(DOCUMENTS, DOCUMENTS)
@settings(max_examples=150, deadline=None)
def test_exactly_the_symmetric_difference_is_found_whatever_the_ids(
    own: Digests, peer: Digests
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "RANGE_PARTS", 2)
        patch.setattr(limits, "RANGE_IDS_MAX", 2)
        patch.setattr(limits, "RANGE_BLOCKS_MAX", 8)
        patch.setattr(limits, "COMPARE_RANGES_MAX", 3)
        assert compare(own, peer).found == expected(own, peer)


@given(pairs)
@settings(max_examples=60, deadline=None)
def test_it_takes_few_rounds_and_bytes(pair: tuple[Digests, Digests]) -> None:
    own, peer = pair
    outcome = compare(own, peer)
    differing = expected(own, peer)
    assert outcome.found == differing
    larger = max(len(own), len(peer), 2)
    rounds_max = 2 + math.ceil(math.log(larger, limits.RANGE_PARTS))
    assert outcome.rounds <= rounds_max
    assert outcome.message_bytes <= 700 + 1_400 * len(differing) * outcome.rounds
    assert outcome.largest_bytes <= limits.MESSAGE_BYTES_MAX


@given(pairs)
@settings(max_examples=20, deadline=None)
def test_both_sides_find_the_same(pair: tuple[Digests, Digests]) -> None:
    own, peer = pair
    swapped = [each._replace(own=each.peer, peer=each.own) for each in compare(peer, own).found]
    assert compare(own, peer).found == swapped


@given(st.integers(0, 5_000))
@settings(max_examples=15, deadline=None)
def test_equal_sets_take_one_round(count: int) -> None:
    own = {f"p{number}": number + 1 for number in range(count)}
    outcome = compare(own, dict(own))
    assert (outcome.found, outcome.rounds, outcome.messages) == ([], 1, 2)
    assert outcome.message_bytes < 700
