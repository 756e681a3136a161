"""What every storage must do; both implementations pass all of it."""

import random
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crdtstore import limits
from crdtstore.errors import StorageFailed, StorageFull
from crdtstore.storage.contract import Batch, MapFull, Storage, map_reserve_bytes
from crdtstore.storage.lmdb_storage import LmdbStorage
from crdtstore.storage.logged_storage import LoggedStorage
from crdtstore.storage.memory_storage import MemoryStorage

MEGABYTE = 1_000_000
MAP_BYTES = 1024 * 1024


class Place:
    """Somewhere a storage rests: ``open`` gives what was committed, after closing the last one."""

    def __init__(self, kind: str, directory: Path) -> None:
        self.kind = kind
        self.directory = directory
        self.storage: Storage | None = None
        self.map_bytes_max = 8 * MAP_BYTES

    def open(self) -> Storage:
        last = self.storage
        if last is not None:
            last.close()
        if self.kind != "memory":
            kind = LmdbStorage if self.kind == "lmdb" else LoggedStorage
            self.storage = kind.open(
                self.directory, map_bytes_initial=MAP_BYTES, map_bytes_max=self.map_bytes_max
            )
        elif isinstance(last, MemoryStorage):
            self.storage = last.reopen()
        else:
            self.storage = MemoryStorage(
                map_bytes_initial=MAP_BYTES, map_bytes_max=self.map_bytes_max
            )
        return self.storage


@pytest.fixture(params=["memory", "lmdb", "logged"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    place = Place(request.param, tmp_path / "data")
    yield place
    if place.storage is not None:
        place.storage.close()


@pytest.fixture
def storage(place: Place) -> Storage:
    return place.open()


def journal_of(*positions: int) -> Batch:
    return Batch(journal=[(position, b"record %d" % position) for position in positions])


def positions_of(storage: Storage) -> list[int]:
    return [position for position, _ in storage.journal(0, limit=10_000, bytes_max=MEGABYTE)]


def test_empty_storage_has_nothing(storage: Storage) -> None:
    assert storage.document(b"anna") is None
    assert storage.documents(b"", limit=10, bytes_max=MEGABYTE) == []
    assert storage.journal(0, limit=10, bytes_max=MEGABYTE) == []
    assert storage.journal_headers(0, limit=10, header_bytes=8) == []
    assert storage.journal_bounds() == (0, 0)
    assert storage.waypoints() == []
    assert storage.meta("origin") is None
    assert storage.metas("") == {}
    assert storage.index(b"", b"", limit=10) == []


def test_committed_batch_is_there_after_reopening(place: Place) -> None:
    batch = Batch(
        journal=[(7, b"first"), (9, b"second")],
        documents=[(b"zoe", b"z"), (b"anna", b"")],
        waypoints=[(8, b"note")],
        meta={"origin": b"\x00", "cursor/crm": b""},
        index=[(b"key", True)],
    )
    place.open().commit(batch)
    for is_reopened in (False, True, True):
        storage = place.open() if is_reopened else place.storage
        assert storage is not None
        assert storage.document(b"zoe") == b"z"
        assert storage.document(b"anna") == b""
        assert storage.documents(b"", limit=9, bytes_max=9) == [(b"anna", b""), (b"zoe", b"z")]
        assert storage.journal(0, limit=9, bytes_max=MEGABYTE) == [(7, b"first"), (9, b"second")]
        assert storage.journal_bounds() == (7, 9)
        assert storage.waypoints() == [(8, b"note")]
        assert storage.meta("origin") == b"\x00"
        assert storage.meta("cursor/crm") == b""
        assert storage.index(b"", b"", limit=9) == [b"key"]


def test_none_deletes_and_later_change_wins(storage: Storage) -> None:
    storage.commit(Batch(documents=[(b"a", b"1"), (b"b", b"1")], meta={"x": b"1", "y": b"1"}))
    storage.commit(
        Batch(
            documents=[(b"a", None), (b"missing", None), (b"b", None), (b"b", b"2"), (b"c", b"3")],
            meta={"x": None, "missing": None, "y": b"2"},
        )
    )
    assert storage.documents(b"", limit=9, bytes_max=99) == [(b"b", b"2"), (b"c", b"3")]
    assert storage.metas("") == {"y": b"2"}


def test_documents_come_in_pages_in_key_order(storage: Storage) -> None:
    keys = [b"\xff", b"a", b"a\x00", b"aa", b"b", b"\x00"]
    storage.commit(Batch(documents=[(key, b"1234") for key in keys]))
    seen: list[bytes] = []
    after = b""
    while page := storage.documents(after, limit=2, bytes_max=MEGABYTE):
        assert len(page) <= 2
        seen += [key for key, _ in page]
        after = seen[-1]
    assert seen == sorted(keys)
    assert [key for key, _ in storage.documents(b"aaa", limit=9, bytes_max=99)] == [b"b", b"\xff"]


@pytest.mark.parametrize(("bytes_max", "count"), [(1, 1), (10, 1), (19, 1), (20, 2), (25, 2)])
def test_answers_are_bounded_in_bytes_but_never_empty(
    storage: Storage, bytes_max: int, count: int
) -> None:
    values = [(position, bytes(10)) for position in (1, 2, 3)]
    storage.commit(Batch(journal=values, documents=[(b"%d" % key, value) for key, value in values]))
    assert len(storage.journal(0, limit=9, bytes_max=bytes_max)) == count
    assert len(storage.documents(b"", limit=9, bytes_max=bytes_max)) == count


def test_records_that_repeat_themselves_count_with_all_their_bytes(storage: Storage) -> None:
    records = [(number, b"the same, " * 1_000 + b"%d" % number) for number in range(1, 6)]
    storage.commit(Batch(journal=records, documents=[(b"ann", b"a" * 3_000)]))
    assert storage.journal(0, limit=9, bytes_max=25_000) == records[:2]
    assert storage.journal(2, limit=9, bytes_max=1) == records[2:3]
    assert storage.journal_headers(3, limit=1, header_bytes=13) == [(4, b"the same, the")]
    assert 3_000 <= storage.size().documents_bytes <= 8_192 < storage.size().used_bytes


def test_journal_is_read_from_any_position(storage: Storage) -> None:
    storage.commit(journal_of(3, 4, 255, 256, 70_000, 2**40))
    assert positions_of(storage) == [3, 4, 255, 256, 70_000, 2**40]
    found = storage.journal(4, limit=2, bytes_max=MEGABYTE)
    assert found == [(255, b"record 255"), (256, b"record 256")]
    assert storage.journal(2**40, limit=2, bytes_max=MEGABYTE) == []


def test_headers_are_the_first_bytes_of_records(storage: Storage) -> None:
    storage.commit(Batch(journal=[(1, b"abcdef"), (2, b"xy"), (3, bytes(100_000))]))
    headers = storage.journal_headers(0, limit=9, header_bytes=4)
    assert headers == [(1, b"abcd"), (2, b"xy"), (3, bytes(4))]
    assert storage.journal_headers(1, limit=1, header_bytes=1) == [(2, b"x")]


def test_metas_are_found_by_prefix(storage: Storage) -> None:
    records = {"cursor/a": b"1", "cursor/é": b"2", "cursor": b"3", "cursos": b"4", "a": b"5"}
    storage.commit(Batch(meta=dict(records)))
    assert storage.metas("cursor/") == {"cursor/a": b"1", "cursor/é": b"2"}
    assert list(storage.metas("")) == ["a", "cursor", "cursor/a", "cursor/é", "cursos"]
    assert storage.metas("none") == {}


def test_index_keys_are_found_by_prefix_in_pages(storage: Storage) -> None:
    keys = [b"ia\x00p", b"ia\x00q", b"ia\x00r", b"ib\x00p", b"i", b"j", b"\xff"]
    storage.commit(Batch(index=[(key, True) for key in keys]))
    assert storage.index(b"", b"", limit=99) == sorted(keys)
    assert storage.index(b"ia\x00", b"", limit=2) == [b"ia\x00p", b"ia\x00q"]
    assert storage.index(b"ia\x00", b"ia\x00q", limit=2) == [b"ia\x00r"]
    assert storage.index(b"ia\x00", b"ia\x00r", limit=2) == []
    assert storage.index(b"ia\x00", b"a", limit=1) == [b"ia\x00p"]
    assert storage.index(b"none", b"", limit=1) == []


def test_index_keys_are_found_between_two_from_either_end(storage: Storage) -> None:
    keys = [b"a", b"b", b"b\x00", b"c", b"d", b"\xff\xff"]
    storage.commit(Batch(index=[(key, True) for key in keys]))
    assert storage.index_range(b"b", b"d", limit=9) == [b"b", b"b\x00", b"c"]
    assert storage.index_range(b"b", b"d", limit=2) == [b"b", b"b\x00"]
    assert storage.index_range(b"b", b"d", limit=2, is_down=True) == [b"c", b"b\x00"]
    assert storage.index_range(b"aa", b"ab", limit=9) == []
    assert storage.index_range(b"aa", b"ab", limit=9, is_down=True) == []
    assert storage.index_range(b"", b"\xff\xff\xff", limit=9) == keys
    assert storage.index_range(b"", b"\xff\xff\xff", limit=9, is_down=True) == keys[::-1]
    assert storage.index_range(b"", b"a", limit=9, is_down=True) == []
    assert storage.index_range(b"\xff\xff\xff", b"\xff\xff\xff\xff", limit=9) == []


def test_index_keys_come_and_go(storage: Storage) -> None:
    storage.commit(Batch(index=[(b"a", True), (b"b", True), (b"missing", False)]))
    used_bytes = storage.size().used_bytes
    storage.commit(Batch(index=[(b"a", False), (b"b", True), (b"c", False), (b"c", True)]))
    assert storage.index(b"", b"", limit=9) == [b"b", b"c"]
    assert storage.size().used_bytes == used_bytes
    with pytest.raises(AssertionError):
        storage.commit(Batch(index=[(b"", True)]))


def test_taking_index_keys_away_is_relief(storage: Storage) -> None:
    assert Batch(index=[(b"a", False)]).is_relief()
    assert not Batch(index=[(b"a", False), (b"b", True)]).is_relief()
    assert Batch(index=[(b"abc", True)]).size_bytes() == 3


def test_positions_must_ascend(storage: Storage) -> None:
    storage.commit(journal_of(5))
    for positions in [(5,), (4,), (7, 6), (8, 8)]:
        with pytest.raises(AssertionError):
            storage.commit(Batch(journal=[(at, b"") for at in positions], meta={"bad": b""}))
    assert positions_of(storage) == [5]
    assert storage.meta("bad") is None
    storage.commit(journal_of(6))
    assert positions_of(storage) == [5, 6]


def test_keys_must_fit(storage: Storage) -> None:
    storage.commit(Batch(documents=[(bytes(limits.DOCUMENT_KEY_BYTES_MAX), b"long")]))
    for key in (b"", bytes(limits.DOCUMENT_KEY_BYTES_MAX + 1)):
        with pytest.raises(AssertionError):
            storage.commit(Batch(documents=[(key, b"")]))


def test_trim_drops_the_front_of_journal_and_waypoints(place: Place) -> None:
    storage = place.open()
    batch = journal_of(*range(1, 11))
    batch.waypoints = [(2, b"two"), (6, b"six"), (5, b"five")]
    storage.commit(batch)
    storage.commit(Batch(trim_before=6))
    assert storage.journal_bounds() == (6, 10)
    assert positions_of(storage) == [6, 7, 8, 9, 10]
    assert storage.waypoints() == [(6, b"six")]
    assert positions_of(place.open()) == [6, 7, 8, 9, 10]


def test_trim_keeps_the_last_record(storage: Storage) -> None:
    storage.commit(Batch(trim_before=100))
    batch = journal_of(1, 2, 3)
    batch.waypoints = [(2, b"two"), (3, b"three")]
    batch.trim_before = 100
    storage.commit(batch)
    assert storage.journal_bounds() == (3, 3)
    assert storage.waypoints() == [(3, b"three")]


def test_trim_is_bounded_per_commit(storage: Storage) -> None:
    count = limits.TRIM_RECORDS_MAX + 10
    batch = journal_of(*range(1, count + 1))
    batch.waypoints = [(1, b""), (limits.TRIM_RECORDS_MAX + 1, b""), (count - 5, b"")]
    storage.commit(batch)
    storage.commit(Batch(trim_before=count))
    assert storage.journal_bounds() == (limits.TRIM_RECORDS_MAX + 1, count)
    assert [position for position, _ in storage.waypoints()] == [
        limits.TRIM_RECORDS_MAX + 1,
        count - 5,
    ]
    storage.commit(Batch(trim_before=count))
    assert storage.journal_bounds() == (count, count)
    assert storage.waypoints() == []


def fill(storage: Storage) -> int:
    """Put documents of 10 kB until the map is full, and return how many there are."""
    count = 0
    while True:
        try:
            storage.commit(Batch(documents=[(b"%06d" % count, bytes(10_000))]))
        except MapFull:
            return count
        count += 1
        assert count < 10_000, "the map never fills"


def test_full_map_grows_and_takes_the_same_batch(storage: Storage) -> None:
    count = fill(storage)
    batch = Batch(
        documents=[(b"%06d" % (count + number), bytes(10_000)) for number in range(20)],
        journal=[(1, b"one")],
        meta={"last": b"yes"},
    )
    with pytest.raises(MapFull):
        storage.commit(batch)
    assert storage.meta("last") is None
    assert storage.journal_bounds() == (0, 0)
    before = storage.size()
    assert storage.grow()
    assert storage.size().map_bytes == 2 * before.map_bytes
    storage.commit(batch)
    assert len(storage.documents(b"", limit=9_999, bytes_max=10**9)) == count + 20
    assert storage.meta("last") == b"yes"


def test_map_at_its_maximum_refuses_and_recovers(place: Place) -> None:
    place.map_bytes_max = MAP_BYTES
    storage = place.open()
    count = fill(storage)
    assert not storage.grow()
    size = storage.size()
    assert size.map_bytes == size.map_bytes_max
    assert size.used_bytes > 0.7 * (size.map_bytes - map_reserve_bytes(size.map_bytes))
    assert len(storage.documents(b"", limit=9_999, bytes_max=10**9)) == count
    storage.commit(Batch(meta={"relief": bytes(20_000)}))
    for number in range(0, count, 2):
        storage.commit(Batch(documents=[(b"%06d" % number, None)]))
    assert storage.size().used_bytes < 0.7 * size.used_bytes
    storage.commit(Batch(documents=[(b"again", bytes(10_000))]))
    assert place.open().document(b"again") == bytes(10_000)


def test_reserve_is_given_by_releasing_the_ballast(place: Place) -> None:
    place.map_bytes_max = MAP_BYTES
    storage = place.open()
    fill(storage)
    erasure = Batch(documents=[(b"person", b"erased")], journal=[(1, random.randbytes(20_000))])
    with pytest.raises(StorageFull):
        storage.commit(erasure)
    assert storage.release_ballast()
    assert not storage.release_ballast()
    storage.commit(erasure)
    assert storage.document(b"person") == b"erased"
    assert storage.restore_ballast()
    with pytest.raises(StorageFull):
        storage.commit(Batch(documents=[(b"person", bytes(20_000))]))


def test_size_follows_what_is_stored(storage: Storage) -> None:
    empty = storage.size()
    storage.commit(Batch(documents=[(b"%d" % number, bytes(5_000)) for number in range(50)]))
    full = storage.size()
    assert full.used_bytes >= empty.used_bytes + 250_000
    storage.commit(Batch(documents=[(b"%d" % number, None) for number in range(50)]))
    assert storage.size().used_bytes < empty.used_bytes + 50_000
    assert full.disk_free_bytes > 0


def test_closed_storage_refuses(storage: Storage) -> None:
    storage.close()
    storage.close()
    calls: list[Callable[[], object]] = [
        lambda: storage.document(b"a"),
        lambda: storage.documents(b"", limit=1, bytes_max=1),
        lambda: storage.journal(0, limit=1, bytes_max=1),
        lambda: storage.journal_headers(0, limit=1, header_bytes=1),
        storage.journal_bounds,
        storage.waypoints,
        lambda: storage.meta("a"),
        lambda: storage.metas(""),
        lambda: storage.index(b"", b"", limit=1),
        lambda: storage.commit(Batch()),
        storage.grow,
        storage.size,
    ]
    for call in calls:
        with pytest.raises(StorageFailed):
            call()


def test_readers_see_whole_commits_only(storage: Storage) -> None:
    """The owner reads while another thread commits: never half of a batch."""
    rounds = 150

    def write() -> None:
        for number in range(1, rounds + 1):
            value = b"%d" % number
            storage.commit(
                Batch(journal=[(number, value)], documents=[(b"a", value), (b"b", value)])
            )

    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        writer = threading.Thread(target=write)
        writer.start()
        last = 0
        while last < rounds and (writer.is_alive() or last == 0):
            found = dict(storage.documents(b"", limit=9, bytes_max=99))
            assert found.get(b"a") == found.get(b"b")
            last = storage.journal_bounds()[1]
            assert last >= int(found.get(b"a", b"0"))
        writer.join()
    finally:
        sys.setswitchinterval(interval_s)
    assert storage.journal_bounds() == (1, rounds)
