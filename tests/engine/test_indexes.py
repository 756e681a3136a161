"""Indexes stand for the documents to the key, and queries answer as if there were none."""

import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from crdtstore import Field, Group, Schema, add, grant, increment, remove, revoke
from crdtstore.backups import restore_backup, write_store_backup
from crdtstore.engine.indexes import INDEXES_NOTE
from crdtstore.engine.snapshots import read_chunks
from crdtstore.errors import Refused, StorageCorrupt, StorageFull
from crdtstore.model.document import from_record
from crdtstore.query import bounds
from crdtstore.query.reading import INDEX_TAG, IndexedReader
from crdtstore.schema import custom, maximum, minimum, oldest, source_priority
from crdtstore.storage.contract import Batch
from crdtstore.storage.logged_storage import LoggedStorage
from crdtstore.storage.memory_storage import MemoryStorage
from crdtstore.store import Store
from tests.engine.stores import fail, open_store, reopened, send
from tests.query.oracle import everything, wanted

FIELDS = {
    "age": Field(indexed=True, policy=source_priority("crm")),
    "name": Field(indexed=True, policy=maximum()),
    "tags": Field("set", indexed=True),
    "visits": Field("counter", indexed=True),
    "news": Field("consent", indexed=True),
    "city": Field(indexed=True),
    "other": Field(),
}
GROUPS = {"address": Group(("city", "street"))}
SCHEMA = Schema(fields=FIELDS, groups=GROUPS)
PLAIN = Schema(
    fields={name: Field(field.kind, field.policy) for name, field in FIELDS.items()}, groups=GROUPS
)
IDS = [f"p{number:02}" for number in range(14)]
ALL = 10**6
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
VALUES = [
    1, 1.0, 2, 2.5, -7, 2**53, 2.0**53, True, False, "a", "ab", "abc", "b", "", "ab\x00c",
    "x" * 240, "x" * 240 + "y", None, b"ab", NOON, "2026-11-20T12:00:00Z", ["a", 2, NOON],
    [40, "ab"], {"a": 1},
]  # fmt: skip
FILTERS = [
    "", "age eq 1", "age ge 2", "age gt 1 and age lt 3", "age eq true", "age pr", "not (age pr)",
    "age ne 1", 'name sw "ab"', 'name eq "ab"', 'name gt "a" and name le "b"',
    f'name eq "{"x" * 240}"', f'name gt "{"x" * 240}"', f'name sw "{"x" * 238}"',
    'age gt "2026-11-20T11:00:00+00:00"', 'age eq "2026-11-20T12:00:00Z"',
    'tags eq "vip"', 'tags gt "a" and tags lt "m"', 'tags eq "vip" and age eq 1',
    "visits gt 1", "visits ge 1 and visits le 2 and news eq false", "news eq true",
    'city eq "Lyon" and street pr', 'city eq "Lyon" or tags eq "new"', 'name co "b"', 'name ew "c"',
    'other eq "a"', 'other eq "a" and age ge 1', 'not (tags eq "vip") and age pr',
    'name eq "ab" or other eq "b"', "age gt 1 or age lt 0", "age pr and age gt 1", "age eq null",
    "age pr and age pr", 'age sw "2026"', "age le 9007199254740992",
]  # fmt: skip
ORDERS = ["", "age", "-age", "name", "-visits", "tags", "-other", "street", "-news", "-city"]


def keys_at_rest(store: Store) -> set[bytes]:
    """Return the index keys that the documents at rest ask for."""
    declared = [name for name, field in store.schema.fields.items() if field.indexed]
    reader = IndexedReader(store.schema, declared)
    records = store.storage.documents(b"", limit=ALL, bytes_max=10**12)
    documents = [(key.decode(), from_record(key.decode(), record)) for key, record in records]
    return {
        each for name, found in documents for each in reader.keys(name, found.epoch, found.cells)
    }


def check_keys(store: Store) -> None:
    """Check the indexes at rest to the key."""
    assert set(store.storage.index(INDEX_TAG, b"", limit=ALL)) == keys_at_rest(store)


def answered(store: Store, where: str, order: str, limit: int) -> list[str]:
    """Return the ids of all pages of a query."""
    after: str | None = ""
    ids: list[str] = []
    while after is not None:
        page = store.queries.page(where, order=order, after=after, limit=limit)
        ids += [profile.id for profile in page.profiles]
        after = page.next
    return ids


def check_queries(store: Store, draw: random.Random, number: int = 4) -> None:
    """Check some queries against the plain way."""
    for _ in range(number):
        where, order, limit = draw.choice(FILTERS), draw.choice(ORDERS), draw.choice([1, 3, 100])
        asked = (where, order, limit)
        assert answered(store, where, order, limit) == wanted(store, where, order), asked
        assert store.queries.count(where).count == len(wanted(store, where)), asked


def act(store: Store, draw: random.Random) -> None:
    """Do one thing, anything, to a store."""
    profile_id, source = draw.choice(IDS), draw.choice(["crm", "cdp"])
    match draw.randrange(12):
        case 0 | 1 | 2:
            fields = {draw.choice(["age", "name", "other"]): draw.choice(VALUES) for _ in range(2)}
            store.write(profile_id, fields, source=source)
        case 3 | 4:
            edit = draw.choice([add, remove])
            tags = edit(draw.choice(["vip", "new", 3]), draw.choice(["a", "z"]))
            store.write(profile_id, {"tags": tags}, source=source)
        case 5:
            news = draw.choice([grant(), revoke()])
            store.write(profile_id, {"visits": increment(1), "news": news}, source=source)
        case 6:
            city = draw.choice(["Lyon", "Paris", None])
            store.write(
                profile_id, {"city": city, "street": draw.choice(["x", None])}, source=source
            )
        case 7:
            store.erase(profile_id)
        case 8:
            store.revive(profile_id)
        case 9:
            pinned = draw.choice([4, None])
            store.persons.pin(profile_id, "age", pinned)
        case 10:
            store.commit()
        case 11:
            store.commit(checkpoint=True)


@pytest.mark.parametrize("seed", range(20))
def test_queries_answer_as_the_plain_way_whatever_happens(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(seed)
    if seed % 2:
        for name, few in (("SLICE_KEYS", 3), ("SLICE_PROFILES", 2), ("COLLECTED_KEYS_MAX", 4)):
            monkeypatch.setattr(bounds, name, few)
        monkeypatch.setattr(bounds, "PAGE_LOOKS_MAX", draw.choice([2, 5, 100]))
    eu, us = open_store(name="eu", schema=SCHEMA), open_store(name="us", schema=SCHEMA)
    for _ in range(70):
        store = draw.choice([eu, us])
        try:
            act(store, draw)
        except Refused:
            continue
        if draw.random() < 0.1:
            send(eu, us)
        if draw.random() < 0.1:
            eu.write("other", {"age": draw.random()}, source="crm")
            check_queries(eu, draw, 1)
            fail(eu, StorageFull("the disk is full"))
            with pytest.raises(StorageFull):
                eu.commit(checkpoint=True)
            eu.now_ms.ms += 2_000  # type: ignore[attr-defined]
        if draw.random() < 0.1:
            eu = reopened(eu, schema=SCHEMA)
        check_queries(store if store is us else eu, draw, 2)
    for store in (eu, us):
        store.commit()
        check_keys(store)
        assert store.verify().is_sound
    send(eu, us)
    send(us, eu)
    assert eu.digest().digest == us.digest().digest
    plain = reopened(us, schema=PLAIN)
    for where in FILTERS:
        order, limit = draw.choice(ORDERS), draw.choice([2, 100])
        pages = [answered(each, where, order, limit) for each in (eu, us, plain)]
        assert pages[0] == pages[1] == pages[2] == wanted(eu, where, order)
    assert not plain.storage.index(INDEX_TAG, b"", limit=1), "what is not declared is taken away"
    assert reopened(eu, schema=SCHEMA).verify().is_sound


def filled(where: Any = None, schema: Schema = SCHEMA, name: str = "eu") -> Store:
    store = open_store(where, schema=schema, name=name)
    for number, profile_id in enumerate(IDS):
        fields = {"age": number % 5, "name": f"N{number}", "tags": add("vip", f"t{number % 3}")}
        store.write(profile_id, fields, source="crm")
        store.write(profile_id, {"age": 90 - number}, source="cdp")
    store.commit(checkpoint=True)
    return store


def test_every_way_is_taken_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled()
    page = store.queries.page('tags eq "t1"', limit=2)
    assert (page.plan.way, page.plan.indexes) == ("index", ("tags",))
    assert store.queries.page("age ge 0 and age lt 9", order="-age").plan.way == "index"
    assert store.queries.page('street eq "x"').plan.way == "scan"
    assert store.queries.page("", order="age").plan.way == "order"
    assert store.queries.page("", order="street").plan.way == "scan"
    assert store.queries.count().plan.way == "totals"
    counted = store.queries.count("age ge 0")
    assert (counted.count, counted.plan.profiles_read) == (len(IDS), 0)
    monkeypatch.setattr(bounds, "COLLECTED_KEYS_MAX", 3)
    streamed = store.queries.page('tags eq "vip"', limit=2)
    assert (streamed.plan.way, streamed.plan.profiles_read) == ("index", 2)
    assert store.queries.page("age ge 1", limit=2).plan.way == "scan"
    walked = store.queries.page("age ge 3", order="age", limit=2)
    assert (walked.plan.way, walked.plan.profiles_read) == ("order", 2)


def test_what_is_too_much_without_an_index_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled()
    monkeypatch.setattr(bounds, "SORTED_PROFILES_MAX", 3)
    monkeypatch.setattr(bounds, "COUNTED_PROFILES_MAX", 3)
    with pytest.raises(Refused, match="have the field indexed"):
        store.queries.page(order="street")
    with pytest.raises(Refused, match="indexed"):
        store.queries.count('other eq "a"')
    assert store.queries.count("age eq 1").count == 3


def test_a_page_may_end_early_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "PAGE_LOOKS_MAX", 4)
    monkeypatch.setattr(bounds, "SLICE_PROFILES", 2)
    store = filled()
    page = store.queries.page('other eq "none"')
    assert page.profiles == ()
    assert page.next == IDS[page.plan.profiles_read - 1]
    assert answered(store, 'other eq "none"', "", 5) == []


@pytest.mark.parametrize("order", ["age", "-age", "street", ""])
def test_pages_are_stable_while_others_write(order: str) -> None:
    """What stays where it is comes once; what moves comes at most twice, and never breaks it."""
    store = filled()
    draw = random.Random(order)
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        page = store.queries.page("age pr", order=order, after=after, limit=2)
        seen += [profile.id for profile in page.profiles]
        after = page.next
        store.write(draw.choice(IDS[:4]), {"age": draw.choice([0, 9])}, source="crm")
        store.write(f"new{len(seen)}", {"age": 3}, source="crm")
        store.erase(IDS[5])
        if draw.random() < 0.5:
            store.commit(checkpoint=True)
    still = set(IDS[4:]) - {IDS[5]}
    assert still <= set(seen)
    assert all(seen.count(each) == 1 for each in still)


def test_a_cursor_belongs_to_its_query() -> None:
    store = filled()
    page = store.queries.page(order="age", limit=1)
    assert page.next is not None
    for where, order, after in (
        ("", "-age", page.next), ("age pr", "age", page.next), ("", "age", "AAAA"),
        ("", "age", "é"), ("", "age", "x" * 5_000), ("", "age", page.next[:8]),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="no cursor"):
            store.queries.page(where, order=order, after=after)


def test_an_erased_profile_leaves_no_key_in_the_transaction_that_erases_it() -> None:
    store = filled()
    for profile_id in IDS:
        store.erase(profile_id)
    store.commit(checkpoint=True)
    assert store.storage.index(INDEX_TAG, b"", limit=ALL) == []
    assert store.queries.page().profiles == ()


# --- built anew ----------------------------------------------------------------------------------


def newest_name(candidates: Any) -> Any:
    """Choose the candidate of the source whose name is last."""
    return max(candidates, key=lambda candidate: candidate.source)


def with_age(field: Field) -> Schema:
    return Schema(fields={**FIELDS, "age": field}, groups=GROUPS)


@pytest.mark.parametrize(
    "schema",
    [
        with_age(Field(indexed=True, policy=oldest())),
        with_age(Field(indexed=True, policy=minimum())),
        with_age(Field(indexed=True, policy=custom("last", newest_name))),
        with_age(Field(indexed=True, policy=custom("last", newest_name, version=2))),
        with_age(Field(policy=source_priority("crm"))),
        Schema(
            fields={"age": Field(indexed=True), "street": Field(indexed=True)},
            groups={"address": Group(("city", "street", "age"), oldest())},
        ),
        Schema(),
    ],
)  # fmt: skip
def test_another_schema_has_its_indexes_when_it_is_opened(schema: Schema, tmp_path: Path) -> None:
    filled(LoggedStorage.open(tmp_path / "data")).close()
    for each in (schema, SCHEMA):
        with open_store(LoggedStorage.open(tmp_path / "data"), schema=each) as store:
            check_keys(store)
            assert store.verify().is_sound
            for where in ("age eq 3", "age gt 80", 'name eq "N3"'):
                assert answered(store, where, "", 9) == wanted(store, where)


def test_only_what_changed_is_built(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "crdtstore.index")
    store = filled()
    caplog.clear()
    again = reopened(store, schema=SCHEMA)
    assert "building" not in caplog.text
    other = reopened(again, schema=with_age(Field(indexed=True)))
    assert "building the index of age\n" in caplog.text
    assert "is built: 14 documents read" in caplog.text
    check_keys(other)


def test_a_policy_that_fails_stops_no_commit() -> None:
    def broken(candidates: Any) -> Any:
        return 1 / 0

    schema = with_age(Field(indexed=True, policy=custom("broken", broken)))
    store = filled(schema=schema)
    check_keys(store)
    assert store.queries.count('tags eq "t1"').count == 5
    for ask in (store.read, lambda _: store.queries.page('tags eq "t1"')):
        with pytest.raises(ZeroDivisionError):
            ask(IDS[0])


def test_what_an_older_crdtstore_wrote_is_found_out() -> None:
    """It changes documents and totals, and knows nothing of these indexes and their note."""
    storage = filled().storage
    assert isinstance(storage, MemoryStorage)
    note, keys = storage.meta(INDEXES_NOTE), storage.index(INDEX_TAG, b"", limit=ALL)
    store = open_store(storage.reopen(), schema=SCHEMA)
    store.write("q", {"age": 77}, source="crm")
    store.commit(checkpoint=True)
    now = store.storage.index(INDEX_TAG, b"", limit=ALL)
    changes = [(key, False) for key in now] + [(key, True) for key in keys]
    store.storage.commit(Batch(index=changes, meta={INDEXES_NOTE: note}))
    again = reopened(store, schema=SCHEMA)
    assert answered(again, "age eq 77", "", 9) == ["q"]
    check_keys(again)


def test_a_crash_while_it_is_built_is_found_out() -> None:
    store = filled(schema=PLAIN)
    storage = store.storage
    assert isinstance(storage, MemoryStorage)
    half = next(iter(keys_at_rest(reopened(store, schema=SCHEMA))))
    storage.commit(Batch(index=[(half, True), (b"q" + bytes(9) + b"x", True)]))
    again = open_store(storage.reopen(), schema=SCHEMA)
    check_keys(again)


def test_a_full_disk_leaves_the_index_for_another_start() -> None:
    storage = filled(schema=PLAIN).storage
    assert isinstance(storage, MemoryStorage)
    storage = storage.reopen()
    storage.fail_next_commit(StorageFull("the disk is full"))
    store = open_store(storage, schema=SCHEMA)
    page = store.queries.page("age eq 3")
    assert page.plan.way == "scan"
    assert [each.id for each in page.profiles] == wanted(store, "age eq 3")
    store.write("q", {"age": 3}, source="crm")
    store.commit(checkpoint=True)
    again = reopened(store, schema=SCHEMA)
    assert again.queries.page("age eq 3").plan.way == "index"
    check_keys(again)


@pytest.mark.parametrize("is_there", [True, False])
def test_verify_finds_a_key_too_many_or_too_few_and_a_start_mends_it(is_there: bool) -> None:
    store = filled()
    key = next(iter(keys_at_rest(store)))
    key = key[:-3] + b"nobody" if is_there else key
    store.storage.commit(Batch(index=[(key, is_there)]))
    report = store.verify()
    assert report.index_faults == 1
    assert not report.is_sound
    store.commit()
    again = reopened(store, schema=SCHEMA)
    assert again.verify().is_sound
    check_keys(again)


def test_a_backup_brings_its_indexes_along(tmp_path: Path, caplog: Any) -> None:
    store = filled(LoggedStorage.open(tmp_path / "data"))
    write_store_backup(store, tmp_path / "eu.backup")
    store.close()
    restore_backup(tmp_path / "eu.backup", tmp_path / "restored")
    caplog.set_level("INFO", "crdtstore.index")
    with open_store(LoggedStorage.open(tmp_path / "restored"), schema=SCHEMA) as restored:
        check_keys(restored)
        assert answered(restored, "age eq 3", "", 9) == wanted(restored, "age eq 3")
    assert "building" not in caplog.text


def test_a_snapshot_is_indexed_as_it_comes() -> None:
    source, target = filled(), open_store(name="us", schema=SCHEMA)
    chunks, _ = read_chunks(source.storage, "", source.replication.healing.latest_timestamp)
    for chunk in chunks:
        target.replication.healing.join(chunk.entries, chunk.timestamp, target.now_ms(), None)
    assert answered(target, 'tags eq "t1"', "", 3) == wanted(source, 'tags eq "t1"')
    target.commit()
    check_keys(target)
    assert answered(target, 'tags eq "t1"', "-age", 3) == wanted(source, 'tags eq "t1"', "-age")


def test_a_damaged_record_that_is_healed_leaves_no_wrong_answer() -> None:
    """Its old keys may stay until the next start: profiles are looked at till then."""
    store, peer = filled(), filled(name="us")
    storage = store.storage
    assert isinstance(storage, MemoryStorage)
    record = bytearray(storage._tables.documents[b"p03"])
    record[-1] ^= 1
    storage._tables.documents[b"p03"] = bytes(record)
    damaged = reopened(store, schema=SCHEMA)
    with pytest.raises(StorageCorrupt):
        damaged.queries.page("age ge 0 and name pr", order="street")
    peer.write("p03", {"age": 60, "name": "Zoe"}, source="crm")
    peer.commit(checkpoint=True)
    chunks, _ = read_chunks(peer.storage, "", peer.replication.healing.latest_timestamp)
    for chunk in chunks:
        damaged.replication.healing.join(chunk.entries, chunk.timestamp, damaged.now_ms(), None)
    damaged.commit()
    for where in ("age eq 3", "age eq 60", 'name sw "N"'):
        for order in ("", "age", "-name"):
            assert answered(damaged, where, order, 2) == wanted(damaged, where, order)
        assert damaged.queries.count(where).count == len(wanted(damaged, where))
    again = reopened(damaged, schema=SCHEMA)
    check_keys(again)
    assert len(everything(again)) == len(IDS)
