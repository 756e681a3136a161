"""Verification beside a commit that is on the disk, but of which the store has not taken note."""

from tests.engine.stores import open_store


def test_a_commit_under_way_is_no_damage() -> None:
    store = open_store()
    store.write("ann", {"name": "Ann"}, source="crm")
    commit = store.begin_commit(checkpoint=True)
    assert commit is not None
    assert store.verify().is_sound
    commit.persist(store.storage)
    assert store.verify().is_sound
    store.finish_commit(commit)
    report = store.verify()
    assert (report.is_sound, report.profiles) == (True, 1)
