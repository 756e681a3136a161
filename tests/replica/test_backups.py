"""Backups of stores and replicas: exact, under load, and restored as another incarnation."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from crdtstore import Replica, Settings, Store, add, increment
from crdtstore.engine.identity import RESTORED
from crdtstore.errors import (
    BackupInvalid,
    DirectoryInUse,
    ReplicaClosed,
    StorageError,
    StorageFull,
    TargetExists,
)
from crdtstore.replica import backups
from crdtstore.replica.backups import (
    Manifest,
    check_backup,
    restore_backup,
    write_directory_backup,
    write_store_backup,
)
from crdtstore.storage.backup_file import new_file, write_backup
from crdtstore.storage.contract import Batch, StorageCopy
from crdtstore.storage.directory import DataDirectory
from crdtstore.storage.memory_storage import MemoryStorage
from crdtstore.testing.simulation import copy_storage
from tests.engine.stores import open_store, send, state
from tests.patience import PATIENCE_S


def filled(where: Any, name: str = "eu") -> Store:
    store = open_store(where, name=name)
    for number in range(50):
        store.write(f"p{number}", {"x": number, "n": increment(2), "t": add("a")}, source="crm")
    store.erase("p7")
    store.commit(checkpoint=True)
    store.write("late", {"x": "in the journal only"}, source="crm")
    return store


def check_restored(path: Path, directory: Path, manifest: Manifest) -> None:
    """Check that a backup, restored, is exactly what its manifest tells."""
    assert restore_backup(path, directory, alone=True) == manifest
    with Store.open(directory, name=manifest.name, space=manifest.space) as store:
        digest = store.digest()
        assert (digest.digest, digest.profiles) == (manifest.digest, manifest.profiles)
        assert {origin: n for origin, n in digest.vector.items() if n} == manifest.vector
        assert store.verify().is_sound
        assert f"{store.replication.identity.origin:016x}" != manifest.origin


# --- stores ---------------------------------------------------------------------------------------


def test_a_store_is_restored_as_it_was(tmp_path: Path) -> None:
    with filled(tmp_path / "eu") as store:
        manifest = write_store_backup(store, tmp_path / "eu.backup")
        before = state(store)
        assert (manifest.name, manifest.space) == ("eu", "default")
        assert manifest.digest == store.digest().digest
        store.write("late", {"x": "after the backup"}, source="crm")
    check_restored(tmp_path / "eu.backup", tmp_path / "new", manifest)
    with open_store(tmp_path / "new", seed=9) as restored:
        assert state(restored) == before
        assert restored.replication.identity.incarnations == 2


def test_a_restored_store_converges_with_nothing_lost_and_nothing_resurrected(
    tmp_path: Path,
) -> None:
    us = open_store(name="us")
    with filled(tmp_path / "eu") as eu:
        write_store_backup(eu, tmp_path / "eu.backup")
        eu.erase("p1")
        eu.write("p2", {"n": increment(5), "x": "after"}, source="crm")
        eu.commit()
        send(eu, us)
    restore_backup(tmp_path / "eu.backup", tmp_path / "new", alone=True)
    with open_store(tmp_path / "new", seed=9) as restored:
        assert "p1" in state(restored), "what the backup knew, until a peer tells"
        restored.write("p2", {"n": increment(10)}, source="crm")
        restored.commit()
        assert send(us, restored) > 0
        assert send(restored, us) > 0
        assert restored.digest().digest == us.digest().digest
        assert "p1" not in state(restored)
        assert state(restored)["p2"]["n"] == 17
        assert state(restored)["p2"]["x"] == "after"


def test_it_is_another_incarnation_even_in_the_place_of_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DataDirectory, "fingerprint", lambda self: "the same inode")
    with filled(tmp_path / "eu") as store:
        first = store.replication.identity
        write_store_backup(store, tmp_path / "eu.backup")
    origins = {first.origin}
    for seed, name in enumerate(("one", "two")):
        restore_backup(tmp_path / "eu.backup", tmp_path / name, alone=True)
        with open_store(tmp_path / name, seed=seed) as restored:
            origins.add(restored.replication.identity.origin)
            assert restored.storage.meta(RESTORED) is None
            taken = restored.replication.identity
        with open_store(tmp_path / name, seed=9) as again:
            assert again.replication.identity == taken, "once"
    assert len(origins) == 3


def test_a_memory_storage_is_backed_up_too(tmp_path: Path) -> None:
    store = filled(MemoryStorage())
    manifest = write_store_backup(store, tmp_path / "eu.backup")
    backup = check_backup(tmp_path / "eu.backup")
    data = (tmp_path / "eu.backup").read_bytes()[backup.data_offset :][: backup.data_bytes]
    storage = MemoryStorage.of_copy(data)
    storage.commit(Batch(meta={RESTORED: b"1"}))
    restored = open_store(storage, seed=9)
    assert restored.digest().digest == manifest.digest
    assert restored.replication.identity.incarnations == 2
    with pytest.raises(BackupInvalid, match="'memory'"):
        restore_backup(tmp_path / "eu.backup", tmp_path / "new", alone=True)
    assert not (tmp_path / "new").exists()


def test_a_directory_is_backed_up_when_nobody_has_it_open(tmp_path: Path) -> None:
    store = filled(tmp_path / "eu")
    with pytest.raises(DirectoryInUse):
        write_directory_backup(tmp_path / "eu", tmp_path / "eu.backup")
    store.close()
    manifest = write_directory_backup(tmp_path / "eu", tmp_path / "eu.backup")
    check_restored(tmp_path / "eu.backup", tmp_path / "new", manifest)
    for directory in (tmp_path, tmp_path / "absent"):
        with pytest.raises(StorageError, match="no data directory"):
            write_directory_backup(directory, tmp_path / "other.backup")
    assert not (tmp_path / "absent").exists()


# --- restoring ------------------------------------------------------------------------------------


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    with filled(tmp_path / "eu") as store:
        write_store_backup(store, tmp_path / "eu.backup")
    return tmp_path / "eu.backup"


def test_a_directory_that_is_not_empty_is_left_alone(backup: Path, tmp_path: Path) -> None:
    target = tmp_path / "new"
    target.mkdir()
    (target / "letter").write_text("mine")
    with pytest.raises(TargetExists):
        restore_backup(backup, target)
    assert os.listdir(target) == ["letter"]
    with pytest.raises(TargetExists):
        restore_backup(backup, tmp_path / "eu")
    with pytest.raises(StorageError):
        restore_backup(backup, backup)
    (target / "letter").unlink()
    restore_backup(backup, target, alone=True)
    assert {"FORMAT", "data.mdb"} <= set(os.listdir(target))


def test_a_damaged_backup_touches_nothing(backup: Path, tmp_path: Path) -> None:
    content = bytearray(backup.read_bytes())
    content[len(content) // 2] ^= 1
    backup.write_bytes(content)
    with pytest.raises(BackupInvalid, match="damaged"):
        restore_backup(backup, tmp_path / "new", alone=True)
    assert not (tmp_path / "new").exists()


def test_a_disk_without_room_is_told_and_left_empty(
    backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crdtstore.limits.BACKUP_RESERVE_BYTES", 1 << 60)
    (tmp_path / "empty").mkdir()
    for target in (tmp_path / "new", tmp_path / "empty"):
        with pytest.raises(StorageFull):
            restore_backup(backup, target)
    assert not (tmp_path / "new").exists()
    assert os.listdir(tmp_path / "empty") == []


def test_half_a_restore_is_opened_by_nobody(
    backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before the end: at worst the replica would begin empty, and look restored."""

    def die(self: DataDirectory) -> None:
        os._exit(9)

    child = os.fork()
    if not child:
        DataDirectory.complete = die  # type: ignore[method-assign]
        restore_backup(backup, tmp_path / "new", alone=True)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert (tmp_path / "new" / "data.mdb").stat().st_size > 0
    with pytest.raises(StorageError, match="half a restore"):
        Store.open(tmp_path / "new", name="eu")
    with pytest.raises(TargetExists):
        restore_backup(backup, tmp_path / "new", alone=True)


# --- replicas -------------------------------------------------------------------------------------


def hammered(
    scenario: Callable[[Replica], Any], directory: Path, settings: Settings | None = None
) -> int:
    """Run a scenario on a replica that many writers write to; return how often they did."""
    written = 0

    async def write(replica: Replica, writer: int) -> None:
        nonlocal written
        for number in range(10**9):
            fields = {"x": f"{number}" * 100, "n": increment()}
            await replica.write(f"p{writer}-{number % 200}", fields, source="crm")
            written += 1

    async def main() -> None:
        async with Replica.open(directory, name="eu", settings=settings) as replica:
            writers = [asyncio.create_task(write(replica, number)) for number in range(20)]
            await asyncio.sleep(0.3)
            try:
                await scenario(replica)
            finally:
                for writer in writers:
                    writer.cancel()
                await asyncio.gather(*writers, return_exceptions=True)

    asyncio.run(main())
    return written


def test_a_hot_backup_is_exactly_what_was_durable_at_its_moment(tmp_path: Path) -> None:
    manifests: list[Manifest] = []

    async def scenario(replica: Replica) -> None:
        for number in range(5):
            await replica.write("mark", {"n": increment()}, source="crm")
            before = max(replica.digest().vector.values())
            manifests.append(await replica.backups.write(tmp_path / f"{number}.backup"))
            assert max(manifests[-1].vector.values()) >= before, "all that was durable before"

    hammered(scenario, tmp_path / "eu")
    assert len({manifest.digest for manifest in manifests}) == 5
    for number, manifest in enumerate(manifests):
        check_restored(tmp_path / f"{number}.backup", tmp_path / f"new-{number}", manifest)


def slowly(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """Let backups wait after their first chunk; return the events of its coming and going on."""
    begun, go_on = threading.Event(), threading.Event()

    def write_slowly(file: BinaryIO, manifest: Manifest, chunks: Iterable[bytes]) -> None:
        def waiting() -> Iterable[bytes]:
            for chunk in chunks:
                begun.set()
                assert go_on.wait(PATIENCE_S)
                yield chunk

        write_backup(file, manifest, waiting())

    monkeypatch.setattr(backups, "write_backup", write_slowly)
    return begun, go_on


def test_writers_go_on_and_a_map_that_grows_begins_the_backup_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = slowly(monkeypatch)
    manifests: list[Manifest] = []

    async def scenario(replica: Replica) -> None:
        map_bytes = replica.status().storage_bytes
        backup = asyncio.create_task(replica.backups.write(tmp_path / "eu.backup"))
        await asyncio.to_thread(begun.wait, PATIENCE_S)
        storage = replica._store.storage
        first = storage.size().map_bytes
        async with asyncio.timeout(PATIENCE_S):
            while storage.size().map_bytes == first:
                await replica.write("big", {"x": os.urandom(30_000)}, source="crm")
        assert replica.status().storage_bytes > map_bytes
        assert os.listdir(tmp_path).count("eu.backup") == 0
        go_on.set()
        manifests.append(await backup)
        sequence = max(manifests[0].vector.values())
        assert sequence > 0

    hammered(scenario, tmp_path / "eu", Settings(map_bytes_initial=8 * 2**20))
    check_restored(tmp_path / "eu.backup", tmp_path / "new", manifests[0])


def test_a_replica_closes_in_the_middle_of_a_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = slowly(monkeypatch)

    async def main() -> None:
        async with Replica.open(tmp_path / "eu", name="eu") as replica:
            await replica.write_many([])
            for number in range(100):
                await replica.write(f"p{number}", {"x": os.urandom(60_000)}, source="crm")
            backup = asyncio.create_task(replica.backups.write(tmp_path / "eu.backup"))
            await asyncio.to_thread(begun.wait, PATIENCE_S)
        go_on.set()
        with pytest.raises(ReplicaClosed):
            await backup
        with pytest.raises(ReplicaClosed):
            _ = replica.backups

    asyncio.run(main())
    assert os.listdir(tmp_path) == ["eu"]
    with Store.open(tmp_path / "eu", name="eu") as store:
        assert store.profile_count == 100


def test_a_backup_that_is_cancelled_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = slowly(monkeypatch)

    async def scenario(replica: Replica) -> None:
        backup = asyncio.create_task(replica.backups.write(tmp_path / "eu.backup"))
        await asyncio.to_thread(begun.wait, PATIENCE_S)
        backup.cancel()
        with pytest.raises(asyncio.CancelledError):
            await backup
        go_on.set()
        async with asyncio.timeout(PATIENCE_S):
            while (tmp_path / "eu.backup.partial").exists():
                await asyncio.sleep(0.01)
        await replica.backups.write(tmp_path / "eu.backup")

    hammered(scenario, tmp_path / "eu")
    assert sorted(os.listdir(tmp_path)) == ["eu", "eu.backup"]


def test_a_replica_whose_disk_is_full_can_be_backed_up(tmp_path: Path) -> None:
    storage = copy_storage(filled(MemoryStorage()).storage)

    async def main() -> tuple[Manifest, str]:
        async with Replica.open(storage, name="eu") as replica:
            before = replica.digest().digest
            storage.fail_next_commit(StorageFull("full"))
            write = asyncio.create_task(replica.write("lost", {"x": 1}, source="crm"))
            await asyncio.sleep(0)
            manifest = await replica.backups.write(tmp_path / "eu.backup")
            with pytest.raises(StorageFull):
                await write
            return manifest, before

    manifest, digest = asyncio.run(main())
    assert manifest.digest == digest, "what was refused is not in it"


def test_a_copy_that_can_no_longer_be_pinned_is_an_error(tmp_path: Path) -> None:
    storage = copy_storage(filled(MemoryStorage()).storage)

    def pinned_copy() -> StorageCopy:
        raise StorageFull("no reader is left")

    async def main() -> None:
        async with Replica.open(storage, name="eu") as replica:
            storage.pinned_copy = pinned_copy  # type: ignore[assignment, method-assign]
            with pytest.raises(StorageFull, match="no reader"):
                await replica.backups.write(tmp_path / "eu.backup")
            assert await replica.write("still", {"x": 1}, source="crm")

    asyncio.run(main())
    assert os.listdir(tmp_path) == []


def test_a_backup_without_room_harms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(replica: Replica) -> None:
        monkeypatch.setattr("crdtstore.limits.BACKUP_RESERVE_BYTES", 1 << 60)
        with pytest.raises(StorageFull):
            await replica.backups.write(tmp_path / "eu.backup")
        with pytest.raises(StorageFull):
            await replica.backups.nameless()
        monkeypatch.undo()
        await replica.write("after", {"x": 1}, source="crm")
        with await replica.backups.nameless() as file, new_file(tmp_path / "eu.backup") as copy:
            copy.write(file.read())

    hammered(scenario, tmp_path / "eu")
    restore_backup(tmp_path / "eu.backup", tmp_path / "new", alone=True)
    with Store.open(tmp_path / "new", name="eu") as store:
        assert dict(store.read("after")) == {"x": 1}
