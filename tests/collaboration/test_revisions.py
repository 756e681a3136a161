"""Rich texts edited by deltas against a revision: TP1 through the store, and its bounds."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crdtstore import limits
from crdtstore.collaboration.revisions import Revisions, RevisionUnknown
from crdtstore.errors import (
    InvalidName,
    InvalidOperation,
    KindConflict,
    ProfileErased,
    ProfileNotFound,
    StorageFull,
)
from crdtstore.model.delta import Delta, compose
from crdtstore.model.delta_forms import delta_of
from crdtstore.model.operations import edit_text
from crdtstore.model.shared import NativeFault, Shared
from crdtstore.schema import Field, Schema
from crdtstore.store import Store
from tests.engine.stores import fail, open_store, reopened, send
from tests.model.deltas import changes, documents, units_of

SCHEMA = Schema(fields={"note": Field("text"), "tasks": Field("list")})


def new_store(name: str = "eu") -> Store:
    store: Store = open_store(name=name, schema=SCHEMA)
    return store


class Editor:
    """A client without a CRDT: its text, the revision of it, and what it has not sent yet."""

    def __init__(self, revisions: Revisions, source: str) -> None:
        self.revisions = revisions
        self.source = source
        self.document: Delta = ()
        self.revision = ""

    @property
    def units(self) -> int:
        return sum(part.units for part in self.document)

    def edit(self, operations: list[Any]) -> None:
        """Change the text here, and tell the store; then do what the answer says."""
        answer = self.revisions.edit(
            "ann", "note", operations, revision=self.revision, source=self.source
        )
        self.document = compose(self.document, delta_of(operations))
        self.document = compose(self.document, delta_of(answer.meanwhile))
        self.revision = answer.revision


def present(revisions: Revisions) -> Delta:
    return delta_of(revisions.read("ann", "note").delta)


def exchange(*stores: Store) -> None:
    for source in stores:
        source.commit()
        for target in stores:
            if source is not target:
                send(source, target)


@settings(max_examples=30)
@given(st.data())
def test_tp1_through_the_store(data: st.DataObject) -> None:
    """Whoever edits whenever, at either replica: each has what the store has at its revision."""
    stores = new_store("eu"), new_store("us")
    doors = [Revisions(store) for store in stores]
    editors = [Editor(doors[0], "one"), Editor(doors[0], "two"), Editor(doors[1], "far")]
    editors[0].edit(data.draw(documents().filter(bool)))
    exchange(*stores)
    for _ in range(data.draw(st.integers(1, 6))):
        editor = data.draw(st.sampled_from(editors))
        match data.draw(st.sampled_from(["edit", "edit", "program", "exchange"])):
            case "edit":
                with suppress(InvalidOperation):  # half of an emoji is no edit
                    editor.edit(data.draw(changes(editor.units)))
                editor.edit([])
                assert editor.document == present(editor.revisions)
                assert editor.revision == editor.revisions.read("ann", "note").revision
            case "program":
                store = data.draw(st.sampled_from(stores))
                given_ = data.draw(changes(units_of(store.texts.delta("ann", "note"))))
                edit = edit_text(given_, unit="utf-16")
                with suppress(InvalidOperation):
                    store.write("ann", {"note": edit}, source="crm")
            case "exchange":
                exchange(*stores)
    exchange(*stores)
    exchange(*stores)
    for editor in editors:
        editor.edit([])
    assert editors[0].document == editors[1].document == editors[2].document
    assert len({editor.revision for editor in editors}) == 1, "equal states, equal revisions"
    assert [door.native_faults for door in doors] == [0, 0]


def test_a_late_edit_is_brought_up_to_date() -> None:
    revisions = Revisions(new_store())
    one, two = Editor(revisions, "one"), Editor(revisions, "two")
    one.edit([{"insert": "brown fox"}])
    two.edit([])
    one.edit([{"insert": "The "}])
    answer = revisions.edit(
        "ann", "note", [{"retain": 5}, {"insert": " quick"}], revision=two.revision, source="two"
    )
    assert answer.meanwhile == [{"insert": "The "}]
    assert revisions.read("ann", "note").delta == [{"insert": "The brown quick fox"}]


def test_what_the_store_had_first_stands_first() -> None:
    revisions = Revisions(new_store())
    one = Editor(revisions, "one")
    one.edit([{"insert": "()"}])
    base = one.revision
    one.edit([{"retain": 1}, {"insert": "a", "attributes": {"bold": True}}])
    two = [{"retain": 1}, {"insert": "b"}, {"retain": 1, "attributes": {"bold": False}}]
    answer = revisions.edit("ann", "note", two, revision=base, source="two")
    assert answer.meanwhile == [{"retain": 1}, {"insert": "a", "attributes": {"bold": True}}]
    assert [op["insert"] for op in revisions.read("ann", "note").delta] == ["(", "a", "b", ")"]


def test_an_old_revision_is_answered_by_the_whole_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REVISIONS_MAX", 3)
    revisions = Revisions(new_store())
    one, late = Editor(revisions, "one"), Editor(revisions, "late")
    one.edit([{"insert": "a"}])
    late.edit([])
    for _ in range(3):
        one.edit([{"insert": "b"}])
    late.edit([])
    for _ in range(4):
        one.edit([{"insert": "c"}])
    for revision in (late.revision, "something"):
        with pytest.raises(RevisionUnknown, match="is not known") as caught:
            revisions.edit("ann", "note", [{"delete": 1}], revision=revision, source="late")
        assert caught.value.text == revisions.read("ann", "note")
    assert revisions.read("ann", "note").delta == [{"insert": "ccccbbba"}]


def test_an_edit_with_an_id_is_made_once_and_answered_alike() -> None:
    revisions = Revisions(new_store())
    base = revisions.edit("ann", "note", [{"insert": "text"}], revision="", source="one").revision
    revisions.edit("ann", "note", [{"insert": "My "}], revision=base, source="two")
    delta = [{"retain": 4}, {"insert": "!"}]
    answers = [
        revisions.edit("ann", "note", delta, revision=base, source="one", edit_id="7")
        for _ in range(3)
    ]
    assert answers[0] == answers[1] == answers[2]
    assert answers[0].meanwhile == [{"insert": "My "}]
    other = revisions.edit("ann", "note", delta, revision=base, source="two", edit_id="7")
    assert other != answers[0]
    assert revisions.read("ann", "note").delta == [{"insert": "My text!!"}]
    with pytest.raises(InvalidName):
        revisions.edit("ann", "note", delta, revision=base, source="one", edit_id="x" * 65)


def test_an_edit_with_an_id_is_made_once_over_restarts_and_failed_commits() -> None:
    store = new_store()
    revisions = Revisions(store)
    base = revisions.edit("ann", "note", [{"insert": "text"}], revision="", source="one").revision
    store.commit()
    words: dict[str, Any] = {"revision": base, "source": "one", "edit_id": "7"}
    delta = [{"insert": "a "}]
    revisions.edit("ann", "note", delta, **words)
    fail(store, StorageFull("no room"))
    with pytest.raises(StorageFull):
        store.commit()
    store = reopened(store, schema=SCHEMA)
    Revisions(store).edit("ann", "note", delta, **words)
    store.commit()
    after = Revisions(reopened(store, schema=SCHEMA))
    with pytest.raises(RevisionUnknown, match="has this edit already") as caught:
        after.edit("ann", "note", delta, **words)
    assert caught.value.is_kept
    assert caught.value.text.delta == [{"insert": "a text"}] == after.read("ann", "note").delta


def test_of_edits_with_an_id_the_newest_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "NAMED_EDITS_MAX", 3)
    monkeypatch.setattr(limits, "NAMED_ANSWERS_MAX", 2)
    store = new_store()
    revisions = Revisions(store)
    for number in range(5):
        words: dict[str, Any] = {"source": "one", "edit_id": str(number)}
        revisions.edit("ann", "note", [{"insert": str(number)}], revision="", **words)
    store.commit()
    assert len(store.cursors.notes.starting_with("crdtstore/edits/")) == 3
    for edit_id in ("4", "3"):
        revisions.edit("ann", "note", [], revision="", source="one", edit_id=edit_id)
    with pytest.raises(RevisionUnknown):
        revisions.edit("ann", "note", [], revision="", source="one", edit_id="2")
    assert revisions.read("ann", "note").delta == [{"insert": "01234"}]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    revisions = Revisions(new_store())
    answers = {}
    for number in range(5):
        answers[number] = revisions.edit(
            f"p{number}", "note", [{"insert": "x" * 1000}], revision="", source="one"
        )
    assert len(revisions) == 5
    monkeypatch.setattr(limits, "FOLLOWED_TEXTS_BYTES", 40_000)
    revisions.read("p4", "note")
    assert len(revisions) < 5
    kept = revisions.edit(
        "p0", "note", [{"insert": "y"}], revision=answers[0].revision, source="one"
    )
    assert kept.meanwhile == [], "the present revision is known however long it was not asked for"


def test_a_revision_stays_good_when_the_store_is_opened_anew() -> None:
    store = new_store()
    one = Editor(Revisions(store), "one")
    one.edit([{"insert": "a"}])
    store.commit()
    store = reopened(store, schema=SCHEMA)
    one.revisions = Revisions(store)
    one.edit([{"retain": 1}, {"insert": "b"}])
    assert one.document == delta_of([{"insert": "ab"}]) == present(one.revisions)


def test_an_erased_text_begins_anew() -> None:
    store = new_store()
    revisions = Revisions(store)
    one = Editor(revisions, "one")
    one.edit([{"insert": "secret"}])
    store.erase("ann")
    with pytest.raises(ProfileErased):
        one.edit([{"insert": "x"}])
    store.revive("ann")
    with pytest.raises(RevisionUnknown) as caught:
        one.edit([{"insert": "x"}])
    assert caught.value.text.delta == []
    anew = Editor(revisions, "one")
    anew.edit([{"insert": "open"}])
    assert present(revisions) == delta_of([{"insert": "open"}])


def test_what_does_not_fit_is_refused_with_nothing_changed() -> None:
    store = new_store()
    revisions = Revisions(store)
    with pytest.raises(ProfileNotFound):
        revisions.read("ann", "note")
    one = Editor(revisions, "one")
    one.edit([{"insert": "a😀"}])
    before = store.digest()
    for operations in (
        [{"retain": 9}, {"insert": "x"}],
        [{"delete": 4}],
        [{"retain": 2}, {"insert": "x"}],
    ):
        with pytest.raises(InvalidOperation):
            one.edit(operations)
    with pytest.raises(KindConflict):
        revisions.edit("ann", "tasks", [], revision="", source="one")
    assert store.digest() == before


def test_a_commit_that_failed_takes_its_revision_along() -> None:
    store = new_store()
    revisions = Revisions(store)
    one = Editor(revisions, "one")
    one.edit([{"insert": "kept"}])
    store.commit()
    kept = revisions.read("ann", "note")
    lost = revisions.edit("ann", "note", [{"delete": 4}], revision=kept.revision, source="one")
    fail(store, StorageFull("full"))
    with pytest.raises(StorageFull):
        store.commit()
    assert revisions.read("ann", "note") == kept
    with pytest.raises(RevisionUnknown):
        revisions.edit("ann", "note", [{"insert": "x"}], revision=lost.revision, source="one")


@pytest.mark.parametrize("told", [[], [{"retain": 10**6}], [{"retain": 2}, {"insert": "?"}]])
def test_an_account_of_a_change_that_is_none_is_not_believed(
    monkeypatch: pytest.MonkeyPatch, told: list[dict[str, Any]]
) -> None:
    """Should native code tell of another change than it made, the text counts as replaced."""
    revisions = Revisions(new_store())
    one, two = Editor(revisions, "one"), Editor(revisions, "two")
    one.edit([{"insert": "é text"}])
    two.edit([])
    whole = Shared.apply_told

    def apply_told(shared: Shared, update: bytes) -> list[dict[str, Any]]:
        whole(shared, update)
        return told

    monkeypatch.setattr(Shared, "apply_told", apply_told)
    one.edit([{"retain": 1}, {"insert": "!"}])
    assert revisions.native_faults == 1
    assert one.document == present(revisions)
    two.edit([{"retain": 6}, {"insert": "?"}])
    assert two.document == present(revisions)
    assert "!" in str(two.document)
    assert "?" in str(two.document)


def test_a_native_fault_costs_the_copy_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    revisions = Revisions(new_store())
    one = Editor(revisions, "one")
    one.edit([{"insert": "text"}])
    whole = Shared.apply_told

    def fails(shared: Shared, update: bytes) -> list[dict[str, Any]]:
        raise NativeFault("panicked")

    monkeypatch.setattr(Shared, "apply_told", fails)
    with pytest.raises(NativeFault):
        one.edit([{"insert": "more "}])
    monkeypatch.setattr(Shared, "apply_told", whole)
    assert present(revisions) == delta_of([{"insert": "more text"}])
