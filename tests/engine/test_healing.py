"""Damaged records: out of reach until a peer sends them, and nothing else stops meanwhile."""

import pytest

from crdtstore import limits
from crdtstore.engine.identifiers import INDEX_NOTE
from crdtstore.errors import FrameCorrupt, StorageCorrupt, StorageFull
from crdtstore.model.operations import add, increment
from crdtstore.model.values import pack
from crdtstore.sync.ranges import ABSENT, Range, Summary
from tests.engine.stores import fail, frames, open_store, reopened, send, state


class Collected:
    """A scan that keeps what it is given."""

    def __init__(self, lower="", upper="", hint=0):
        self.span = Range(lower, upper)
        self.hint = hint
        self.items = []
        self.is_finished = False

    def add(self, items):
        self.items += items

    def finish(self):
        self.is_finished = True


def scanned(store, *bounds):
    scan = Collected(*bounds)
    reading = store.replication.healing.reading(scan)
    while not reading.step():
        assert not scan.is_finished
    return scan.items


def damage(store, profile_id, place=-1):
    """Change a byte of a record at rest, with the document in no cache."""
    documents = store.storage._tables.documents
    record = bytearray(documents[profile_id.encode()])
    record[place] ^= 0x20
    documents[profile_id.encode()] = bytes(record)
    store.documents._young.pop(profile_id, None)
    store.documents._old.pop(profile_id, None)


def pair(count=20):
    """Two stores with the same documents, at rest."""
    one, two = open_store(), open_store(name="us")
    for number in range(count):
        one.write(f"p{number:03d}", {"n": number}, source="crm")
    one.erase("p003")
    one.commit(checkpoint=True)
    send(one, two)
    two.commit(checkpoint=True)
    return one, two


def give(source, target, *profile_ids):
    """Give a store documents of another, as a repair does."""
    healing = source.replication.healing
    entries = [entry for name in profile_ids for entry in healing.entries_at_rest(name)]
    packed = bytes([0x90 + len(entries)]) + b"".join(entries)
    allowed = set(profile_ids)
    return target.replication.healing.join(
        packed, healing.latest_timestamp, target.now_ms(), allowed
    )


@pytest.mark.parametrize("place", [-1, 5, 20, 27])
def test_a_damaged_record_is_healed_by_a_peer_s_document(place):
    one, two = pair()
    damage(two, "p007", place)
    damage(two, "p003", place)
    for call in (
        lambda: two.read("p007"),
        lambda: two.explain("p007"),
        lambda: two.write("p007", {"n": 1}, source="crm"),
        lambda: two.erase("p007"),
        lambda: two.read("p003"),
    ):
        with pytest.raises(StorageCorrupt):
            call()
    two.commit(checkpoint=True)
    assert two.verify().damaged == ("p003", "p007")
    assert give(one, two, "p003", "p007") == 2
    assert two.read("p007")["n"] == 7
    two.commit()
    assert two.verify().is_sound
    assert two.digest().digest == one.digest().digest
    assert two.profile_count == one.profile_count == 19
    assert reopened(two).digest().profiles == 19
    assert reopened(two).digest().digest == one.digest().digest


def test_the_feed_tells_what_was_healed_and_no_vector_is_adopted():
    one, two = pair()
    damage(two, "p007")
    vector, end = two.replication.vector, two.changes()[-1].cursor
    give(one, two, "p007")
    two.commit()
    (change,) = two.changes(since=end)
    assert (change.id, change.origin, change.fields) == ("p007", 0, ())
    assert two.replication.vector == vector


def test_frames_for_a_damaged_document_are_applied_and_stay_out_of_sight():
    one, two = pair()
    damage(two, "p007")
    one.write("p007", {"m": "new"}, source="crm")
    one.write("p008", {"m": "new"}, source="crm")
    one.commit(checkpoint=True)
    assert send(one, two) == 1
    assert two.replication.vector == one.replication.vector
    assert two.read("p008")["m"] == "new"
    two.commit(checkpoint=True)
    with pytest.raises(StorageCorrupt):
        two.read("p007")
    give(one, two, "p007")
    two.commit()
    assert dict(two.read("p007")) == {"n": 7, "m": "new"}
    assert two.verify().is_sound
    assert two.digest().digest == one.digest().digest


def test_what_came_for_a_damaged_document_is_joined_with_what_heals_it():
    one, two = pair()
    three = open_store(name="ap")
    send(one, three)
    damage(two, "p007")
    three.write("p007", {"c": increment(2)}, source="cdp")
    three.commit()
    send(three, two)
    give(one, two, "p007")
    two.commit(checkpoint=True)
    assert dict(two.read("p007")) == {"n": 7, "c": 2}


@pytest.mark.parametrize("lives", [1, 2])
def test_what_came_for_a_damaged_document_outlives_checkpoint_and_process(lives):
    """The peer that heals it lacks what came, so nobody else could bring it back."""
    one, two = pair()
    three = open_store(name="ap")
    send(one, three)
    damage(two, "p007")
    three.write("p007", {"c": increment(2)}, source="cdp")
    three.commit()
    send(three, two)
    two.commit(checkpoint=True)
    for _ in range(lives):
        two = reopened(two)
        two.write("p001", {"later": True}, source="crm")
        two.commit(checkpoint=True)
    three.write("p007", {"d": increment(3)}, source="cdp")
    three.commit()
    send(three, two)
    give(one, two, "p007")
    two.commit(checkpoint=True)
    assert dict(two.read("p007")) == {"n": 7, "c": 2, "d": 3}
    assert not two.storage.metas("damaged/")
    two = reopened(two)
    assert dict(two.read("p007")) == {"n": 7, "c": 2, "d": 3}
    assert two.verify().is_sound


def test_what_came_is_not_forgotten_when_healing_fails():
    one, two = pair()
    three = open_store(name="ap")
    send(one, three)
    damage(two, "p007")
    three.write("p007", {"c": increment(2)}, source="cdp")
    three.commit()
    send(three, two)
    two.commit(checkpoint=True)
    give(one, two, "p007")
    fail(two, StorageFull("full"))
    with pytest.raises(StorageFull):
        two.commit()
    two = reopened(two)
    give(one, two, "p007")
    two.commit(checkpoint=True)
    assert dict(two.read("p007")) == {"n": 7, "c": 2}


def test_a_store_opens_whose_journal_writes_to_a_damaged_document():
    one, two = pair()
    one.write("p007", {"m": "new"}, source="crm")
    one.commit()
    send(one, two)
    damage(two, "p007")
    again = reopened(two)
    with pytest.raises(StorageCorrupt):
        again.read("p007")
    one.commit(checkpoint=True)
    give(one, again, "p007")
    again.commit(checkpoint=True)
    assert state(again) == state(one)
    assert again.verify().is_sound


def test_a_failed_commit_leaves_a_damaged_document_damaged():
    one, two = pair()
    damage(two, "p007")
    give(one, two, "p007")
    fail(two, StorageFull("full"))
    with pytest.raises(StorageFull):
        two.commit()
    with pytest.raises(StorageCorrupt):
        two.read("p007")
    two.now_ms.ms += limits.FULL_RETRY_MS
    two.commit(checkpoint=True)
    give(one, two, "p007")
    two.commit()
    assert two.verify().is_sound
    assert two.digest().digest == one.digest().digest


def test_a_document_in_the_cache_heals_its_record():
    one, two = pair()
    assert two.read("p007")["n"] == 7
    record = two.storage._tables.documents[b"p007"]
    two.storage._tables.documents[b"p007"] = record[:-1] + b"?"
    assert dict(scanned(two)).keys() == dict(scanned(one)).keys() - {"p007"}
    give(one, two, "p007")
    two.documents._young.clear()
    two.commit()
    assert two.verify().is_sound
    assert two.digest().digest == one.digest().digest


def test_damage_that_nobody_knew_of_stops_no_checkpoint():
    store = open_store()
    store.write("a", {"n": 1}, source="crm")
    store.commit(checkpoint=True)
    damage(store, "a")
    store._drafting.draft.resting.append("a")
    store.write("b", {"n": 1}, source="crm")
    store.commit(checkpoint=True)
    assert store.read("b")["n"] == 1
    assert store.verify().damaged == ("a",)


def test_documents_that_were_not_asked_for_are_refused_and_change_nothing():
    one, two = pair()
    before = two.digest()
    entry = pack(("x", 0, {}))
    with pytest.raises(FrameCorrupt, match="asked for"):
        two.replication.healing.join(b"\x91" + entry, 1 << 40, two.now_ms(), {"p001"})
    with pytest.raises(FrameCorrupt):
        two.replication.healing.join(b"\xc1", 1 << 40, two.now_ms(), None)
    assert two.digest() == before
    assert one.replication.healing.join(b"\x90", 1 << 40, one.now_ms(), set()) == 0


# --- scans ----------------------------------------------------------------------------------------


def test_a_scan_lays_dirty_documents_over_those_at_rest(monkeypatch):
    monkeypatch.setattr(limits, "SCAN_RECORDS", 3)
    store, other = pair()
    for profile_id in ("a", "p000x", "p007", "p008", "zz"):
        store.write(profile_id, {"dirty": True}, source="crm")
    store.erase("p009")
    mixed = scanned(store)
    store.commit(checkpoint=True)
    assert scanned(store) == mixed
    assert [name for name, _ in mixed] == sorted(dict(mixed))
    summary = Summary()
    summary.add(mixed)
    assert f"{summary.digest:032x}" == store.digest().digest
    assert len(mixed) == 23
    send(store, other)
    assert scanned(other) == mixed


@pytest.mark.parametrize("limit", [1, 2, 1_000])
def test_a_scan_reads_its_range_and_no_more(limit, monkeypatch):
    monkeypatch.setattr(limits, "SCAN_RECORDS", limit)
    store, _ = pair()
    everything = scanned(store)
    store.write("p0055", {"n": 1}, source="crm")
    store.write("p010", {"n": "dirty"}, source="crm")
    names = [name for name, _ in scanned(store, "p005", "p010")]
    assert names == ["p005", "p0055", "p006", "p007", "p008", "p009"]
    assert [name for name, _ in scanned(store, "p0051", "p0055")] == []
    assert scanned(store, "", "p002") == everything[:2]
    assert scanned(store, "p018") == everything[18:]
    assert scanned(open_store()) == []


def test_only_what_rests_is_given_away():
    store, _ = pair()
    healing = store.replication.healing
    assert healing.is_durable
    store.write("new", {"n": 1}, source="crm")
    store.write("p001", {"n": "new"}, source="crm")
    assert not healing.is_durable
    assert healing.entries_at_rest("new") == []
    healing.rest(["new", "p001", "nobody"])
    store.commit()
    assert healing.is_durable
    assert len(healing.entries_at_rest("new")) == 1
    assert b"new" in healing.entries_at_rest("p001")[0]
    assert healing.digest_at_rest("nobody") == ABSENT
    assert len(frames(store)) == 2


def test_a_healed_document_is_indexed_and_the_index_is_built_anew_at_the_next_start():
    one, two = pair()
    for store in (one, two):
        store.write("p007", {"identifiers": add("user_id:7")}, source="crm")
        store.commit(checkpoint=True)
    send(one, two)
    send(two, one)
    one.commit(checkpoint=True)
    two.commit(checkpoint=True)
    damage(two, "p007")
    two = reopened(two)
    give(one, two, "p007")
    two.commit()
    assert two.read("p007")["identifiers"] == ["user_id:7"]
    assert two.verify().is_sound
    assert two.storage.meta(INDEX_NOTE) is None
    two = reopened(two)
    assert two.storage.meta(INDEX_NOTE) is not None
    assert two.verify().is_sound
