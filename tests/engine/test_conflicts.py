"""The conflict log: what lost unseen is kept, until somebody who saw it writes."""

import pytest

from crdtstore import limits
from crdtstore.engine.conflict_errors import ConflictNotFound, ConflictSettled
from crdtstore.errors import InvalidInput, StorageFull
from crdtstore.store import Store
from tests.engine.stores import fail, frames, journal, open_store, reopened, send


def pair() -> tuple[Store, Store]:
    eu, us = open_store(name="eu"), open_store(name="us")
    us.now_ms.ms += 1  # type: ignore[attr-defined]
    return eu, us


def write(store: Store, value: object, profile_id: str = "ann", field: str = "name") -> None:
    store.write(profile_id, {field: value}, source="crm")
    store.commit()


def exchange(*stores: Store) -> None:
    for store in stores:
        store.commit()
    for one in stores:
        for other in stores:
            if one is not other:
                send(one, other)


def lost(store: Store, state: str = "open") -> list[object]:
    return [conflict.lost for conflict in store.conflicts.present(state=state)]


def conflicting() -> tuple[Store, Store]:
    eu, us = pair()
    write(eu, "Ann")
    write(us, "Anna")
    exchange(eu, us)
    return eu, us


def test_the_value_that_lost_is_in_the_log_of_both_with_who_and_when() -> None:
    for store in conflicting():
        (conflict,) = store.conflicts.present()
        assert (conflict.profile_id, conflict.field, conflict.source) == ("ann", "name", "crm")
        assert (conflict.lost, conflict.kept) == ("Ann", "Anna")
        assert conflict.lost_write.at < conflict.kept_write.at
        assert conflict.settled is None
        names = {conflict.lost_write.replica, conflict.kept_write.replica}
        assert store.replication.identity.name in names
        assert store.conflicts.get(conflict.id) == conflict
    assert store.read("ann")["name"] == "Anna"


def test_the_id_is_the_same_everywhere() -> None:
    eu, us = conflicting()
    assert eu.conflicts.present()[0].id == us.conflicts.present()[0].id


def test_what_was_seen_is_no_conflict() -> None:
    eu, us = pair()
    write(eu, "Ann")
    exchange(eu, us)
    write(us, "Anna")
    exchange(eu, us)
    write(eu, "Anne")
    exchange(eu, us)
    assert lost(eu, "all") == lost(us, "all") == []


def test_what_stands_in_the_next_frame_was_not_seen_with_the_frame_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("crdtstore.limits.WRITES_PER_FRAME_MAX", 1)
    eu, us = pair()
    eu.write("bob", {"name": "Bob"}, source="crm")
    eu.write("ann", {"name": "Ann"}, source="crm")
    eu.commit()
    first, second = frames(eu)
    us.replication.receive_frames([first], us.now_ms())
    write(us, "Anna")
    us.replication.receive_frames([second], us.now_ms())
    exchange(eu, us)
    assert lost(eu) == lost(us) == ["Ann"]


def test_a_value_of_the_frame_being_filled_had_not_seen_what_it_meets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("crdtstore.limits.WRITES_PER_FRAME_MAX", 1)
    eu, us = pair()
    write(us, "Anna")
    eu.write("bob", {"name": "Bob"}, source="crm")
    eu.write("ann", {"name": "Ann"}, source="crm")
    for frame in frames(us):
        eu.replication.receive_frames([frame], eu.now_ms())
    exchange(eu, us)
    write(us, "Anne")
    exchange(eu, us)
    assert len(lost(eu, "all")) == len(lost(us, "all")) == 1
    assert lost(eu) == lost(us) == []


def test_two_sources_do_not_conflict_nor_do_equal_values() -> None:
    eu, us = pair()
    eu.write("ann", {"name": "Ann", "city": "Bonn"}, source="crm")
    us.write("ann", {"name": "Ann"}, source="crm")
    us.write("ann", {"city": "Rome"}, source="cdp")
    exchange(eu, us)
    assert lost(eu, "all") == lost(us, "all") == []


def test_one_is_not_true() -> None:
    eu, us = pair()
    write(eu, 1)
    write(us, True)
    exchange(eu, us)
    assert lost(eu) == [1]


def test_choosing_the_lost_value_settles_it_everywhere() -> None:
    eu, us = conflicting()
    chosen = us.conflicts.choose(us.conflicts.present()[0].id)
    us.commit()
    assert chosen.settled is not None
    assert chosen.settled.replica == "us"
    exchange(eu, us)
    for store in (eu, us):
        assert lost(store) == []
        assert lost(store, "settled") == ["Ann"]
        assert store.read("ann")["name"] == "Ann"
        (candidate,) = store.explain("ann", "name")
        assert candidate.source == "crm"


def test_choosing_the_kept_value_settles_it_everywhere_too() -> None:
    eu, us = conflicting()
    eu.conflicts.choose(eu.conflicts.present()[0].id, "kept")
    eu.commit()
    exchange(eu, us)
    for store in (eu, us):
        assert lost(store) == []
        assert store.read("ann")["name"] == "Anna"


def test_a_conflict_is_chosen_once() -> None:
    eu, _ = conflicting()
    (conflict,) = eu.conflicts.present()
    with pytest.raises(InvalidInput, match="lost or kept"):
        eu.conflicts.choose(conflict.id, "both")
    eu.conflicts.choose(conflict.id)
    with pytest.raises(ConflictSettled):
        eu.conflicts.choose(conflict.id)
    with pytest.raises(ConflictNotFound):
        eu.conflicts.choose("0" * 16)


def test_two_stewards_who_choose_at_once_conflict_in_turn() -> None:
    eu, us = conflicting()
    us.now_ms.ms += 9  # type: ignore[attr-defined]
    eu.conflicts.choose(eu.conflicts.present()[0].id, "lost")
    us.conflicts.choose(us.conflicts.present()[0].id, "kept")
    exchange(eu, us)
    assert lost(eu) == lost(us) == ["Ann"]
    assert lost(eu, "settled") == lost(us, "settled") == ["Ann"]


def test_a_third_replica_finds_the_same() -> None:
    eu, us = conflicting()
    asia = open_store(name="asia")
    send(us, asia)
    assert [c.id for c in asia.conflicts.present()] == [c.id for c in eu.conflicts.present()]


def test_an_unsealed_write_has_not_seen_what_came_meanwhile() -> None:
    eu, us = pair()
    write(us, "Anna")
    eu.now_ms.ms += 5  # type: ignore[attr-defined]
    eu.write("ann", {"name": "Ann"}, source="crm")
    send(us, eu)
    send(eu, us)
    assert lost(eu) == lost(us) == ["Anna"]


def test_a_value_that_is_agreed_upon_later_is_settled() -> None:
    eu, us = conflicting()
    asia = open_store(name="asia")
    asia.now_ms.ms += 9  # type: ignore[attr-defined]
    write(asia, "Ann")
    exchange(eu, us, asia)
    for store in (eu, us):
        assert lost(store, "settled") == ["Ann"]
        assert lost(store) == ["Anna"]


def test_the_log_survives_a_crash_with_the_frame_that_caused_it() -> None:
    eu, _ = conflicting()
    assert reopened(eu).conflicts.present() == eu.conflicts.present()


def test_causes_survive_a_crash_and_a_checkpoint() -> None:
    eu, us = pair()
    asia = open_store(name="asia")
    write(eu, "seen", "bob")
    exchange(eu, us)
    write(us, "newer", "bob")
    exchange(eu, us, asia)
    eu.commit(checkpoint=True)
    eu = reopened(eu)
    write(eu, "Ann")
    us.now_ms.ms += 5  # type: ignore[attr-defined]
    write(us, "Anna")
    write(us, "newest", "bob")
    write(eu, "unseen", "bob")
    eu = reopened(eu)
    exchange(eu, us)
    assert lost(eu) == lost(us) == ["Ann", "unseen"]


@pytest.mark.parametrize("checkpoints", [False, True])
def test_what_a_writer_had_seen_is_known_after_a_crash(checkpoints: bool) -> None:
    eu, us = pair()
    write(eu, "Ann")
    exchange(eu, us)
    write(us, "Bonn", field="city")
    send(us, eu)
    eu.commit(checkpoint=checkpoints)
    eu = reopened(eu)
    write(us, "Anna")
    send(us, eu)
    assert eu.read("ann")["name"] == "Anna"
    assert lost(eu, "all") == []
    assert eu.counters["conflicts_undecided"] == 0


def test_a_failed_commit_takes_its_conflicts_back() -> None:
    eu, us = pair()
    write(eu, "Ann")
    write(us, "Anna")
    fail(eu, StorageFull("full"))
    with pytest.raises(StorageFull):
        send(us, eu)
    assert lost(eu) == []
    eu.now_ms.ms += 10_000  # type: ignore[attr-defined]
    send(us, eu)
    assert lost(eu) == ["Ann"]


def test_an_erasure_takes_the_log_of_the_profile_with_it_in_one_commit() -> None:
    eu, us = conflicting()
    us.now_ms.ms += 9  # type: ignore[attr-defined]
    write(eu, "Bob", "bob")
    write(us, "Bobby", "bob")
    exchange(eu, us)
    us.erase("ann")
    us.commit()
    exchange(eu, us)
    for store in (eu, us):
        assert lost(store) == ["Bob"]
        records = reopened(store).storage.metas("conflict/")
        assert not [name for name, packed in records.items() if b"Ann" in packed]
        us.revive("ann")
    assert lost(us, "all") == ["Bob"]


def test_the_oldest_go_first_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CONFLICTS_MAX", 3)
    eu, us = pair()
    for number in range(5):
        write(eu, f"old {number}", f"p{number}")
        write(us, f"new {number}", f"p{number}")
    exchange(eu, us)
    assert lost(eu) == lost(reopened(eu)) == ["old 2", "old 3", "old 4"]
    assert eu.counters["conflicts_evicted"] == 2


def test_the_oldest_go_first_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CONFLICTS_BYTES_MAX", 3_000)
    eu, us = pair()
    for number in range(5):
        write(eu, f"{number}" * 1_000, f"p{number}")
        write(us, "new", f"p{number}")
    exchange(eu, us)
    assert lost(eu) == lost(reopened(eu)) == ["3" * 1_000, "4" * 1_000]
    assert len(eu.storage.metas("conflict/")) == 2


def test_pages_and_profiles() -> None:
    eu, us = pair()
    for number in range(5):
        write(eu, f"old {number}", f"p{number}")
        write(us, f"new {number}", f"p{number}")
    exchange(eu, us)
    first = eu.conflicts.present(limit=2)
    rest = eu.conflicts.present(after=first[-1].cursor)
    assert [c.lost for c in first + rest] == [f"old {number}" for number in range(5)]
    assert [c.lost for c in eu.conflicts.present("p3")] == ["old 3"]
    assert eu.conflicts.present("nobody") == []
    for wrong in ({"limit": 0}, {"after": "x"}, {"state": "lost"}):
        with pytest.raises(InvalidInput):
            eu.conflicts.present(**wrong)  # type: ignore[arg-type]


def test_a_replica_from_a_snapshot_does_not_log_what_it_cannot_know() -> None:
    eu, us = pair()
    write(eu, "Ann")
    exchange(eu, us)
    eu.commit(checkpoint=True)
    asia = open_store(name="asia")
    resting, begin = eu.replication.snapshot_begin()
    asia.replication.snapshot_begun(resting, begin)
    chunks = eu.replication.snapshot_chunks("")
    for chunk in chunks:
        asia.replication.snapshot_chunk(chunk, asia.now_ms())
    asia.replication.snapshot_ended()
    asia.commit()
    write(us, "Anna")
    send(us, asia)
    assert asia.read("ann")["name"] == "Anna"
    assert lost(asia, "all") == []
    asia = reopened(asia)
    us.now_ms.ms += 1_000  # type: ignore[attr-defined]
    asia.now_ms.ms += 500  # type: ignore[attr-defined]
    write(asia, "Anne")
    write(us, "Annika")
    send(us, asia)
    assert lost(asia) == ["Anne"]


def test_a_damaged_record_of_the_log_is_dropped_and_the_others_stay() -> None:
    eu, us = conflicting()
    us.now_ms.ms += 9  # type: ignore[attr-defined]
    write(eu, "Bob", "bob")
    write(us, "Bobby", "bob")
    exchange(eu, us)
    tables = eu.storage._tables  # type: ignore[attr-defined]
    record = tables.meta["conflict/00001"]
    tables.meta["conflict/00001"] = bytes((record[0] ^ 1,)) + record[1:]
    eu = reopened(eu)
    assert lost(eu) == ["Bob"]
    assert "conflict/00001" not in eu.storage.metas("conflict/")


def test_a_lookup_beyond_the_frames_at_hand_goes_to_the_journal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "RECENT_FRAMES", 2)
    eu, us = pair()
    asia = open_store(name="asia")
    write(eu, "seen", "bob")
    send(eu, us)
    for number in range(20):
        write(eu, f"{number}", "ann")
    write(us, "newer", "bob")
    us.now_ms.ms += 5  # type: ignore[attr-defined]
    write(us, "other", "ann")
    send(eu, asia)
    send(us, asia)
    assert lost(asia) == lost(asia, "all") == ["19"]
    assert len(journal(asia)) == 23
