"""Giving: a snapshot has what was durable when it began, from documents at rest alone."""

from crdtstore import limits
from crdtstore.links.giving import GivenSnapshot
from crdtstore.sync.frame import decode_packed
from tests.engine.stores import open_store


def filled(count, *, rest_every=0):
    store = open_store()
    for number in range(count):
        store.write(f"p{number:03d}", {"n": number}, source="crm")
        store.commit()
        if rest_every and number % rest_every == 0:
            store.commit(checkpoint=True)
    return store


def take_all(store, given):
    """Take all chunks, committing where the snapshot waits; return ids, and commits waited for."""
    ids, commits = [], 0
    while not given.has_ended:
        chunk = given.next_chunk()
        if chunk is not None:
            ids += [entry[0] for entry in decode_packed(chunk.entries)]
            continue
        if given.has_ended:
            break
        assert not given.is_ready
        commit = store.begin_commit()
        assert commit is not None
        for wait in given.waits:
            wait.commit_begun()
        commit.persist(store.storage)
        store.finish_commit(commit)
        for wait in given.waits:
            wait.commit_finished()
        commits += 1
        assert given.is_ready
    return ids, commits


def test_documents_that_are_dirty_are_brought_to_rest_slice_by_slice(monkeypatch):
    monkeypatch.setattr(limits, "SNAPSHOT_SLICE_DOCUMENTS", 4)
    store = filled(10)
    assert len(store.documents.dirty) == 10
    ids, commits = take_all(store, GivenSnapshot(store.replication, ""))
    assert ids == [f"p{number:03d}" for number in range(10)]
    assert commits == 3
    assert not store.documents.dirty


def test_those_at_rest_between_them_come_in_their_place(monkeypatch):
    monkeypatch.setattr(limits, "SNAPSHOT_SLICE_DOCUMENTS", 2)
    monkeypatch.setattr(limits, "CHUNK_DOCUMENTS_MAX", 3)
    store = filled(20, rest_every=19)
    for number in (3, 4, 11, 17):
        store.write(f"p{number:03d}", {"n": "new"}, source="crm")
    store.write("q", {"n": 1}, source="crm")
    store.commit()
    given = GivenSnapshot(store.replication, "p001")
    ids, commits = take_all(store, given)
    assert ids == [f"p{number:03d}" for number in range(2, 20)] + ["q"]
    assert commits == 3


def test_what_rests_already_waits_for_nobody():
    store = filled(5)
    store.commit(checkpoint=True)
    ids, commits = take_all(store, GivenSnapshot(store.replication, ""))
    assert (len(ids), commits) == (5, 0)


def test_a_document_that_came_later_may_be_missing_and_harms_nothing():
    store = filled(3)
    given = GivenSnapshot(store.replication, "")
    store.write("p000a", {"n": 1}, source="crm")
    ids, _ = take_all(store, given)
    assert [each for each in ids if each != "p000a"] == ["p000", "p001", "p002"]


def test_an_empty_store_gives_an_empty_snapshot():
    store = open_store()
    assert take_all(store, GivenSnapshot(store.replication, "")) == ([], 0)


def test_a_snapshot_is_advised_where_frames_have_more_bytes_than_documents(monkeypatch):
    monkeypatch.setattr(limits, "SNAPSHOT_FRAMES_BYTES_MIN", 10_000)
    store = open_store()
    origin = store.replication.identity.origin
    for number in range(300):
        store.write("ann", {"n": number}, source="crm")
        store.commit()
    assert store.replication.position_before({origin: 0}) is None
    assert store.replication.position_before({origin: 250}) is not None
    monkeypatch.setattr(limits, "SNAPSHOT_FRAMES_BYTES_MIN", limits.MEBIBYTE)
    assert store.replication.position_before({origin: 0}) == 0
