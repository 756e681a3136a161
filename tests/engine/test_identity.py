"""Identity: every life of a data directory writes under an origin of its own."""

import shutil

import pytest

from crdtstore.engine.identity import draw_origin
from crdtstore.errors import FrameForked, StorageCorrupt
from crdtstore.model.operations import Increment
from crdtstore.settings import Settings
from crdtstore.storage.contract import Batch
from crdtstore.storage.memory_storage import MemoryStorage
from crdtstore.testing.simulation import copy_storage
from tests.engine.stores import frames, open_store, reopened, send, state


def identity(store):
    return store.replication.identity


def test_an_origin_is_never_zero():
    assert draw_origin(lambda bits: 0) == 1
    assert draw_origin(lambda bits: (1 << bits) - 1) == (1 << 63) - 1


def test_a_store_keeps_its_identity_over_restarts_and_crashes():
    store = open_store()
    assert identity(reopened(store)) == identity(store)
    assert identity(store).incarnations == 1


def test_a_directory_that_is_opened_again_keeps_its_identity(tmp_path):
    with open_store(tmp_path / "eu") as store:
        before = identity(store)
    (tmp_path / "eu").rename(tmp_path / "moved")
    with open_store(tmp_path / "moved", seed=2) as store:
        assert identity(store) == before


def test_a_copied_directory_takes_a_new_incarnation_and_both_converge(tmp_path):
    with open_store(tmp_path / "eu") as store:
        store.write("ann", {"x": 1}, source="crm")
    shutil.copytree(tmp_path / "eu", tmp_path / "copy")
    with open_store(tmp_path / "eu") as one, open_store(tmp_path / "copy", seed=2) as two:
        assert identity(two).origin != identity(one).origin
        assert identity(two).incarnations == 2
        one.write("ann", {"x": 2, "from": "one"}, source="crm")
        two.write("ann", {"y": 2}, source="cdp")
        one.commit()
        two.commit()
        assert send(one, two) == 1
        assert send(two, one) == 1
        assert one.digest().digest == two.digest().digest
        assert dict(one.read("ann")) == {"x": 2, "from": "one", "y": 2}


def test_a_copied_storage_takes_a_new_incarnation_once():
    store = open_store()
    copy = copy_storage(store.storage, fingerprint="another file")
    other = open_store(copy, seed=2)
    assert identity(other).origin != identity(store).origin
    assert identity(reopened(other)).origin != identity(other).origin, "a copy of the copy"
    again = open_store(copy.reopen(), seed=3)
    assert identity(again) == identity(other)


def test_a_replica_may_be_renamed():
    store = open_store()
    renamed = open_store(store.storage.reopen(), name="europe")
    assert identity(renamed).name == "europe"
    assert identity(renamed).origin == identity(store).origin


def test_a_file_put_back_in_place_and_written_to_loses_nothing(tmp_path):
    """The replica finds out by itself, with no peer: what it writes then is its own history."""
    data = tmp_path / "eu" / "data.mdb"
    peer = open_store(name="us")
    with open_store(tmp_path / "eu") as store:
        store.write("ann", {"visits": Increment(1)}, source="crm")
    old = data.read_bytes()
    with open_store(tmp_path / "eu") as store:
        first = identity(store)
        store.write("ann", {"visits": Increment(10), "seen": "before"}, source="crm")
        store.commit()
        send(store, peer)
    inode = data.stat().st_ino
    data.write_bytes(old)
    assert data.stat().st_ino == inode
    with open_store(tmp_path / "eu", seed=2) as store:
        assert identity(store).origin != first.origin
        assert identity(store).incarnations == 2
        store.write("ann", {"visits": Increment(100), "written": "alone"}, source="crm")
        store.write("bob", {"visits": Increment(1)}, source="crm")
        store.commit()
        send(store, peer)
        send(peer, store)
        assert state(store) == state(peer)
        assert state(store) == {
            "ann": {"visits": 111, "seen": "before", "written": "alone"},
            "bob": {"visits": 1},
        }
        assert store.digest().digest == peer.digest().digest
        assert store.replication.vector == peer.replication.vector


def test_a_volume_that_two_machines_open_by_turns_is_written_by_three_incarnations(tmp_path):
    """A machine that has the volume back cannot know that it is the newest state of it."""
    origins = []
    for machine in ("one", "two", "one"):
        settings = Settings(witness_directory=str(tmp_path / machine))
        with open_store(tmp_path / "eu", seed=len(origins), settings=settings) as store:
            origins.append(identity(store).origin)
    assert len(set(origins)) == 3


def test_an_identity_that_cannot_be_read_is_damage():
    storage = MemoryStorage()
    storage.commit(Batch(meta={"identity": b"\x93\x01\x02\x03"}))
    with pytest.raises(StorageCorrupt):
        open_store(storage)


def test_a_new_incarnation_goes_on_where_the_old_one_was():
    store, other = open_store(), open_store(name="us")
    store.write("ann", {"x": 1, "n": 1}, source="crm")
    store.commit()
    old = identity(store).origin
    renewed = store.replication.renew_incarnation(store.random_bits)
    assert renewed.origin != old
    store.write("ann", {"x": 2}, source="crm")
    store.commit()
    assert store.replication.vector == {old: 1, renewed.origin: 1}
    assert send(store, other) == 2
    assert state(other) == {"ann": {"x": 2, "n": 1}}
    assert identity(reopened(store)) == renewed


def test_two_histories_of_one_origin_are_found():
    store = open_store()
    copy = open_store(copy_storage(store.storage))
    assert identity(copy) == identity(store), "the same fingerprint: nobody can tell yet"
    other = open_store(name="us")
    for value, clone in enumerate((store, copy)):
        clone.write("ann", {"x": value}, source="crm")
        clone.commit()
    send(store, other)
    with pytest.raises(FrameForked, match="two different frames 1"):
        other.replication.receive_frames(frames(copy), other.now_ms())
    store.write("ann", {"x": 5}, source="crm")
    store.commit()
    copy.write("ann", {"x": 6}, source="crm")
    copy.commit()
    with pytest.raises(FrameForked, match="two histories"):
        other.replication.receive_frames(frames(copy)[1:], other.now_ms())
    assert state(other) == {"ann": {"x": 0}}
    assert other.replication.quarantine.count == 2
