"""The state of a collaborative field: its client ids, rows, history, and what damage does."""

import subprocess
import sys

import pycrdt
import pytest

from crdtstore.errors import InvalidValue, StorageCorrupt
from crdtstore.model.edits import plan_text
from crdtstore.model.shared import NativeFault, Shared, is_panic
from crdtstore.model.text_history import Edit, newest_edits
from crdtstore.model.texts import Text, client_of
from crdtstore.model.updates import decode_update
from tests.fuzzing.update_grammar import real_updates
from tests.patience import PATIENCE_S

WHOLE = real_updates("text")[-1]


def taken(text, raw):
    text.take(raw, decode_update(raw, text.kind))


def test_client_ids_follow_from_origin_and_epoch_and_collide_with_no_stock_client():
    assert client_of(77, 0) == client_of(77, 0)
    ids = {client_of(origin, epoch) for origin in range(1, 2_000) for epoch in (0, 2, 4)}
    assert len(ids) == 3 * 1_999
    assert all(1 << 52 <= each < 1 << 53 for each in ids)


def test_a_row_brings_everything_back():
    text = Text("text")
    for raw in real_updates("text")[:-1]:
        taken(text, raw)
    text.history = (Edit(5, 7, "crm", 3, 0),)
    text.carries_all = True
    epoch, again = Text.from_row("text", text.to_row(4))
    assert (epoch, again.value, again.runs) == (4, text.value, text.runs)
    assert (again.history, again.carries_all, dict(again.clocks)) == (
        text.history, True, dict(text.clocks),
    )  # fmt: skip


def test_an_edit_that_is_not_taken_is_forgotten():
    text = Text("text")
    taken(text, WHOLE)
    before = text.value
    text.edit(plan_text(text.runs, [{"insert": "never"}], "character", "it"), 9)
    assert text.value == before
    raw = text.edit(plan_text(text.runs, [{"insert": "now "}], "character", "it"), 9)
    taken(text, raw)
    assert text.value == "now " + before


def test_a_snapshot_is_gone_back_to_across_compaction():
    text = Text("text")
    first, second, third = real_updates("text")[:3]
    taken(text, first)
    taken(text, second)
    snapshot, before = text.snapshot(), text.value
    taken(text, third)
    text.compact()
    assert len(text.parts) == 1
    text.restore(snapshot)
    assert text.value == before
    taken(text, third)
    assert text.parts[-1] == third


def test_history_is_a_join_and_bounded():
    edits = [Edit(number, 1, "crm", 1, 0) for number in range(1, 300)]
    assert newest_edits(tuple(edits)) == tuple(edits[-200:])
    early, late = tuple(edits[:150]), tuple(edits[100:])
    assert newest_edits(early + late) == newest_edits(late + early) == tuple(edits[-200:])
    assert newest_edits((Edit(1, 1, "crm", 2, 0), Edit(1, 1, "crm", 5, 0)))[0].inserted == 5


def test_what_native_code_does_not_take_is_lost_until_a_peer_brings_it():
    text = Text("text")
    good = real_updates("text")[0]
    taken(text, good)
    text.parts = [b"\x01\x01\x07\x00\x1f\x00"]
    text.drop_decoded()
    for _ in range(2):
        with pytest.raises(StorageCorrupt):
            text.value  # noqa: B018
    assert not text.is_readable
    taken(text, real_updates("text")[1])
    with pytest.raises(InvalidValue):
        text.take_whole(b"\x00", decode_update(b"\x00", "text"), ())
    text = Text.from_row("text", text.to_row(0))[1]
    assert not text.is_readable
    text.take_whole(good, decode_update(good, "text"), ())
    assert "w0" in text.parts[0].decode(errors="replace")


def test_a_panic_is_no_exception_and_becomes_a_refusal():
    shared = Shared("text", 7)
    shared.apply(bytes.fromhex("01010a01000000"))
    with pytest.raises(NativeFault, match="panic") as caught:
        shared.encode()
    assert is_panic(caught.value.__cause__)
    assert not isinstance(caught.value.__cause__, Exception)
    with pytest.raises(NativeFault, match="refused"):
        Shared("text", 7).apply(b"\x01")


PROGRAM = """
import sys
sys.modules["pycrdt"] = None  # whoever imports it fails
from crdtstore import Field, Schema, Store, insert_text
from crdtstore.model.shared import CollaborationMissing
from crdtstore.storage.memory_storage import MemoryStorage
store = Store.open(MemoryStorage(), name="eu", schema=Schema(fields={"notes": Field("text")}))
store.write("ann", {"email": "ann@example.com"}, source="crm")
store.commit(checkpoint=True)
assert dict(store.read("ann")) == {"email": "ann@example.com"}
try:
    store.write("ann", {"notes": insert_text(0, "x")}, source="crm")
except CollaborationMissing as error:
    print(error)
"""


def test_a_store_without_texts_never_imports_pycrdt():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    assert "pip install crdtstore[collaboration]" in done.stdout


def test_what_came_for_a_damaged_text_is_in_it_when_a_peer_has_healed_it():
    documents = [pycrdt.Doc(client_id=client) for client in (1, 2)]
    first, second = (_typed(document, word) for document, word in zip(documents, "ab", strict=True))
    text = Text("text")
    text.take(first, decode_update(first, "text"))
    text.lose()
    text.take(second, decode_update(second, "text"))
    assert not text.is_readable
    text.take_whole(first, decode_update(first, "text"), ())
    assert sorted(text.value) == ["a", "b"]


def _typed(document, word):
    document.get("text", type=pycrdt.Text).insert(0, word)
    return bytes(document.get_update())
