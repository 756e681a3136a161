"""Notes: seen at once, durable with the writes of their commit, undone with them."""

from pathlib import Path

import pytest

from crdtstore import limits
from crdtstore.errors import InvalidInput, InvalidName, LimitExceeded, StorageFull
from crdtstore.store import Store
from tests.engine.stores import fail, open_store, reopened


def test_a_note_is_seen_at_once_and_durable_with_its_commit() -> None:
    store = open_store()
    notes = store.cursors.notes
    store.write("ann", {"x": 1}, source="crm")
    notes.change({"a/1": b"one", "b/1": b"two"})
    assert notes.get("a/1") == b"one"
    assert reopened(store).cursors.notes.get("a/1") is None
    store.commit()
    notes.change({"a/2": b"three", "b/1": None})
    assert notes.starting_with("a/") == {"a/1": b"one", "a/2": b"three"}
    assert notes.get("b/1") is None
    store.commit()
    again = reopened(store)
    assert again.cursors.notes.starting_with("") == {"a/1": b"one", "a/2": b"three"}
    assert again.read("ann")["x"] == 1


def test_a_note_that_changes_while_its_commit_is_under_way_keeps_the_newer_value() -> None:
    store = open_store()
    notes = store.cursors.notes
    notes.change({"n": b"old"})
    commit = store.begin_commit()
    assert commit is not None
    notes.change({"n": b"new"})
    commit.persist(store.storage)
    store.finish_commit(commit)
    assert notes.get("n") == b"new"
    store.commit()
    assert reopened(store).cursors.notes.get("n") == b"new"


def test_notes_are_undone_with_the_commit_that_fails() -> None:
    store = open_store()
    notes = store.cursors.notes
    notes.change({"n": b"kept"})
    store.commit()
    store.write("ann", {"x": 1}, source="crm")
    notes.change({"n": b"lost", "m": b"lost"})
    fail(store, StorageFull("no room"))
    with pytest.raises(StorageFull):
        store.commit()
    assert (notes.get("n"), notes.get("m")) == (b"kept", None)


def test_notes_outlive_the_process(tmp_path: Path) -> None:
    with Store.open(tmp_path / "eu", name="eu") as store:
        store.cursors.notes.change({f"n{number:03}": b"x" * 300 for number in range(400)})
    with Store.open(tmp_path / "eu", name="eu") as store:
        assert len(store.cursors.notes.starting_with("n")) == 400


@pytest.mark.parametrize("value", ["text", b"x" * (limits.NOTE_BYTES_MAX + 1)])
def test_what_is_no_note_changes_nothing(value: bytes) -> None:
    notes = open_store().cursors.notes
    with pytest.raises(LimitExceeded if len(value) > 9 else InvalidInput):
        notes.change({"good": b"1", "bad": value})
    with pytest.raises(InvalidName):
        notes.change({"good": b"1", "n" * 401: b""})
    assert notes.starting_with("") == {}
