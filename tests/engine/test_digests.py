"""Digests: computed ahead or at once, they say the same, and never something outdated."""

from dataclasses import replace

from crdtstore import limits
from crdtstore.engine.totals import Totals
from tests.engine.stores import open_store


def filled(count):
    store = open_store()
    for number in range(count):
        store.write(f"p{number:02d}", {"n": number}, source="crm")
    store.commit()
    return store


def afresh(store):
    """The digest as a store computes it that remembers nothing."""
    digest, profiles = Totals(store.documents, store.commits).whole()
    return replace(store.digest(), digest=f"{digest:032x}", profiles=profiles)


def test_what_was_computed_ahead_is_what_it_would_have_been(monkeypatch):
    monkeypatch.setattr(limits, "DIGEST_DOCUMENTS", 3)
    store = filled(10)
    assert len(list(store.digests.compute())) == 4
    assert store.digest() == afresh(store)


def test_what_changes_in_between_is_computed_anew(monkeypatch):
    monkeypatch.setattr(limits, "DIGEST_DOCUMENTS", 3)
    store = filled(10)
    for _ in store.digests.compute():
        store.write("p01", {"n": "newer"}, source="crm")
        store.erase("p02")
        store.write("later", {"n": 1}, source="crm")
    assert store.digest() == afresh(store)
    store.commit(checkpoint=True)
    assert store.digest() == afresh(store)
    store.revive("p02")
    assert store.digest() == afresh(store)


def test_what_came_to_rest_is_forgotten():
    store = filled(10)
    store.digest()
    store.commit(checkpoint=True)
    store.write("p01", {"n": "newer"}, source="crm")
    store.digest()
    assert list(store.replication.healing.totals._known) == ["p01"]


def test_what_was_undone_counts_no_more():
    store = filled(3)
    before = store.digest()
    store.write("p01", {"n": "newer"}, source="crm")
    assert store.digest() != before
    commit = store.begin_commit()
    store.commits.abandon(commit)
    assert store.digest().digest == before.digest == afresh(store).digest
