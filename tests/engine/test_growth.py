"""Growth: a profile's size depends on its fields and sources, not on how often they changed."""

import pytest

from crdtstore.errors import LimitExceeded
from crdtstore.model.operations import add, increment, remove, revoke
from tests.engine.stores import Clock, open_store


def test_a_profile_overwritten_100_000_times_is_no_larger_than_after_100_times():
    """Three replicas and four sources overwrite one profile, exchange frames, and stay small."""
    clock = Clock()
    stores = [open_store(name=name, now_ms=clock) for name in ("eu", "us", "ap")]
    position = {store.replication.identity.name: 0 for store in stores}

    def overwrite(times, start):
        for number in range(start, start + times):
            clock.ms += 1
            store = stores[number % 3]
            fields = {f"f{number % 12}": f"value {number:09d}", "n": increment(), "t": add("x")}
            store.write("ann", fields, source=f"source{number % 4}")

    def exchange():
        for store in stores:
            store.commit()
        for source in stores:
            name = source.replication.identity.name
            for after, record in source.replication.records_after(position[name], 10**9):
                position[name] = after
                for target in stores:
                    if target is not source:
                        target.replication.receive_frames([record], clock.ms)
        for store in stores:
            store.commit(checkpoint=True)

    def sizes():
        return [len(store.storage.document(b"ann")) for store in stores]

    overwrite(100, 0)
    exchange()
    after_100 = sizes()
    for start in range(100, 100_000, 9_990):
        overwrite(9_990, start)
        exchange()
    assert len({store.digest().digest for store in stores}) == 1
    assert stores[0].read("ann")["n"] == 100_000
    few_more_digits = 3 * 4 * 8
    assert max(sizes()) <= min(after_100) + few_more_digits


def write_many_fields(store, size_bytes):
    for number in range(1_000):
        store.write("ann", {f"{size_bytes}-{number}": "x" * size_bytes}, source="crm")


def test_a_full_document_still_takes_a_revocation_and_a_removal():
    store = open_store(name="eu", now_ms=Clock())
    store.write("ann", {"tags": add("vip")}, source="crm")
    for size_bytes in (60_000, 5_000, 500, 10):
        with pytest.raises(LimitExceeded, match="the document of profile 'ann'"):
            write_many_fields(store, size_bytes)
    with pytest.raises(LimitExceeded):
        store.write("ann", {"tags": add("x" * 100)}, source="crm")
    store.write("ann", {"marketing": revoke()}, source="crm")
    store.write("ann", {"tags": remove("vip")}, source="crm")
    profile = store.read("ann")
    assert profile["marketing"] is False
    assert "tags" not in profile
    store.commit()
