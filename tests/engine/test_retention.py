"""How far back the journal reaches: for peers that acknowledged, for those away, for the feed."""

import pytest

from crdtstore import limits
from crdtstore.errors import CursorExpired, StorageFull
from crdtstore.settings import Settings
from tests.engine.stores import fail, open_store, reopened

SHORT_MS = 1_000
LONG_MS = 1_000_000
SETTINGS = Settings(acknowledged_retention_ms=SHORT_MS, journal_retention_ms=LONG_MS)


def write(store, count=10):
    """Write so many frames, and bring them to rest."""
    for number in range(count):
        store.now_ms.ms += 1
        store.write("ann", {"n": store.now_ms.ms + number}, source="crm")
        store.commit()
    store.commit(checkpoint=True)


def pass_time(store, ms):
    """Let time pass, and the journal be trimmed."""
    store.now_ms.ms += ms
    for _ in range(4):
        store.write("bob", {"n": store.now_ms.ms}, source="crm")
        store.now_ms.ms += 1
        store.commit(checkpoint=True)


def heard(store, name, origin=7, claimed=None):
    claimed = dict(store.replication.vector) if claimed is None else claimed
    store.retention.known.heard(name, origin, claimed, store.now_ms())


def is_trimmed(store):
    return store.ledger.first_position > 10


def test_a_journal_that_nobody_waits_for_is_kept_for_the_shorter_time():
    store = open_store(settings=SETTINGS)
    write(store)
    pass_time(store, SHORT_MS // 2)
    assert not is_trimmed(store)
    pass_time(store, SHORT_MS)
    pass_time(store, SHORT_MS)
    assert is_trimmed(store)


def test_what_a_known_replica_has_not_acknowledged_is_kept_up_to_the_longer_time():
    store = open_store(settings=SETTINGS)
    heard(store, "us", claimed={})
    write(store)
    for _ in range(3):
        pass_time(store, 5 * SHORT_MS)
    assert store.ledger.first_position == 1
    pass_time(store, LONG_MS)
    pass_time(store, 1)
    assert is_trimmed(store)


def test_what_every_known_replica_acknowledged_goes_and_no_more():
    store = open_store(settings=SETTINGS)
    heard(store, "us", 7)
    write(store)
    heard(store, "us", 7)
    heard(store, "ap", 8, {})
    acknowledged = dict(store.replication.vector)
    pass_time(store, 5 * SHORT_MS)
    pass_time(store, 5 * SHORT_MS)
    assert store.ledger.first_position == 1, "ap has none of it"
    heard(store, "ap", 8, acknowledged)
    for _ in range(4):
        pass_time(store, 5 * SHORT_MS)
    assert is_trimmed(store)
    floor = store.replication.floor
    assert all(floor[origin] <= sequence for origin, sequence in acknowledged.items())


def test_a_replica_that_was_rolled_back_is_waited_for_again():
    store = open_store(settings=SETTINGS)
    write(store)
    heard(store, "us", 7)
    heard(store, "us", 7, {})
    for _ in range(3):
        pass_time(store, 5 * SHORT_MS)
    assert store.ledger.first_position == 1


def test_a_new_incarnation_takes_the_place_of_the_one_before():
    store = open_store(settings=SETTINGS)
    write(store)
    heard(store, "us", 7, {})
    heard(store, "us", 9)
    assert [(known.name, known.origin) for known in store.retention.known.present()] == [("us", 9)]


def test_a_journal_above_its_size_goes_whoever_waits():
    store = open_store(settings=Settings(acknowledged_retention_ms=1, journal_bytes_max=500))
    heard(store, "us", claimed={})
    write(store, 40)
    pass_time(store, 1)
    assert store.ledger.first_position > 10


def test_a_feed_that_is_read_keeps_its_promise():
    store = open_store(settings=SETTINGS)
    write(store)
    cursor = store.changes()[4].cursor
    store.commit()
    for _ in range(3):
        pass_time(store, LONG_MS // 4)
    store = reopened(store, settings=SETTINGS)
    pass_time(store, 1)
    assert len(store.changes(since=cursor)) == 5 + 16
    pass_time(store, LONG_MS)
    pass_time(store, 1)
    with pytest.raises(CursorExpired):
        store.changes(since=cursor)


def test_a_feed_that_nobody_reads_any_more_holds_nothing_up():
    store = open_store(settings=SETTINGS)
    write(store)
    store.changes()
    pass_time(store, LONG_MS + limits.FEED_NOTE_MS)
    write(store)
    pass_time(store, 2 * SHORT_MS)
    pass_time(store, 2 * SHORT_MS)
    assert store.ledger.first_position > 20


def test_reading_the_feed_is_noted_once_an_hour():
    store = open_store(settings=SETTINGS)
    commits = store.counters["commits"]
    for _ in range(10):
        store.now_ms.ms += limits.FEED_NOTE_MS // 20
        store.changes()
        store.commit()
    assert store.counters["commits"] == commits + 1


def test_what_is_known_of_replicas_outlives_a_restart_and_a_full_disk():
    store = open_store(settings=SETTINGS)
    heard(store, "us", 7, {5: 1})
    store.changes()
    fail(store, StorageFull("no room"))
    with pytest.raises(StorageFull):
        store.commit()
    assert store.begin_commit() is None, "nothing of it is worth a commit of its own"
    store.changes()
    store.commit()
    heard(store, "us", 7, {5: 2})
    store.now_ms.ms += limits.KNOWN_REPLICA_NOTE_MS
    heard(store, "us", 7, {5: 3})
    assert [known.acknowledged for known in reopened(store).retention.known.present()] == [{5: 1}]
    store.write("ann", {"n": 1}, source="crm")
    fail(store, StorageFull("no room"))
    with pytest.raises(StorageFull):
        store.commit()
    store.now_ms.ms += limits.FULL_RETRY_MS
    store.write("ann", {"n": 1}, source="crm")
    store.commit()
    (known,) = reopened(store).retention.known.present()
    assert (known.name, known.origin, known.acknowledged) == ("us", 7, {5: 3})
    assert known.heard_ms == store.now_ms.ms - limits.FULL_RETRY_MS


def test_so_many_replicas_are_known_and_the_one_not_heard_for_longest_goes(monkeypatch):
    monkeypatch.setattr(limits, "KNOWN_REPLICAS_MAX", 2)
    store = open_store()
    for number, name in enumerate(("us", "ap", "sa")):
        store.now_ms.ms += 1
        heard(store, name, number + 1)
    store.commit()
    for each in (store, reopened(store)):
        assert [known.name for known in each.retention.known.present()] == ["ap", "sa"]


def test_a_quiet_journal_is_cut_too():
    store = open_store(settings=SETTINGS)
    write(store, 3)
    assert limits.WAYPOINT_RECORDS > 3
    for _ in range(4):
        pass_time(store, 2 * SHORT_MS)
    assert store.ledger.first_position > 3
