"""Names of removed replicas: they only grow, are durable, and stop the replica that bears one."""

import pytest

from crdtstore import limits
from crdtstore.errors import LimitExceeded, ReplicaRemoved, StorageFull
from tests.engine.stores import fail, open_store, reopened, state


def test_names_only_grow_and_outlive_a_restart_and_a_full_disk():
    store = open_store()
    removal = store.replication.removal
    assert removal.learn(["old", "older"]) == {"old", "older"}
    fail(store, StorageFull("no room"))
    with pytest.raises(StorageFull):
        store.commit()
    store.commit()
    assert removal.learn(["older"]) == set()
    assert removal.learn(["oldest", "old"]) == {"oldest"}
    store.commit()
    assert reopened(store).replication.removal.names == {"old", "older", "oldest"}


def test_a_removed_replica_reads_and_does_not_write():
    store = open_store(name="old")
    store.write("ann", {"n": 1}, source="crm")
    assert store.replication.removal.learn(["old"])
    for write in (
        lambda: store.write("ann", {"n": 2}, source="crm"),
        lambda: store.erase("ann"),
    ):
        with pytest.raises(ReplicaRemoved, match=r"'old' was removed.*under a new name"):
            write()
    store.commit()
    assert state(store) == {"ann": {"n": 1}}
    with pytest.raises(ReplicaRemoved):
        reopened(store).revive("ann")
    renamed = reopened(store, name="new")
    renamed.write("ann", {"n": 3}, source="crm")
    assert state(renamed) == {"ann": {"n": 3}}


def test_so_many_names_are_removed_and_no_more_but_what_others_removed_counts(monkeypatch):
    monkeypatch.setattr(limits, "REMOVED_REPLICAS_MAX", 2)
    removal = open_store().replication.removal
    removal.learn(["one"])
    removal.check_room()
    removal.learn(["two", "three"])
    assert removal.names == {"one", "two", "three"}
    with pytest.raises(LimitExceeded, match="4 names; the limit is 2"):
        removal.check_room()
