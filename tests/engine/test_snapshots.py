"""Snapshots: documents in key order, for peers that frames cannot serve."""

import msgpack
import pytest

from crdtstore import limits
from crdtstore.errors import ClockSkew, FrameCorrupt, StorageCorrupt, StorageFull
from crdtstore.model.operations import add, increment
from crdtstore.settings import Settings
from crdtstore.sync.messages import SnapshotBegin, SnapshotChunk
from tests.engine.stores import WALL_MS, Clock, open_store, reopened, send, state

STAMP = WALL_MS << 16


def written(store, value, profile_id="ann"):
    store.write(profile_id, {"x": value}, source="crm")
    store.commit()


def snapshot(source, target, *, begin=True, after="", chunks_max=None):
    """Give a store a snapshot of another, or a part of one; return the number of chunks."""
    if begin:
        target.replication.snapshot_begun(*source.replication.snapshot_begin())
    given = 0
    while chunks_max is None or given < chunks_max:
        chunks = source.replication.snapshot_chunks(after)
        for chunk in chunks:
            target.replication.snapshot_chunk(chunk, target.now_ms())
            after = chunk.last_id
            given += 1
        if not chunks:
            target.replication.snapshot_ended()
            break
    target.commit()
    return given


def full_store(count=30, **options):
    store = open_store(**options)
    for number in range(count):
        store.write(f"p{number:03d}", {"n": number, "t": add("a")}, source="crm")
        if number % 4 == 0:
            store.commit()
    store.erase("p003")
    store.commit(checkpoint=True)
    return store


def test_a_snapshot_brings_everything_and_the_vector_that_it_stands_for():
    full, fresh = full_store(), open_store(name="us")
    snapshot(full, fresh)
    assert fresh.digest().digest == full.digest().digest
    assert fresh.replication.vector == full.replication.vector
    assert fresh.replication.progress is None
    assert fresh.verify().is_sound
    again = reopened(fresh)
    assert again.digest() == fresh.digest()
    assert again.replication.heads == full.replication.heads
    written(full, "later")
    assert send(full, again) == 1


def test_a_snapshot_goes_on_after_a_crash_and_from_another_peer(monkeypatch):
    monkeypatch.setattr(limits, "CHUNK_DOCUMENTS_MAX", 4)
    one, two, fresh = full_store(), open_store(name="us"), open_store(name="ap")
    send(one, two)
    written(one, "only at one")
    written(two, "only at two", profile_id="q")
    one.commit(checkpoint=True)
    two.commit(checkpoint=True)
    assert snapshot(one, fresh, chunks_max=3) == 3
    fresh = reopened(fresh)
    assert fresh.replication.progress.after == "p010"
    assert fresh.replication.vector == {}, "it claims nothing yet"
    assert snapshot(two, fresh, after=fresh.replication.progress.after) == 5
    origin = one.replication.identity.origin
    assert fresh.replication.vector == {origin: two.replication.vector[origin]}
    send(one, fresh)
    send(two, fresh)
    send(two, one)
    assert fresh.digest().digest == one.digest().digest


def test_a_store_that_came_by_snapshot_can_give_one_at_once():
    full, middle, last = full_store(), open_store(name="us"), open_store(name="ap")
    snapshot(full, middle)
    assert middle.replication.snapshot_begin()[1].heads == full.replication.heads
    snapshot(middle, last)
    assert last.replication.vector == full.replication.vector
    assert last.digest().digest == full.digest().digest


def test_a_store_that_adopted_a_vector_owes_a_checkpoint_over_a_crash_too():
    full, middle = full_store(), open_store(name="us")
    middle.replication.snapshot_begun(*full.replication.snapshot_begin())
    for chunk in full.replication.snapshot_chunks(""):
        middle.replication.snapshot_chunk(chunk, middle.now_ms())
    middle.write("own", {"x": 1}, source="crm")
    middle.replication.snapshot_ended()
    commit = middle.begin_commit()
    commit.batch.meta.pop("checkpoint", None)
    commit.persist(middle.storage)
    again = reopened(middle)
    assert again.replication.floor == full.replication.vector
    again.commit()
    heads = again.replication.snapshot_begin()[1].heads
    assert full.replication.heads.items() <= heads.items()


def test_a_clock_that_a_snapshot_set_stands_over_a_crash():
    ahead = Clock()
    ahead.ms += 30_000
    full, fresh = full_store(now_ms=ahead), open_store(name="us")
    fresh.replication.snapshot_begun(*full.replication.snapshot_begin())
    for chunk in full.replication.snapshot_chunks(""):
        fresh.replication.snapshot_chunk(chunk, fresh.now_ms())
    fresh.commit()
    fresh = reopened(fresh)
    version = fresh.read("p001").version
    assert fresh.write("p001", {"n": "newer"}, source="crm").version != version
    assert fresh.read("p001")["n"] == "newer"
    fresh.commit()
    send(fresh, full)
    assert full.read("p001")["n"] == "newer"


def test_a_snapshot_keeps_what_is_newer_here():
    full, fresh = full_store(), open_store(name="us")
    fresh.now_ms.ms += 5
    fresh.write("p001", {"n": "mine", "c": increment(3)}, source="crm")
    fresh.erase("p002")
    fresh.commit()
    snapshot(full, fresh)
    assert dict(fresh.read("p001")) == {"n": "mine", "c": 3, "t": ["a"]}
    send(fresh, full)
    assert full.digest().digest == fresh.digest().digest


def test_a_document_larger_than_a_chunk_comes_in_parts():
    full, fresh = open_store(), open_store(name="us")
    for number in range(16):
        full.write("big", {f"f{number}": "x" * 60_000}, source="crm")
    full.write("after", {"x": 1}, source="crm")
    full.commit(checkpoint=True)
    chunks = full.replication.snapshot_chunks("after")
    assert len(chunks) > 3
    assert max(len(chunk.entries) for chunk in chunks) <= limits.FRAME_BYTES_MAX
    assert [chunk.last_id for chunk in chunks] == ["after"] * (len(chunks) - 1) + ["big"]
    snapshot(full, fresh)
    assert fresh.digest().digest == full.digest().digest


def test_a_failed_commit_puts_a_snapshot_back_to_what_is_durable(monkeypatch):
    monkeypatch.setattr(limits, "CHUNK_DOCUMENTS_MAX", 10)
    full, fresh = full_store(), open_store(name="us")
    snapshot(full, fresh, chunks_max=1)
    durable = fresh.replication.progress
    before = (state(fresh), fresh.replication.floor, fresh.ledger.vector())
    chunks = full.replication.snapshot_chunks(durable.after)
    fresh.replication.snapshot_chunk(chunks[0], fresh.now_ms())
    fresh.replication.snapshot_ended()
    fresh.finish_commit(fresh.begin_commit(), StorageFull("full"))
    assert fresh.replication.progress == durable
    assert (state(fresh), fresh.replication.floor, fresh.ledger.vector()) == before
    fresh.now_ms.ms += limits.FULL_RETRY_MS
    snapshot(full, fresh, begin=False, after=durable.after)
    assert fresh.digest().digest == full.digest().digest


@pytest.mark.parametrize(
    "entries",
    [
        b"",
        b"\xc1",
        msgpack.packb(None),
        msgpack.packb({}),
        msgpack.packb([["ann", 0]]),
        msgpack.packb([["ann", 0, {"rx\x1fcrm": [STAMP + 1, 1, 1]}]]),
        msgpack.packb([[f"p{number}", 0, {}] for number in range(limits.CHUNK_DOCUMENTS_MAX + 1)]),
    ],
)
def test_a_chunk_with_bad_content_changes_nothing(entries):
    store = open_store()
    store.replication.snapshot_begun({}, SnapshotBegin({5: (9, bytes(16))}, {5: ("us", 1)}, 1))
    before = (store.digest(), store.replication.progress)
    with pytest.raises(FrameCorrupt):
        store.replication.snapshot_chunk(SnapshotChunk("zoe", STAMP, entries), store.now_ms())
    assert (store.digest(), store.replication.progress) == before


def test_a_chunk_from_the_future_is_refused():
    store = open_store(settings=Settings(clock_skew_ms_max=1_000))
    store.replication.snapshot_begun({}, SnapshotBegin({}, {}, 1))
    stamp = store.now_ms() + 1_001 << 16
    with pytest.raises(ClockSkew):
        store.replication.snapshot_chunk(SnapshotChunk("a", stamp, b"\x90"), store.now_ms())


def test_a_snapshot_is_not_given_of_a_damaged_record():
    full = full_store()
    tables = full.storage._tables
    tables.documents[b"p007"] = tables.documents[b"p007"][:-1] + b"?"
    with pytest.raises(StorageCorrupt, match="p007"):
        full.replication.snapshot_chunks("")
