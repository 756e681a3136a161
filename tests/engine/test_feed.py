"""The change feed: in local commit order, resumable anywhere, nothing lost, nothing twice."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crdtstore import limits
from crdtstore.engine.feed import end_cursor
from crdtstore.errors import CursorExpired, InvalidInput
from crdtstore.model.operations import add, edit_set
from crdtstore.settings import Settings
from tests.engine.stores import WALL_MS, open_store, reopened, send


def follow(store, since="", limit=1_000):
    """Follow the feed page by page to its end."""
    changes = []
    while page := store.changes(since=since, limit=limit):
        changes += page
        since = page[-1].cursor
    return changes


def written(store, count, per_commit=3, start=0):
    for number in range(start, start + count):
        store.now_ms.ms += 1
        store.write(f"p{number % 7}", {"n": number}, source=("crm", "cdp")[number % 2])
        if number % per_commit == per_commit - 1:
            store.commit()
    store.commit()


def test_a_change_says_what_who_where_and_when():
    store, other = open_store(), open_store(name="us")
    store.write("ann", {"email": "a", "t": add("x", "y")}, source="crm")
    store.commit()
    other.write("bob", {"n": 1}, source="cdp")
    other.commit()
    send(other, store)
    store.erase("ann")
    store.revive("ann")
    store.commit()
    ours = store.replication.identity.origin
    first, second, third, fourth = store.changes()
    assert (first.id, first.fields, first.sources) == ("ann", ("email", "t"), ("crm",))
    assert (first.origin, first.replica, first.erased) == (ours, "eu", False)
    assert first.at.timestamp() * 1000 == WALL_MS
    assert (second.id, second.sources) == ("bob", ("cdp",))
    assert second.origin == other.replication.identity.origin
    assert (third.id, third.fields, third.sources, third.erased) == ("ann", (), (), True)
    assert (fourth.id, fourth.erased) == ("ann", False)


def test_a_change_tells_the_elements_of_sets():
    store = open_store()
    store.write("ann", {"t": add("x", 7), "n": 1}, source="crm")
    store.commit()
    store.write("ann", {"t": edit_set(add=("y",), remove=("x",))}, source="crm")
    store.commit()
    first, second = store.changes()
    told = {(each.field, each.element, each.is_in) for each in first.elements}
    assert told == {("t", "x", True), ("t", 7, True)}
    told = {(each.field, each.element, each.is_in) for each in second.elements}
    assert told == {("t", "x", False), ("t", "y", True)}


def test_names_of_origins_are_told():
    store, other = open_store(), open_store(name="us")
    other.write("bob", {"n": 1}, source="cdp")
    other.commit()
    send(other, store)
    assert store.changes()[0].replica == ""
    store.replication.learn_names({other.replication.identity.origin: "us"})
    assert store.changes()[0].replica == "us"


def test_only_what_is_durable_is_in_the_feed():
    store = open_store()
    store.write("ann", {"x": 1}, source="crm")
    assert store.changes() == []
    store.commit()
    assert len(store.changes()) == 1


def test_a_no_op_is_no_change():
    store = open_store()
    for _ in range(3):
        store.write("ann", {"x": 1}, source="crm")
        store.commit()
    assert len(store.changes()) == 1


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 5), st.integers(1, 9), st.data())
def test_it_goes_on_from_any_cursor(count, per_commit, limit, data):
    store = open_store()
    written(store, count, per_commit)
    everything = store.changes()
    assert [change.id for change in everything] == [f"p{n % 7}" for n in range(count)]
    assert follow(store, limit=limit) == everything
    place = data.draw(st.integers(0, count - 1))
    since = everything[place].cursor
    store = reopened(store)
    written(store, 5, start=count)
    assert follow(store, since, limit) == store.changes()[place + 1 :]


def test_cursors_are_unique_and_the_end_is_the_end():
    store = open_store()
    assert store.changes(since="end") == []
    written(store, 20)
    cursors = [change.cursor for change in store.changes()]
    assert len(set(cursors)) == 20
    assert store.changes(since=cursors[-1]) == []
    assert store.changes(since="end") == []


def test_a_follower_that_began_at_the_end_of_nothing_sees_the_first_change():
    store = open_store()
    since = end_cursor(store.ledger)
    written(store, 2)
    assert follow(store, since) == store.changes()


@pytest.mark.parametrize(
    "cursor",
    ["x", "1", "1.", ".1", "-1.0", "1.-1", "1.0.0", "\u0661.\u0660", "1.0 ", "9" * 41, "999.0"],
)
def test_what_is_no_cursor_is_refused(cursor):
    store = open_store()
    written(store, 5)
    with pytest.raises(InvalidInput):
        store.changes(since=cursor)


@pytest.mark.parametrize("limit", [0, -1, limits.PAGE_CHANGES_MAX + 1])
def test_a_page_has_a_size(limit):
    with pytest.raises(InvalidInput):
        open_store().changes(limit=limit)


def test_no_cursor_passes_over_what_was_trimmed(monkeypatch):
    """Whoever goes on after a trim gets every later change, or is told that it cannot."""
    monkeypatch.setattr(limits, "WAYPOINT_RECORDS", 2)
    store = open_store(settings=Settings(journal_bytes_max=1_200))
    everything, expired, served = [], 0, 0
    for round_number in range(15):
        written(store, 9, start=9 * round_number)
        store.commit(checkpoint=True)
        known = {change.cursor for change in everything}
        fresh = [change for change in follow(store) if change.cursor not in known]
        everything += fresh
        for place, change in enumerate(everything):
            try:
                rest = follow(store, change.cursor)
            except CursorExpired:
                expired += 1
            else:
                served += 1
                assert rest == everything[place + 1 :]
    assert len(everything) == 135
    assert expired > 100
    assert served > 100


def test_the_end_of_what_was_trimmed_is_a_good_place_to_go_on_from(monkeypatch):
    monkeypatch.setattr(limits, "WAYPOINT_RECORDS", 2)
    store = open_store(settings=Settings(journal_bytes_max=400))
    written(store, 30)
    store.commit(checkpoint=True)
    for number in range(5):
        store.write("x", {"n": number}, source="crm")
        store.commit()
    first = store.ledger.first_position
    assert first > 1
    assert follow(store, f"{first - 1}.{limits.WRITES_PER_FRAME_MAX}") == store.changes()
    with pytest.raises(CursorExpired):
        store.changes(since=f"{first - 1}.0")


def test_the_feed_goes_on_over_a_snapshot():
    full, fresh = open_store(), open_store(name="us")
    written(full, 20)
    full.commit(checkpoint=True)
    fresh.replication.snapshot_begun(*full.replication.snapshot_begin())
    for chunk in full.replication.snapshot_chunks(""):
        fresh.replication.snapshot_chunk(chunk, fresh.now_ms() + 60_000)
    fresh.replication.snapshot_ended()
    fresh.commit()
    changes = follow(fresh, limit=2)
    assert sorted(change.id for change in changes) == [f"p{n}" for n in range(7)]
    assert {(change.origin, change.replica, change.at) for change in changes} == {(0, "", None)}
    written(full, 2, start=20)
    fresh.now_ms.ms = full.now_ms.ms
    send(full, fresh)
    assert [change.id for change in follow(fresh, changes[-1].cursor)] == ["p6", "p0"]
