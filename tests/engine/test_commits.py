"""Commits: durable whole or undone whole, whatever was written meanwhile; checkpoints in slices."""

import pytest

from crdtstore import limits
from crdtstore.engine.commits import persist_growing
from crdtstore.errors import StorageFailed, StorageFull
from crdtstore.model.operations import add, increment
from crdtstore.settings import Settings
from crdtstore.storage.memory_storage import MemoryStorage
from crdtstore.sync.frame import decode_body, parse, space_tag
from tests.engine.stores import fail, frames, from_scratch, open_store, reopened, send, state

TAG = space_tag("default")


def fill(store, count, start=0):
    for number in range(start, start + count):
        store.write(f"p{number:04d}", {"n": number}, source="crm")


def persist(store, commit):
    """Make a commit durable, as the worker thread of a replica does."""
    persist_growing(commit, store.storage)
    store.finish_commit(commit)


def whole(store):
    """All that a failed commit must bring back."""
    return (
        state(store), store.digest(), store.ledger.vector(), store.replication.vector,
        store.replication.heads, store.cursor("c"), store.replication.progress,
    )  # fmt: skip


def test_a_commit_of_nothing_is_none():
    store = open_store()
    assert store.begin_commit() is None
    store.write("ann", {"x": None}, source="crm")
    assert store.begin_commit() is None


def test_one_commit_is_one_frame_however_many_the_writes():
    store = open_store()
    fill(store, 100)
    store.commit()
    assert len(frames(store)) == 1
    assert store.counters["writes"] == 100


def test_a_frame_takes_so_many_writes_and_bytes_and_then_the_next_one_follows():
    store = open_store()
    fill(store, limits.WRITES_PER_FRAME_MAX + 1)
    for number in range(9):
        store.write("big", {f"f{number}": "x" * 60_000}, source="crm")
    store.commit()
    bodies = [decode_body(parse(raw, TAG)) for raw in frames(store)]
    assert [len(writes) for _, writes in bodies] == [limits.WRITES_PER_FRAME_MAX, 1 + 4, 4, 1]
    assert max(len(raw) for raw in frames(store)) <= limits.FRAME_BYTES_MAX


def test_dependencies_that_leave_no_room_go_ahead_in_a_frame_of_their_own():
    store, other = open_store(), open_store(name="us")
    heads = {(1 << 61) + number: (1 << 60, bytes(16)) for number in range(limits.ORIGINS_MAX - 1)}
    for origin, head in heads.items():
        store._drafting.adopt(origin, head)
        other._drafting.adopt(origin, head)
    store.write("ann", {f"f{number}": "x" * 60_000 for number in range(4)}, source="crm")
    store.commit()
    assert [len(raw) < limits.FRAME_BYTES_MAX for raw in frames(store)] == [True, True]
    assert send(store, other) == 2
    assert state(other) == state(store)


def test_what_is_written_while_a_commit_is_under_way_is_in_the_next_one():
    store = open_store()
    store.write("ann", {"x": 1}, source="crm")
    commit = store.begin_commit()
    store.write("ann", {"x": 2}, source="crm")
    store.write("bob", {"x": 1}, source="crm")
    assert store.replication.vector == {}
    persist(store, commit)
    assert state(reopened(store)) == {"ann": {"x": 1}}


@pytest.mark.parametrize("is_checkpoint", [False, True])
def test_a_full_disk_undoes_the_commit_and_all_that_was_written_after_it(is_checkpoint):
    store, other = open_store(), open_store(name="us")
    store.write("ann", {"x": 1, "t": add("a"), "n": increment()}, source="crm", cursors={"c": "1"})
    store.erase("gone")
    store.commit(checkpoint=is_checkpoint)
    other.write("ann", {"x": 7}, source="cdp")
    other.commit()
    before = whole(store)

    store.write("ann", {"x": 2, "t": add("b"), "n": increment()}, source="crm", cursors={"c": "2"})
    store.write("new", {"x": 1}, source="crm")
    store.revive("gone")
    store.replication.receive_frames(frames(other), store.now_ms())
    commit = store.begin_commit(checkpoint=is_checkpoint)
    store.write("ann", {"x": 3}, source="crm", cursors={"c": "3"})
    store.write("newer", {"x": 1}, source="crm")
    store.erase("ann")
    store.revive("ann")
    store.write("ann", {"y": 1}, source="crm")
    store.finish_commit(commit, StorageFull("full"))

    assert whole(store) == before
    assert store.counters["commits_failed"] == 1
    with pytest.raises(StorageFull):
        store.write("ann", {"x": 4}, source="crm")
    store.now_ms.ms += limits.FULL_RETRY_MS
    store.write("ann", {"x": 4, "n": increment()}, source="crm", cursors={"c": "4"})
    assert send(other, store) == 1
    assert dict(store.read("ann")) == {"x": 4, "t": ["a"], "n": 2}
    store.commit(checkpoint=True)
    assert store.verify().is_sound
    again = reopened(store)
    assert again.digest() == store.digest()
    assert again.cursor("c") == "4"
    third = open_store(name="ap")
    send(other, third)
    send(store, third)
    assert state(third) == state(store)


def test_a_commit_that_finds_no_room_raises_and_is_undone():
    store = open_store()
    store.write("ann", {"x": 1}, source="crm")
    fail(store, StorageFull("full"))
    with pytest.raises(StorageFull):
        store.commit()
    assert state(store) == {}
    assert store.begin_commit() is None or state(store) == {}


def test_a_failed_disk_stops_the_store_but_not_its_reads():
    store = open_store()
    store.write("ann", {"x": 1}, source="crm")
    store.commit()
    store.write("ann", {"x": 2}, source="crm")
    fail(store, StorageFailed("fsync said no"))
    with pytest.raises(StorageFailed):
        store.commit()
    assert dict(store.read("ann")) == {"x": 1}
    for call in (
        lambda: store.write("ann", {"x": 3}, source="crm"),
        lambda: store.erase("ann"),
        store.commit,
    ):
        with pytest.raises(StorageFailed, match="stopped writing"):
            call()
    assert state(reopened(store)) == {"ann": {"x": 1}}
    store.close()


def test_an_erasure_is_still_possible_on_a_full_disk():
    store = open_store()
    fill(store, 5)
    store.commit()
    store.storage.disk_bytes_max = 0
    store.write("p0000", {"x": "y"}, source="crm")
    with pytest.raises(StorageFull):
        store.commit()
    store.storage.disk_bytes_max = store.storage.size().used_bytes + 2_000
    store.erase("p0000")
    store.commit()
    assert "p0000" not in state(reopened(store))


def test_identity_and_names_outlive_a_failed_commit():
    store = open_store()
    store.write("ann", {"x": 1}, source="crm")
    commit = store.begin_commit()
    store.replication.learn_names({77: "late"})
    identity = store.replication.renew_incarnation(store.random_bits)
    store.finish_commit(commit, StorageFull("full"))
    store.now_ms.ms += limits.FULL_RETRY_MS
    store.write("bob", {"x": 1}, source="crm")
    store.commit()
    again = reopened(store)
    assert again.replication.identity == identity
    assert again.replication.names[77] == "late"


def test_nothing_is_called_durable_by_a_commit_that_only_makes_room(monkeypatch):
    monkeypatch.setattr(limits, "WAYPOINT_RECORDS", 2)
    store = open_store()
    for number in range(9):
        store.write("ann", {"x": number}, source="crm")
        store.commit(checkpoint=number == 8)
    store = reopened(store, settings=Settings(journal_bytes_max=600))
    store.write("ann", {"x": "lost"}, source="crm")
    fail(store, StorageFull("full"))
    with pytest.raises(StorageFull):
        store.commit()
    store.now_ms.ms += limits.FULL_RETRY_MS
    store.write("ann", {"x": "kept"}, source="crm")
    first = store.ledger.first_position
    store.commit()
    assert store.ledger.first_position > first, "the journal was trimmed to make room"
    assert state(reopened(store)) == {"ann": {"x": "kept"}}


def test_a_full_map_grows_and_one_that_cannot_is_full():
    storage = MemoryStorage(map_bytes_initial=40_000, map_bytes_max=200_000)
    store = open_store(storage)
    fill(store, 400)
    store.commit(checkpoint=True)
    assert storage.size().map_bytes > 40_000
    for number in range(5_000):
        store.write(f"q{number}", {"n": "x" * 50}, source="crm")
    with pytest.raises(StorageFull):
        store.commit()
    assert store.digest().profiles == 400
    assert store.verify().is_sound


# --- digests and verification ---------------------------------------------------------------------


def test_a_digest_is_the_same_at_rest_and_not_and_from_scratch():
    store = open_store()
    seen = set()
    for number in range(30):
        store.write(f"p{number % 7}", {"n": number, "t": add(number % 3)}, source="crm")
        if number % 5 == 0:
            store.erase(f"p{number % 7}")
            store.revive(f"p{number % 7}")
        store.commit()
        before = store.digest()
        assert before.digest == from_scratch(store)
        store.commit(checkpoint=number % 4 == 0)
        assert store.digest() == before
        seen.add(before.digest)
    assert len(seen) == 30


@pytest.mark.parametrize("place", [0, 3, 20, 26, 30, -1])
def test_verification_finds_a_flipped_byte(place):
    store = open_store()
    fill(store, 10)
    store.commit(checkpoint=True)
    report = store.verify()
    assert (report.documents, report.profiles, report.is_sound) == (10, 10, True)
    tables = store.storage._tables
    record = bytearray(tables.documents[b"p0004"])
    record[place] ^= 1
    tables.documents[b"p0004"] = bytes(record)
    report = store.verify()
    assert report.damaged == ("p0004",)
    assert not report.is_sound


@pytest.mark.parametrize("harm", ["lost", "swapped", "stale"])
def test_verification_finds_records_that_are_whole_but_wrong(harm):
    store = open_store()
    fill(store, 10)
    store.commit(checkpoint=True)
    tables = store.storage._tables
    old = dict(tables.documents)
    if harm == "lost":
        tables.documents.pop(b"p0004")
        tables.keys.remove(b"p0004")
    elif harm == "swapped":
        tables.documents[b"p0004"] = old[b"p0005"]
    else:
        store.write("p0004", {"n": "newer"}, source="crm")
        store.commit(checkpoint=True)
        tables.documents[b"p0004"] = old[b"p0004"]
    assert not store.verify().is_sound
