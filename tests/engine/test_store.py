"""Store: writing, reading, erasing, reviving; what is refused changes nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from crdtstore import limits
from crdtstore.errors import (
    ConfigurationError,
    DirectoryInUse,
    FormatTooNew,
    InvalidInput,
    InvalidName,
    KindConflict,
    LimitExceeded,
    ProfileErased,
    ProfileNotFound,
    ReplicaClosed,
    SpaceMismatch,
    UnknownSource,
    VersionMismatch,
)
from crdtstore.model.operations import add, grant, increment, remove, revoke
from crdtstore.schema import Field, Schema
from crdtstore.settings import Settings
from crdtstore.storage.memory_storage import MemoryStorage
from crdtstore.store import Store
from tests.engine.stores import Clock, open_store, reopened, state

VALUES = {
    "one": 1, "true": True, "float": 1.0, "minus zero": -0.0, "big": 2**63 - 1, "small": -(2**63),
    "empty": "", "emoji": "🙂é", "bytes": b"\x00\xff", "list": [1, 1.0, True, None, [""]],
    "map": {"b": 1, "a": {"": []}},
}  # fmt: skip


@pytest.fixture(params=["memory", "lmdb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    where = MemoryStorage() if request.param == "memory" else tmp_path / "eu"
    with open_store(where) as opened:
        yield opened


def test_what_was_written_is_read_as_it_was(store):
    result = store.write("ann", VALUES, source="crm")
    assert result.id == "ann"
    assert result.changed == tuple(VALUES)
    profile = store.read("ann")
    assert dict(profile) == VALUES
    assert profile.version == result.version
    for field, value in VALUES.items():
        assert repr(profile[field]) == repr(value)
    store.commit(checkpoint=True)
    assert dict(store.read("ann")) == VALUES


def test_operations_are_read_as_what_they_made(store):
    store.write(
        "ann",
        {"tags": add("a", "b"), "n": increment(2), "mail": revoke(), "news": grant()},
        source="crm",
    )
    store.write("ann", {"tags": remove("a"), "n": increment(3)}, source="cdp")
    assert dict(store.read("ann")) == {"tags": ["b"], "n": 5, "mail": False, "news": True}


def test_a_version_changes_with_every_change_and_with_nothing_else(store):
    versions = [store.write("ann", {"x": number}, source="crm").version for number in range(5)]
    assert len(set(versions)) == 5
    assert store.write("ann", {"x": 4}, source="crm").version == versions[-1]
    store.commit(checkpoint=True)
    assert store.read("ann").version == versions[-1]
    assert store.counters["noops"] == 1


def test_a_write_may_ask_for_a_version(store):
    version = store.write("ann", {"x": 1}, source="crm").version
    newer = store.write("ann", {"x": 2}, source="crm", if_version=version).version
    with pytest.raises(VersionMismatch) as caught:
        store.write("ann", {"x": 3}, source="crm", if_version=version)
    assert (caught.value.expected, caught.value.actual) == (version, newer)
    for refused in (store.erase, store.revive):
        with pytest.raises(VersionMismatch):
            refused("ann", if_version=version)
    with pytest.raises(VersionMismatch) as caught:
        store.write("bob", {"x": 1}, source="crm", if_version=version)
    assert caught.value.actual is None
    assert state(store) == {"ann": {"x": 2}}


def test_an_erased_profile_refuses_writes_until_it_is_revived(store):
    store.write("ann", {"x": 1}, source="crm")
    erased = store.erase("ann")
    assert store.erase("ann") == erased, "erasing again changes nothing"
    with pytest.raises(ProfileErased):
        store.read("ann")
    with pytest.raises(ProfileErased):
        store.explain("ann")
    with pytest.raises(ProfileErased):
        store.write("ann", {"x": 2}, source="crm")
    assert state(store) == {}
    revived = store.revive("ann", if_version=erased.version)
    assert store.revive("ann") == revived
    assert dict(store.read("ann")) == {}
    store.write("ann", {"y": 1}, source="crm")
    assert dict(store.read("ann")) == {"y": 1}
    assert store.digest().profiles == 1


def test_a_profile_that_is_not_known_can_be_erased_ahead(store):
    store.erase("ann")
    with pytest.raises(ProfileErased):
        store.write("ann", {"x": 1}, source="crm")
    assert store.digest().profiles == 0


def test_a_revival_of_what_was_never_erased_changes_nothing(store):
    before = store.digest()
    store.revive("ann")
    assert store.digest() == before
    with pytest.raises(ProfileNotFound):
        store.read("ann")


def test_profiles_come_in_the_order_of_their_ids_wherever_they_rest(store):
    ids = ["a", "a b", "b", "é", "z", "ÿ", "中", "🙂"]
    for number, profile_id in enumerate(ids[::2]):
        store.write(profile_id, {"n": number}, source="crm")
    store.commit(checkpoint=True)
    for profile_id in ids[1::2]:
        store.write(profile_id, {"n": -1}, source="crm")
    store.write("gone", {"n": 1}, source="crm")
    store.erase("gone")
    listed = [profile.id for profile in store.profiles()]
    assert listed == sorted(ids, key=str.encode)
    paged, after = [], ""
    while page := store.profiles(after=after, limit=3):
        paged += [profile.id for profile in page]
        after = paged[-1]
    assert paged == listed


@pytest.mark.parametrize("limit", [0, -1, limits.PAGE_PROFILES_MAX + 1])
def test_a_page_has_a_size(store, limit):
    with pytest.raises(InvalidInput):
        store.profiles(limit=limit)


@pytest.mark.parametrize("profile_id", ["", " ", "x" * 256, "a\nb", "\ud800", None, 7, b"ann"])
def test_an_id_is_a_name(store, profile_id):
    for call in (store.read, store.erase, store.revive, store.explain):
        with pytest.raises(InvalidName):
            call(profile_id)
    with pytest.raises(InvalidName):
        store.write(profile_id, {"x": 1}, source="crm")


@pytest.mark.parametrize("source", ["", "x" * 65, "a\x1fb", None])
def test_a_source_is_a_name(store, source):
    with pytest.raises(InvalidName):
        store.write("ann", {"x": 1}, source=source)


def test_a_schema_may_declare_its_sources_and_fields():
    schema = Schema(sources=("crm",), fields={"n": Field("counter")})
    store = open_store(schema=schema)
    with pytest.raises(UnknownSource):
        store.write("ann", {"x": 1}, source="cdp")
    with pytest.raises(KindConflict):
        store.write("ann", {"x": 1, "n": 5}, source="crm")
    assert state(store) == {}


def test_a_write_that_is_too_large_for_a_frame_is_refused_and_changes_nothing(store):
    before = store.digest()
    with pytest.raises(LimitExceeded, match="the limit is 245,760"):
        store.write("ann", {f"f{n}": "x" * 60_000 for n in range(5)}, source="crm")
    assert store.digest() == before


def test_a_document_grows_to_its_limit_and_no_further(store):
    for number in range(1_048_576 // 60_030):
        store.write("ann", {f"f{number}": "x" * 60_000}, source="crm")
    with pytest.raises(LimitExceeded, match=r"document of profile 'ann' .* 1,048,576"):
        store.write("ann", {"one more": "x" * 60_000}, source="crm")
    version = store.read("ann").version
    assert store.write("ann", {"f0": "short"}, source="crm").version != version
    assert store.write("ann", {"new": "x" * 60_000}, source="crm").changed == ("new",)
    store.erase("ann")


def test_overwriting_never_fills_a_document(store):
    for number in range(60):
        store.write("ann", {"f": f"{number}" + "x" * 60_000}, source="crm")
    assert store.read("ann")["f"].startswith("59x")


# --- cursors --------------------------------------------------------------------------------------


def test_a_cursor_moves_with_the_commit_of_its_write():
    store = open_store()
    store.write("ann", {"x": 1}, source="crm", cursors={"crm/feed": "41"})
    assert store.cursor("crm/feed") == "41"
    assert reopened(store).cursor("crm/feed") is None
    store = open_store()
    store.write("ann", {"x": 1}, source="crm", cursors={"crm/feed": "42"})
    store.commit()
    store.write("ann", {"x": 1}, source="crm", cursors={"crm/feed": "43"})
    store.commit()
    assert reopened(store).cursor("crm/feed") == "43", "a no-op moves cursors too"


@pytest.mark.parametrize(
    ("cursors", "error"),
    [
        ({"": "1"}, InvalidName),
        ({"x" * 129: "1"}, InvalidName),
        ({"a": 1}, InvalidInput),
        ({"a": None}, InvalidInput),
        ({"a": "\ud800"}, InvalidInput),
        ({"a": "x" * (limits.CURSOR_VALUE_BYTES_MAX + 1)}, LimitExceeded),
        ({f"c{n}": "1" for n in range(limits.CURSORS_MAX + 1)}, LimitExceeded),
    ],
)
def test_a_bad_cursor_refuses_the_write(store, cursors, error):
    with pytest.raises(error):
        store.write("ann", {"x": 1}, source="crm", cursors=cursors)
    assert state(store) == {}
    assert store.cursor("a") is None


def test_a_refused_write_moves_no_cursor(store):
    with pytest.raises(InvalidInput):
        store.write("ann", {"x": float("nan")}, source="crm", cursors={"a": "1"})
    assert store.cursor("a") is None


# --- opening and closing --------------------------------------------------------------------------


def test_a_closed_store_refuses_everything(store):
    store.write("ann", {"x": 1}, source="crm")
    store.close()
    store.close()
    for call in (
        lambda: store.read("ann"),
        lambda: store.profiles(),
        lambda: store.erase("ann"),
        lambda: store.write("ann", {"x": 2}, source="crm"),
    ):
        with pytest.raises(ReplicaClosed):
            call()


def test_closing_makes_everything_durable(tmp_path):
    with open_store(tmp_path) as store:
        store.write("ann", {"x": 1}, source="crm", cursors={"c": "1"})
        before = store.digest().digest
    with open_store(tmp_path) as store:
        assert store.digest().digest == before
        assert store.cursor("c") == "1"
        assert not store.documents.dirty


def test_a_directory_serves_one_store_at_a_time(tmp_path):
    with open_store(tmp_path), pytest.raises(DirectoryInUse):
        open_store(tmp_path)
    open_store(tmp_path).close()


def test_a_directory_of_a_newer_format_is_left_alone(tmp_path):
    open_store(tmp_path).close()
    (tmp_path / "FORMAT").write_bytes(b"crdtstore 3\n")
    with pytest.raises(FormatTooNew):
        open_store(tmp_path)


def test_a_directory_belongs_to_one_space(tmp_path):
    open_store(tmp_path).close()
    with pytest.raises(SpaceMismatch, match="'default', not 'other'"):
        open_store(tmp_path, space="other")


@pytest.mark.parametrize("names", [{"name": ""}, {"name": "a\nb"}, {"space": "x" * 65}])
def test_names_of_replica_and_space_are_names(names):
    with pytest.raises(InvalidName):
        open_store(**names)
    with pytest.raises(ConfigurationError):
        open_store(name="a\u200eb")


def test_a_small_cache_reads_the_same():
    store = open_store(settings=Settings(cache_bytes=1))
    for number in range(50):
        store.write(f"p{number}", {"n": number}, source="crm")
        if number % 7 == 0:
            store.commit(checkpoint=True)
    for number in range(50):
        assert store.read(f"p{number}")["n"] == number
        store.write(f"p{number}", {"m": number}, source="crm")
    store.commit(checkpoint=True)
    assert store.verify().is_sound
    assert store.documents.cached_bytes < 5_000


def test_the_same_calls_give_the_same_bytes():
    def run():
        clock = Clock()
        store = open_store(now_ms=clock, seed=7)
        for number in range(20):
            clock.ms += 3
            store.write(f"p{number % 3}", {"x": number, "t": add(number)}, source="crm")
            store.commit(checkpoint=number % 5 == 0)
        records = store.storage.journal(0, limit=1000, bytes_max=10**9)
        return store.storage.documents(b"", limit=99, bytes_max=10**9), records

    assert run() == run()
