"""Texts where other parts meet them: queries, exports of persons, snapshots, and erasures."""

import gc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pycrdt
import pytest

from crdtstore.collaboration.revisions import RevisedText, Revisions
from crdtstore.engine.returning import AWAITED
from crdtstore.errors import FrameCorrupt, PersonNotFound
from crdtstore.model.operations import JoinUpdate, add, format_text, insert_items, insert_text
from crdtstore.model.texts import Text
from crdtstore.model.updates import decode_clocks
from crdtstore.model.values import pack
from crdtstore.person_errors import ReplicaReturning
from crdtstore.schema import Field, Schema
from crdtstore.settings import Settings
from crdtstore.storage.contract import Batch
from crdtstore.storage.logged_storage import LoggedStorage
from crdtstore.store import Store
from tests.engine.stores import open_store, reopened, send
from tests.storage.deflated import with_inflated

NOTES = Schema(fields={"notes": Field("text"), "tasks": Field("list")})
AT_ONCE = Settings(erasure_grace_ms=0)
SECRETS = (b"Quast", b"Heligoland")


def write(store: Store, **fields: Any) -> None:
    store.write("ann", fields, source="crm")


def test_what_queries_and_exports_of_a_person_have_of_texts() -> None:
    eu = open_store(schema=NOTES)
    write(eu, notes=insert_text(0, "Hello"), tasks=insert_items(0, "call", {"mail": 2}))
    write(eu, notes=format_text(0, 2, {"bold": True}))
    eu.write("bob", {"notes": insert_text(0, "Goodbye")}, source="crm")
    page = eu.queries.page('notes co "ell" and tasks eq "call"')
    assert [(each.id, each["notes"]) for each in page.profiles] == [("ann", "Hello")]
    assert [each.id for each in eu.queries.all(order="notes")] == ["bob", "ann"]
    (held,) = eu.persons.export("ann")["profiles"]
    tasks, notes = held["texts"]
    assert (tasks["field"], tasks["items"]) == ("tasks", ["call", {"mail": 2}])
    assert notes["delta"] == eu.texts.delta("ann", "notes")
    assert [(each["inserted"], each["source"]) for each in notes["edits"]] == [
        (5, "crm"), (0, "crm"),
    ]  # fmt: skip
    (trail,) = [cell for cell in held["held"] if cell["field"] == "notes"]
    assert (trail["kind"], trail["edits"]) == ("text", 2)


def test_documents_of_which_a_text_cannot_be_accepted_are_refused_whole() -> None:
    schema = Schema(fields={**NOTES.fields, "email": Field(indexed=True)})
    eu, us = open_store(schema=NOTES), open_store(name="us", schema=schema)
    write(eu, notes=insert_text(0, "first"))
    first = decode_clocks(eu.texts.state_vector("ann", "notes"))
    write(eu, notes=insert_text(5, " second"))
    ann = eu.documents.get("ann")
    gap = ann.texts["tnotes"].missing(first)
    abe = {"email": "abe@example.com", "identifiers": add("email:abe@example.com")}
    eu.write("abe", abe, source="crm")
    eu.commit(checkpoint=True)
    resting, begin = eu.replication.snapshot_begin()
    us.replication.snapshot_begun(resting, begin)
    (whole,) = eu.replication.snapshot_chunks("")
    entries = pack(
        (("abe", 0, eu.documents.get("abe").cells), ("ann", 0, ann.cells, {"tnotes": (gap, ())}))
    )
    before = us.digest()
    with pytest.raises(FrameCorrupt, match="a text cannot be accepted"):
        us.replication.snapshot_chunk(replace(whole, entries=entries), us.now_ms())
    for _ in range(2):
        assert us.digest() == before
        assert us.profile_count == us.queries.count('email sw "abe"').count == 0
        with pytest.raises(PersonNotFound):
            us.persons.find("email", "abe@example.com")
        us.commit(checkpoint=True)
    us.replication.snapshot_chunk(whole, us.now_ms())
    us.commit(checkpoint=True)
    assert us.texts.read("ann", "notes") == "first second"
    assert us.queries.count('email sw "abe"').count == 1
    assert us.verify().is_sound


def files_with_secrets(directory: Path) -> set[str]:
    contents = {path.name: with_inflated(path.read_bytes()) for path in directory.iterdir()}
    return {name for name, raw in contents.items() if any(secret in raw for secret in SECRETS)}


def write_texts(store: Store, times: int) -> None:
    for number in range(times):
        notes = insert_text(0, f"Quast {number}, ")
        store.write("ann", {"notes": notes, "tasks": insert_items(0, "Heligoland")}, source="crm")
        store.write("bob", {"notes": insert_text(0, f"Bob {number}, ")}, source="crm")
        store.commit(checkpoint=number % 3 == 0)


@pytest.mark.parametrize("is_damaged", [False, True])
def test_no_file_holds_the_texts_of_who_was_erased(tmp_path: Path, is_damaged: bool) -> None:
    directory = tmp_path / "eu"
    with open_store(directory, schema=NOTES, settings=AT_ONCE) as store:
        write_texts(store, 10)
        text = store.texts.read("bob", "notes")
    if is_damaged:
        storage = LoggedStorage.open(directory)
        record = bytearray(storage.document(b"ann") or b"")
        record[-1] ^= 1
        storage.commit(Batch(documents=[(b"ann", bytes(record))]))
        storage.close()
    assert files_with_secrets(directory)  # or this test would prove nothing
    with open_store(directory, schema=NOTES, settings=AT_ONCE) as store:
        erasure = store.persons.erase("ann", alone=True)
        store.commit()
        assert store.erasures.read(erasure.id).is_complete
        assert store.storage.metas("texts/ann") == {}
        assert files_with_secrets(directory) == set()
        assert store.texts.read("bob", "notes") == text
        store.revive("ann")
        store.write("ann", {"notes": insert_text(0, "anew")}, source="crm")
        assert store.texts.read("ann", "notes") == "anew"
        assert store.verify().is_sound


def test_an_erasure_leaves_nothing_of_texts_in_memory() -> None:
    store = open_store(schema=NOTES, settings=AT_ONCE)
    write_texts(store, 4)
    revisions = Revisions(store)
    for profile_id in ("ann", "bob"):
        revisions.read(profile_id, "notes")
    store.persons.erase("ann", alone=True)
    store.commit()
    revisions.forget_erased()
    assert len(revisions) == 1
    gc.collect()
    held = [text for text in gc.get_objects() if isinstance(text, Text)]
    assert any(b"Bob" in part for text in held for part in text.parts)
    assert not any(b"Quast" in part for text in held for part in text.parts)


def test_a_restored_replica_shows_no_text_before_it_has_met_a_peer() -> None:
    store = open_store(schema=NOTES)
    write_texts(store, 1)
    store.storage.commit(Batch(meta={AWAITED: b"1"}))
    again = reopened(store, schema=NOTES)
    for read in (lambda: again.texts.read("ann", "notes"), lambda: revised(again)):
        with pytest.raises(ReplicaReturning):
            read()


def revised(store: Store) -> RevisedText:
    return Revisions(store).read("ann", "notes")


def test_an_edit_of_a_text_whose_document_left_memory_in_the_same_frame_is_kept() -> None:
    """The cache is so small that the last document of a frame drives the first one out."""
    eu = open_store(schema=NOTES)
    us = open_store(name="us", schema=NOTES, settings=Settings(cache_bytes=2))
    for round_number in range(3):
        for profile_id in ("ann", "bob", "eve"):
            eu.write(profile_id, {"notes": insert_text(0, f"{round_number} ")}, source="crm")
        eu.commit()
        send(eu, us)
        us.commit(checkpoint=True)
    for profile_id in ("ann", "bob", "eve"):
        assert us.texts.read(profile_id, "notes") == "2 1 0 "
    assert reopened(us, settings=Settings(cache_bytes=2)).read("ann")["notes"] == "2 1 0 "


def test_an_edit_that_is_known_here_finds_a_text_whose_document_left_memory() -> None:
    """A Yjs client brought the same to both replicas; of one frame's edits nothing is news."""
    eu = open_store(schema=NOTES)
    us = open_store(name="us", schema=NOTES, settings=Settings(cache_bytes=2))
    guest = pycrdt.Doc(client_id=7)
    guest.get("text", type=pycrdt.Text).insert(0, "hello")
    brought = {"notes": JoinUpdate("text", bytes(guest.get_update()))}
    profile_ids = ("ann", "bob", "eve")
    for store in (us, eu):
        for profile_id in profile_ids:
            store.write(profile_id, brought, source="yjs")
        store.commit(checkpoint=True)
    send(eu, us)
    us.commit(checkpoint=True)
    assert [us.texts.read(each, "notes") for each in profile_ids] == ["hello"] * 3
