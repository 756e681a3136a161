"""Collaborative fields in stores: they replicate, rest, recover, and are erased like all others."""

import random

import pytest

from crdtstore.errors import (
    FrameCorrupt,
    InvalidOperation,
    KindConflict,
    LimitExceeded,
    ProfileErased,
    StorageCorrupt,
    StorageFull,
)
from crdtstore.model.operations import (
    delete_items,
    delete_text,
    edit_text,
    format_text,
    increment,
    insert_items,
    insert_text,
    move_item,
)
from crdtstore.model.updates import Update, decode_update, encode_update
from crdtstore.model.values import pack
from crdtstore.schema import Field, Schema
from crdtstore.sync.frame import NO_HASH, seal, space_tag
from tests.engine.stores import fail, open_store, reopened, send

SCHEMA = Schema(fields={"notes": Field("text"), "tasks": Field("list"), "visits": Field("counter")})


def store(name="eu", **options):
    return open_store(name=name, schema=SCHEMA, **options)


def write(target, **fields):
    return target.write("ann", fields, source="crm")


def exchange(*stores):
    for target in stores:
        for source in stores:
            source.commit()
            if source is not target:
                send(source, target)


def test_a_text_is_read_as_a_string_a_delta_and_part_of_the_profile():
    eu = store()
    write(eu, notes=insert_text(0, "Hello 😀 world"), email="ann@example.com")
    write(eu, notes=format_text(0, 5, {"bold": True}))
    write(eu, notes=edit_text([{"retain": 5}, {"insert": {"image": "a.png"}}]))
    assert eu.texts.read("ann", "notes") == "Hello 😀 world"
    assert eu.texts.delta("ann", "notes") == [
        {"insert": "Hello", "attributes": {"bold": True}},
        {"insert": {"image": "a.png"}},
        {"insert": " 😀 world"},
    ]
    assert eu.read("ann") == {"email": "ann@example.com", "notes": "Hello 😀 world"}


def test_positions_count_characters_or_utf_16_units():
    eu = store()
    write(eu, notes=insert_text(0, "a😀é日b"))
    write(eu, notes=insert_text(2, "|"))
    assert eu.texts.read("ann", "notes") == "a😀|é日b"
    write(eu, notes=delete_text(3, 1, unit="utf-16"))
    assert eu.texts.read("ann", "notes") == "a😀é日b"
    write(eu, notes=delete_text(1, 1))
    assert eu.texts.read("ann", "notes") == "aé日b"


@pytest.mark.parametrize(
    "operation",
    [
        insert_text(4, "x"),
        delete_text(1, 3),
        insert_text(2, "x", unit="utf-16"),
        edit_text([{"insert": ""}]),
        edit_text([{"retain": 0}]),
        edit_text([{"retain": 1, "delete": 1}]),
        edit_text(["x"]),
        insert_items(0, 1),
        increment(),
    ],
    ids=repr,
)
def test_an_edit_that_does_not_fit_changes_nothing(operation):
    eu = store()
    write(eu, notes=insert_text(0, "a😀b"))
    version = eu.read("ann").version
    with pytest.raises((InvalidOperation, KindConflict)):
        write(eu, notes=operation)
    assert eu.texts.read("ann", "notes") == "a😀b"
    assert eu.read("ann").version == version


def test_a_write_of_which_another_field_is_refused_leaves_the_text_alone():
    eu = store()
    write(eu, notes=insert_text(0, "before"))
    with pytest.raises(KindConflict):
        eu.write("ann", {"notes": insert_text(0, "never "), "visits": "many"}, source="crm")
    assert eu.texts.read("ann", "notes") == "before"
    write(eu, notes=insert_text(6, " after"))
    assert eu.texts.read("ann", "notes") == "before after"


def test_a_list_takes_insertions_deletions_and_moves():
    eu = store()
    items = [None, True, 1, 2.5, "a", b"\x00", [1], {"k": {"n": 1}}]
    write(eu, tasks=insert_items(0, *items))
    assert eu.texts.read("ann", "tasks") == items
    write(eu, tasks=move_item(0, 7))
    assert eu.texts.read("ann", "tasks") == [*items[1:], None]
    write(eu, tasks=delete_items(1, 6))
    assert eu.read("ann")["tasks"] == [True, None]
    with pytest.raises(InvalidOperation, match="not within"):
        write(eu, tasks=delete_items(1, 2))


def test_concurrent_edits_interleave_and_survive_a_restart():
    eu, us = store(), store("us")
    write(eu, notes=insert_text(0, "The account."), tasks=insert_items(0, "call"))
    exchange(eu, us)
    write(eu, notes=insert_text(4, "big "), tasks=insert_items(1, "write"))
    write(us, notes=insert_text(11, " plan"), tasks=insert_items(0, "think"))
    exchange(eu, us)
    assert eu.texts.read("ann", "notes") == us.texts.read("ann", "notes") == "The big account plan."
    assert eu.texts.read("ann", "tasks") == us.texts.read("ann", "tasks")
    assert eu.digest().digest == us.digest().digest
    again = reopened(us, schema=SCHEMA)
    assert again.texts.read("ann", "notes") == "The big account plan."
    again.commit(checkpoint=True)
    rested = reopened(again, schema=SCHEMA)
    assert rested.texts.read("ann", "notes") == "The big account plan."
    assert rested.verify().is_sound


def test_any_order_of_many_edits_gives_one_text():
    chance = random.Random(5)
    stores = [store(name) for name in ("eu", "us", "jp")]
    for _ in range(30):
        for each in stores:
            length = len(each.texts.read("ann", "notes")) if each.profile_count else 0
            if length and chance.random() < 0.3:
                write(each, notes=delete_text(chance.randrange(length), 1))
            elif length and chance.random() < 0.2:
                write(each, notes=format_text(0, length, {"bold": chance.choice([True, None])}))
            else:
                write(each, notes=insert_text(chance.randrange(length + 1), chance.choice("aé😀")))
        source, target = chance.sample(stores, 2)
        source.commit()
        send(source, target)
    exchange(*stores)
    exchange(*stores)
    assert len({each.texts.read("ann", "notes") for each in stores}) == 1
    assert len({str(each.texts.delta("ann", "notes")) for each in stores}) == 1
    assert len({each.digest().digest for each in stores}) == 1
    histories = [[edit.timestamp for edit in s.texts.history("ann", "notes")] for s in stores]
    assert histories[0] == histories[1] == histories[2]


def test_the_history_says_who_wrote_when_and_how_much():
    eu, us = store(), store("us")
    write(eu, notes=insert_text(0, "a😀"))
    us.replication.learn_names(eu.replication.names)
    exchange(eu, us)
    us.write("ann", {"notes": delete_text(0, 1)}, source="web")
    newest, oldest = us.texts.history("ann", "notes")
    assert (newest.source, newest.replica, newest.inserted, newest.deleted) == ("web", "us", 0, 1)
    assert (oldest.source, oldest.replica, oldest.inserted, oldest.deleted) == ("crm", "eu", 3, 0)
    assert [c.source for c in us.explain("ann", "notes")] == ["web", "crm"]


def test_a_failed_commit_takes_an_edit_back():
    eu = store()
    write(eu, notes=insert_text(0, "kept"))
    eu.commit(checkpoint=True)
    write(eu, notes=insert_text(4, " lost"))
    fail(eu, StorageFull("full"))
    with pytest.raises(StorageFull):
        eu.commit()
    assert eu.texts.read("ann", "notes") == "kept"
    eu.now_ms.ms += 10_000
    write(eu, notes=insert_text(4, "!"))
    eu.commit()
    assert reopened(eu, schema=SCHEMA).texts.read("ann", "notes") == "kept!"


def test_an_erasure_takes_texts_away_and_a_revival_begins_new_ones():
    eu, us = store(), store("us")
    write(eu, notes=insert_text(0, "personal"))
    exchange(eu, us)
    eu.commit(checkpoint=True)
    write(us, notes=insert_text(0, "very "))
    eu.erase("ann")
    exchange(eu, us)
    for each in (eu, us):
        each.commit(checkpoint=True)
        assert not each.storage.metas("texts/")
        with pytest.raises(ProfileErased):
            each.texts.read("ann", "notes")
    eu.revive("ann")
    write(eu, notes=insert_text(0, "new"))
    exchange(eu, us)
    assert us.texts.read("ann", "notes") == eu.texts.read("ann", "notes") == "new"
    us.commit(checkpoint=True)
    assert reopened(us, schema=SCHEMA).texts.read("ann", "notes") == "new"


def test_a_text_has_a_limit_and_may_shrink_there():
    eu = store()
    for _ in range(6):
        write(eu, notes=insert_text(0, "x" * 170_000))
    with pytest.raises(LimitExceeded, match="notes"):
        write(eu, notes=insert_text(0, "x" * 170_000))
    write(eu, notes=delete_text(0, 1_020_000))
    write(eu, notes=insert_text(0, "room again"))
    assert eu.texts.read("ann", "notes") == "room again"


def test_other_fields_do_not_touch_the_row_of_a_text():
    eu = store()
    write(eu, notes=insert_text(0, "x" * 1_000))
    eu.commit(checkpoint=True)
    row = dict(eu.storage.metas("texts/"))
    again = reopened(eu, schema=SCHEMA)
    write(again, email="ann@example.com")
    again.commit(checkpoint=True)
    assert again.documents.get("ann").texts == {}
    assert again.storage.metas("texts/") == row


def snapshot(source, target):
    """Give a store a snapshot of another one, chunk by chunk."""
    source.commit(checkpoint=True)
    resting, begin = source.replication.snapshot_begin()
    target.replication.snapshot_begun(resting, begin)
    after = ""
    while chunks := source.replication.snapshot_chunks(after):
        for chunk in chunks:
            target.replication.snapshot_chunk(chunk, target.now_ms())
            after = chunk.last_id
    target.replication.snapshot_ended()
    target.commit()


def test_a_snapshot_brings_texts_however_large():
    eu, us = store(), store("us")
    for size in (170_000, 170_000, 100_000):
        write(eu, notes=insert_text(0, "😀" * (size // 4)), tasks=insert_items(0, *range(1_000)))
    write(eu, notes=delete_text(5, 7), email="ann@example.com")
    snapshot(eu, us)
    assert us.read("ann") == eu.read("ann")
    assert us.digest().digest == eu.digest().digest
    assert us.texts.history("ann", "notes")[0].deleted == 14
    write(us, notes=insert_text(0, "us: "))
    jp = store("jp")
    send(eu, jp)
    us.commit()
    send(us, jp)
    assert jp.texts.read("ann", "notes") == us.texts.read("ann", "notes")


def test_who_writes_on_what_a_repair_brought_sends_that_along():
    """Its frame cannot name as a cause what came by no frame."""
    eu, us, jp = store(), store("us"), store("jp")
    write(eu, notes=insert_text(0, "only at eu"))
    eu.commit(checkpoint=True)
    entries = eu.replication.healing.entries_at_rest("ann")
    packed = bytes([0x90 + len(entries)]) + b"".join(entries)
    us.replication.healing.join(packed, eu.replication.healing.latest_timestamp, us.now_ms(), None)
    us.commit()
    write(us, notes=insert_text(10, " and us"))
    us.commit()
    assert send(us, jp) == 1
    assert jp.texts.read("ann", "notes") == "only at eu and us"
    assert [edit.inserted for edit in jp.texts.history("ann", "notes")] == [7]
    send(eu, jp)
    assert jp.texts.read("ann", "notes") == "only at eu and us"
    assert [edit.inserted for edit in jp.texts.history("ann", "notes")] == [7, 10]


def test_a_damaged_text_is_not_read_and_is_healed_by_a_peer():
    eu, us = store(), store("us")
    write(eu, notes=insert_text(0, "whole"), email="ann@example.com")
    exchange(eu, us)
    us.commit(checkpoint=True)
    damage(us, "texts/")
    us = reopened(us, schema=SCHEMA)
    assert us.verify().damaged == ("ann",)
    assert us.read("ann")["email"] == "ann@example.com"
    with pytest.raises(StorageCorrupt, match="heal it"):
        us.texts.read("ann", "notes")
    with pytest.raises(StorageCorrupt):
        write(us, notes=insert_text(0, "x"))
    write(eu, notes=insert_text(5, " again"))
    eu.commit(checkpoint=True)
    send(eu, us)
    us.commit(checkpoint=True)
    us = reopened(us, schema=SCHEMA)
    assert us.replication.healing.digest_at_rest("ann") == 0
    entries = eu.replication.healing.entries_at_rest("ann")
    packed = bytes([0x90 + len(entries)]) + b"".join(entries)
    us.replication.healing.join(packed, eu.replication.healing.latest_timestamp, us.now_ms(), None)
    us.commit(checkpoint=True)
    assert us.texts.read("ann", "notes") == "whole again"
    assert us.digest().digest == eu.digest().digest
    assert us.verify().is_sound


def damage(target, prefix):
    for name in list(target.storage._tables.meta):
        if name.startswith(prefix):
            record = bytearray(target.storage._tables.meta[name])
            record[-1] ^= 1
            target.storage._tables.meta[name] = bytes(record)


def test_edits_of_a_peer_that_do_not_fit_are_refused_whole():
    eu, us = store(), store("us")
    write(eu, notes=insert_text(0, "first"))
    write(eu, notes=insert_text(5, " second"))
    parts = list(eu.documents.get("ann").texts["tnotes"].parts)
    write(us, notes=insert_text(0, "ours"))
    us.commit()
    own = us.documents.get("ann").texts["tnotes"].parts[0]
    ((client, (block,)),) = decode_update(own, "text").blocks.items()
    longer = block._replace(length=5, content="ours!")
    forged = encode_update(Update({client: [longer]}, {}), "text")
    for update, reason in (
        (parts[1], "gap"),
        (b"\x00\x01\x07\x01\x00\x01", "nobody has written"),
        (parts[0] + b"\x00", "trailing"),
        (forged, "this replica"),
    ):
        before = us.digest()
        with pytest.raises(FrameCorrupt, match=reason):
            us.replication.receive_frames([frame_with(update)], us.now_ms())
        assert us.digest() == before
    assert us.replication.receive_frames([frame_with(parts[0])], us.now_ms()) == 1
    assert sorted(us.texts.read("ann", "notes")) == sorted("ours" + "first")


def frame_with(update, origin=77):
    """Return the first frame of an origin, with one edit of a text, after another field's."""
    timestamp = 1_700_000_000_000 << 16
    cells = {
        "rname\x1fcrm": (timestamp, origin, "Ann"),
        f"tnotes\x1fcrm\x1f{origin:016x}": (timestamp, origin, 1, update),
    }
    return seal(
        origin=origin,
        previous=(0, NO_HASH),
        timestamp=timestamp,
        dependencies={},
        entries=[pack(("ann", 0, cells))],
        tag=space_tag("default"),
    ).raw


def test_a_row_that_was_damaged_under_a_text_in_memory_is_written_anew():
    eu, us = store(), store("us")
    write(eu, notes=insert_text(0, "whole"))
    exchange(eu, us)
    us.commit(checkpoint=True)
    eu.commit(checkpoint=True)
    assert us.texts.read("ann", "notes") == "whole"
    damage(us, "texts/")
    assert us.verify().damaged == ("ann",)
    entries = eu.replication.healing.entries_at_rest("ann")
    packed = bytes([0x90 + len(entries)]) + b"".join(entries)
    us.replication.healing.join(packed, eu.replication.healing.latest_timestamp, us.now_ms(), None)
    us.commit()
    assert us.verify().is_sound
    assert reopened(us, schema=SCHEMA).texts.read("ann", "notes") == "whole"


def test_an_item_that_two_move_at_once_is_there_twice_and_alike_everywhere():
    """A list of Yjs has no moves, and its items no identity: see decision 49."""
    eu, us = store(), store("us")
    write(eu, tasks=insert_items(0, "a", "b", "c"))
    eu.commit()
    send(eu, us)
    for each, to in ((eu, 2), (us, 1)):
        write(each, tasks=move_item(0, to))
        each.commit()
    send(eu, us)
    send(us, eu)
    items = eu.texts.read("ann", "tasks")
    assert items == us.texts.read("ann", "tasks")
    assert sorted(items) == ["a", "a", "b", "c"]
