"""Pages that reads have mapped are let go when they are many, and everything is read as before."""

import threading
from pathlib import Path

import pytest

from crdtstore import limits
from crdtstore.storage import mapped_memory
from crdtstore.storage.contract import Batch
from crdtstore.storage.logged_storage import LoggedStorage
from crdtstore.storage.mapped_memory import MappedPages, mapped_bytes

MEBIBYTE = 1 << 20


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "PAGES_PER_LOOK", 10**9)
    storage = LoggedStorage.open(tmp_path / "data", map_bytes_initial=256 * MEBIBYTE)
    for number in range(10):
        documents = [(b"%d%04d" % (number, each), bytes(3_000)) for each in range(2_000)]
        storage.commit(Batch(documents=documents))
    yield storage
    storage.close()


def read_all(storage: LoggedStorage) -> int:
    after, count = b"", 0
    while found := storage.documents(after, limit=1_000, bytes_max=1 << 30):
        after, count = found[-1][0], count + len(found)
    return count


def test_few_pages_are_kept(storage, monkeypatch) -> None:
    monkeypatch.setattr(limits, "MAPPED_BYTES_MAX", 1 << 30)
    read_all(storage)
    before = mapped_bytes()
    storage.shed()
    assert mapped_bytes() == pytest.approx(before, abs=2 * MEBIBYTE)


def test_many_pages_are_let_go_and_read_again(storage, monkeypatch) -> None:
    monkeypatch.setattr(limits, "MAPPED_BYTES_MAX", 0)
    storage.shed()
    least = mapped_bytes()
    assert read_all(storage) == 20_000
    assert mapped_bytes() > least + 60 * MEBIBYTE
    storage.shed()
    assert mapped_bytes() < least + 20 * MEBIBYTE
    storage.commit(Batch(documents=[(b"later", b"x")], trim_before=1))
    assert storage.document(b"later") == b"x"
    assert read_all(storage) == 20_001


def test_reads_themselves_look_now_and_then(storage, monkeypatch) -> None:
    monkeypatch.setattr(limits, "MAPPED_BYTES_MAX", 0)
    storage.shed()
    least = mapped_bytes()
    monkeypatch.setattr(limits, "PAGES_PER_LOOK", 64)
    assert read_all(storage) == 20_000
    assert mapped_bytes() < least + 20 * MEBIBYTE


def test_whoever_reads_meanwhile_is_not_disturbed(storage, monkeypatch) -> None:
    monkeypatch.setattr(limits, "MAPPED_BYTES_MAX", 0)
    view = storage.pinned_view()
    copy = storage.pinned_copy().chunks()
    parts = [next(copy)]
    read_all(storage)
    before = mapped_bytes()
    storage.shed()
    assert mapped_bytes() < before - 40 * MEBIBYTE
    assert len(view.documents(b"", limit=10, bytes_max=1 << 30)) == 10
    view.close()
    parts += copy
    assert sum(map(len, parts)) > 60 * MEBIBYTE


def test_a_closed_storage_has_nothing_to_let_go(tmp_path: Path) -> None:
    storage = LoggedStorage.open(tmp_path / "data")
    storage.close()
    storage.shed()


def test_a_commit_lets_go_of_the_pages_that_it_maps(storage, monkeypatch) -> None:
    monkeypatch.setattr(limits, "PAGES_PER_LOOK", 256)
    monkeypatch.setattr(limits, "MAPPED_BYTES_MAX", 8 * MEBIBYTE)
    storage.shed()
    least = most = mapped_bytes()
    has_ended = threading.Event()

    def watch() -> None:
        nonlocal most
        while not has_ended.wait(0.0005):
            most = max(most, mapped_bytes())

    watching = threading.Thread(target=watch)
    watching.start()
    spread = [(b"%d%04d" % (number % 10, number // 2), bytes(3_001)) for number in range(4_000)]
    storage.commit(Batch(documents=spread))
    has_ended.set()
    watching.join()
    assert most < least + 32 * MEBIBYTE
    assert read_all(storage) == 20_000


def test_what_others_map_meanwhile_is_no_part_of_what_is_left(tmp_path: Path, monkeypatch) -> None:
    """The thread that let go may wait long before it can look what is left."""
    looks = iter([20, 90, 85, 100, 30, 60])
    monkeypatch.setattr(limits, "MAPPED_BYTES_MAX", 48)
    monkeypatch.setattr(mapped_memory, "mapped_bytes", lambda: next(looks))
    asked = []
    monkeypatch.setattr(mapped_memory, "places_of", lambda path: asked.append(path) or [])
    pages = MappedPages(tmp_path / "data.mdb")
    pages.look()
    pages.look()
    assert len(asked) == 2, "100 is far beyond 20, though 85 was seen in between"
    pages.look()
    assert len(asked) == 2
