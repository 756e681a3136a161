"""A scrub leaves nothing of what was deleted in any file, and all that was not."""

import random
from pathlib import Path

import pytest

from crdtstore.storage.contract import Batch, MapFull, ScrubInterrupted, Storage
from crdtstore.storage.lmdb_storage import LmdbStorage
from crdtstore.storage.logged_storage import LoggedStorage
from tests.storage.deflated import with_inflated

SECRET = b"SECRET-"
_ALL = 1 << 40


def _commit(storage: Storage, batch: Batch) -> None:
    while True:
        try:
            return storage.commit(batch)
        except MapFull:
            assert storage.grow()


def _places(directory: Path) -> dict[str, int]:
    """Return in which files of a directory the secret still is, and how often."""
    contents = {path.name: with_inflated(path.read_bytes()) for path in directory.iterdir()}
    return {name: content.count(SECRET) for name, content in contents.items() if SECRET in content}


def _filled(storage: Storage, chance: random.Random, keys: int) -> dict[bytes, bytes]:
    """Fill all tables with secrets and others, some several times; return the documents."""
    model: dict[bytes, bytes] = {}
    position = 0
    for _ in range(20):
        batch = Batch()
        for _ in range(keys // 10):
            key = b"p%06d" % chance.randrange(keys)
            value = chance.choice([SECRET, b"public-"]) * chance.choice([1, 20, 90, 900])
            batch.documents.append((key, value))
            model[key] = value
            position += 1
            batch.journal.append((position, SECRET * chance.choice([2, 700])))
            batch.index.append((b"i" + SECRET + key, True))
        batch.meta["note"] = SECRET * 30
        _commit(storage, batch)
    return model


def _deleted(storage: Storage, chance: random.Random, model: dict[bytes, bytes]) -> None:
    """Delete every secret, or put something shorter in its place."""
    last = storage.journal_bounds()[1]
    batch = Batch(journal=[(last + 1, b"later")], meta={"note": None}, trim_before=last + 1)
    for key, value in list(model.items()):
        batch.index.append((b"i" + SECRET + key, False))
        if SECRET in value:
            model[key] = b"gone" if chance.random() < 0.5 else b""
            batch.documents.append((key, model[key] or None))
    _commit(storage, batch)
    while storage.journal_bounds()[0] <= last:
        position = storage.journal_bounds()[1] + 1
        _commit(storage, Batch(journal=[(position, b"x")], trim_before=last + 1))


def _documents(storage: Storage) -> dict[bytes, bytes]:
    return dict(storage.documents(b"", limit=_ALL, bytes_max=_ALL))


@pytest.mark.parametrize("seed", range(3))
def test_nothing_of_what_was_deleted_is_left(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    storage = LoggedStorage.open(tmp_path / "eu")
    model = _filled(storage, chance, 3_000)
    _deleted(storage, chance, model)
    assert _places(tmp_path / "eu").keys() >= {"data.mdb"}  # or this test would prove nothing
    scrub = storage.scrub()
    while not scrub.step():
        key = b"p%06d" % chance.randrange(3_000)
        model[key] = b"written meanwhile" * chance.choice([1, 500])
        _commit(storage, Batch(documents=[(key, model[key])]))
    scrub.close()
    assert _places(tmp_path / "eu") == {}
    assert _documents(storage) == {key: value for key, value in model.items() if value}
    for _ in range(20):  # what LMDB had in its buffers does not come back
        batch = Batch()
        for _ in range(100):
            key = b"p%06d" % chance.randrange(3_000)
            model[key] = b"written later" * chance.choice([1, 100])
            batch.documents.append((key, model[key]))
        _commit(storage, batch)
    assert _places(tmp_path / "eu") == {}
    storage.close()
    reopened = LoggedStorage.open(tmp_path / "eu")
    assert _documents(reopened) == {key: value for key, value in model.items() if value}
    assert _places(tmp_path / "eu") == {}
    reopened.close()


def test_the_commit_log_is_overwritten(tmp_path: Path) -> None:
    storage = LoggedStorage.open(tmp_path / "eu")
    storage.commit(Batch(journal=[(1, SECRET)], meta={"note": SECRET}))
    storage.commit(Batch(journal=[(2, b"x")], meta={"note": b"x"}, trim_before=2))
    assert "commits.log" in _places(tmp_path / "eu")
    scrub = storage.scrub()
    while not scrub.step():
        pass
    assert _places(tmp_path / "eu") == {}
    storage.commit(Batch(journal=[(3, b"y")]))
    storage.close()
    reopened = LoggedStorage.open(tmp_path / "eu")
    assert reopened.journal(0, limit=9, bytes_max=99) == [(2, b"x"), (3, b"y")]
    reopened.close()


def test_a_map_that_grows_ends_a_scrub(tmp_path: Path) -> None:
    storage = LmdbStorage.open(tmp_path / "eu", map_bytes_initial=1 << 20)
    storage.commit(Batch(documents=[(b"a", SECRET)]))
    scrub = storage.scrub()
    assert storage.grow()
    with pytest.raises(ScrubInterrupted):
        scrub.step()
    again = storage.scrub()
    while not again.step():
        pass
    assert storage.document(b"a") == SECRET
    storage.close()


def test_a_scrub_that_is_left_half_done_harms_nothing(tmp_path: Path) -> None:
    chance = random.Random(4)
    storage = LmdbStorage.open(tmp_path / "eu")
    model = _filled(storage, chance, 2_000)
    _deleted(storage, chance, model)
    storage.scrub().step()
    storage.close()
    reopened = LmdbStorage.open(tmp_path / "eu")
    assert _documents(reopened) == {key: value for key, value in model.items() if value}
    reopened.close()
