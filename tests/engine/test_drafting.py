"""Drafting: what is applied is counted."""

from tests.engine.stores import exchange, open_store


def test_erased_profiles_are_counted_however_they_come() -> None:
    eu, us = open_store(), open_store(name="us")
    eu.write("bob", {"city": "Bonn"}, source="crm")
    exchange(eu, us)
    assert eu.erasures.erased_writes == us.erasures.erased_writes == 0
    eu.erase("bob")
    eu.commit()
    assert eu.erasures.erased_writes == 1
    eu.write("ann", {"city": "Bonn"}, source="crm")
    eu.commit()
    assert eu.erasures.erased_writes == 1
    exchange(eu, us)
    assert us.erasures.erased_writes == 1
    us.commit(checkpoint=True)
    ap = open_store(name="ap")
    ap.replication.snapshot_begun(*us.replication.snapshot_begin())
    for chunk in us.replication.snapshot_chunks(""):
        ap.replication.snapshot_chunk(chunk, ap.now_ms())
    assert ap.erasures.erased_writes == 1
