"""The inbox: whatever the order of arrival, frames come out in causal order, within its bound."""

from hypothesis import given
from hypothesis import strategies as st

from crdtstore import limits
from crdtstore.sync.frame import NO_HASH, seal
from crdtstore.sync.inbox import Inbox, is_covered
from tests.sync.examples import EU, STAMP, TAG, US


def frame(origin, sequence):
    return seal(
        origin=origin, previous=(sequence - 1, NO_HASH), timestamp=STAMP, dependencies={},
        entries=[], tag=TAG,
    )  # fmt: skip


SIZE = len(frame(EU, 1).raw) + limits.HELD_FRAME_BYTES


def test_only_the_next_frame_of_an_origin_is_held():
    inbox = Inbox()
    assert not inbox.offer(frame(EU, 3), {}, {EU: 1})
    assert inbox.offer(frame(EU, 2), {US: 1}, {EU: 1})
    assert not inbox.offer(frame(EU, 2), {US: 1}, {EU: 1})
    assert not inbox.offer(frame(EU, 4), {}, {EU: 1})
    assert inbox.offer(frame(EU, 3), {}, {EU: 1})
    assert inbox.held_bytes == 2 * SIZE + 16


def test_a_frame_comes_out_when_its_dependencies_are_there():
    inbox = Inbox()
    inbox.offer(frame(EU, 1), {US: 2, 7: 1}, {})
    assert inbox.next_ready({US: 1, 7: 1}) is None
    inbox.applied(frame(7, 1))
    assert inbox.next_ready({US: 1, 7: 1}) is None
    inbox.applied(frame(US, 2))
    assert inbox.next_ready({US: 2, 7: 1}) == frame(EU, 1)
    assert inbox.next_ready({US: 2, 7: 1}) is None
    assert inbox.held_bytes == 0


def test_a_frame_that_came_by_another_way_is_dropped():
    inbox = Inbox()
    inbox.offer(frame(EU, 1), {US: 9}, {})
    inbox.offer(frame(EU, 2), {}, {})
    assert inbox.next_ready({EU: 1}) == frame(EU, 2)
    assert inbox.held_bytes == 0


def test_a_frame_comes_out_when_the_vector_went_ahead_by_other_ways():
    inbox = Inbox()
    inbox.offer(frame(EU, 1), {US: 2}, {})
    inbox.offer(frame(7, 1), {US: 9}, {})
    assert inbox.next_ready({}) is None
    inbox.advanced()
    assert inbox.next_ready({US: 5}) == frame(EU, 1)
    assert inbox.next_ready({US: 5}) is None
    assert inbox.held_bytes == SIZE + 16


def test_what_does_not_fit_is_not_taken():
    size = SIZE + 16
    inbox = Inbox(bytes_max=2 * size)
    assert inbox.offer(frame(EU, 1), {US: 1}, {})
    assert inbox.offer(frame(US, 2), {EU: 1}, {US: 1})
    assert not inbox.offer(frame(EU, 2), {}, {})
    assert inbox.held_bytes == 2 * size
    inbox.forget(EU)
    assert inbox.held_bytes == size
    assert inbox.offer(frame(EU, 1), {US: 1}, {})
    inbox.clear()
    assert inbox.held_bytes == 0
    assert inbox.next_ready({US: 1, EU: 1}) is None


def test_forgetting_an_origin_that_is_not_there_changes_nothing():
    inbox = Inbox()
    inbox.forget(EU)
    assert inbox.held_bytes == 0


@given(st.data())
def test_any_order_of_arrival_gives_a_causal_order(data):
    """Three origins write in one causal history; frames arrive per origin in order, else anyhow."""
    history, vector = [], {}
    for _ in range(data.draw(st.integers(1, 12))):
        origin = data.draw(st.sampled_from([1, 2, 3]))
        seen = {other: data.draw(st.integers(0, top)) for other, top in vector.items()}
        dependencies = {o: s for o, s in seen.items() if o != origin and s}
        vector[origin] = vector.get(origin, 0) + 1
        history.append((frame(origin, vector[origin]), dependencies))
    arrivals = data.draw(st.permutations([item[0].origin for item in history]))
    queues = {o: [item for item in history if item[0].origin == o] for o in vector}
    inbox, applied = Inbox(), {}
    for origin in arrivals:
        item, dependencies = queues[origin].pop(0)
        assert inbox.offer(item, dependencies, applied)
        while (ready := inbox.next_ready(applied)) is not None:
            assert ready.sequence == applied.get(ready.origin, 0) + 1
            needed = next(d for f, d in history if f == ready)
            assert is_covered(needed, applied)
            applied[ready.origin] = ready.sequence
            inbox.applied(ready)
    assert applied == vector
    assert inbox.held_bytes == 0
