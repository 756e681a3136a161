"""Children that write in a loop: the synchronous store, and the replica with its backups."""

import asyncio
import itertools
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from crdtstore import CrdtstoreError, Replica, Store
from crdtstore.replica.backups import restore_backup, write_directory_backup
from tests.faults.children import tell
from tests.faults.promises import batch_of
from tests.faults.stores import (
    SMALL_LIMITS,
    SMALL_SETTINGS,
    announce_growth,
    apply,
    profiles_of,
    set_limits,
)


def write_store(
    connection: Connection, directory: Path, text_bytes: int, map_bytes: int = 512 * 1024
) -> None:
    """Open a store, say what it holds, then write batches of one lane and say each number.

    It says when it checkpoints and grows, before it does.
    """
    set_limits(SMALL_LIMITS)
    tell(connection, "opening")
    settings = replace(SMALL_SETTINGS, map_bytes_initial=map_bytes)
    store = Store.open(directory, name="eu", settings=settings)
    announce_growth(store, lambda: tell(connection, "growth"))
    report = store.verify()
    tell(
        connection,
        "opened",
        profiles_of(store),
        report.is_sound,
        store.replication.identity.incarnations,
    )
    start = connection.recv()
    is_resting = False
    for number in itertools.count(start):
        apply(store, batch_of("crm", number, text_bytes))
        tell(connection, "answered", number)
        was_resting, is_resting = is_resting, store.commits._next_mark is not None
        if is_resting and not was_resting:
            tell(connection, "checkpoint")


def write_replica(connection: Connection, directory: Path, backups: Path, first: int) -> None:
    """Run a replica with lanes of writers, and take backup after backup, numbered from ``first``.

    It is told where each lane begins, and says what it tries and what was answered.
    """
    set_limits(SMALL_LIMITS)

    async def lane(replica: Replica, name: str, start: int) -> None:
        for number in itertools.count(start):
            batch = batch_of(name, number)
            tell(connection, "trying", name, number)
            results = await replica.write_many([entry.write() for entry in batch.entries])
            assert not any(isinstance(result, CrdtstoreError) for result in results)
            if batch.erased:
                await replica.erase(batch.erased)
            tell(connection, "answered", name, number)

    async def back_up_for_ever(replica: Replica) -> None:
        for number in itertools.count(first):
            tell(connection, "backup", number)
            await replica.backups.write(backups / f"{number}.backup")
            tell(connection, "kept", number)
            await asyncio.sleep(0.01)

    async def main() -> None:
        async with Replica.open(directory, name="eu", settings=SMALL_SETTINGS) as replica:
            report = await replica.verify()
            incarnation = replica.status().incarnations
            tell(connection, "opened", profiles_of(replica), report.is_sound, incarnation)
            lanes = [lane(replica, *each) for each in connection.recv().items()]
            await asyncio.gather(back_up_for_ever(replica), *lanes)

    asyncio.run(main())


def back_up(connection: Connection, directory: Path, path: Path) -> None:
    """Back up a stopped replica, as the command does."""
    set_limits(SMALL_LIMITS)
    tell(connection, "begins")
    manifest = write_directory_backup(directory, path)
    tell(connection, "kept", manifest.digest)


def restore(connection: Connection, path: Path, directory: Path) -> None:
    """Restore a backup, as the command does."""
    set_limits(SMALL_LIMITS)
    tell(connection, "begins")
    manifest = restore_backup(path, directory, alone=True)
    tell(connection, "restored", manifest.digest)


def read_store(connection: Connection, directory: Path, name: str = "eu") -> None:
    """Open a store and say what it holds, or the error that it raises."""
    set_limits(SMALL_LIMITS)
    try:
        with Store.open(directory, name=name) as store:
            answer: tuple[Any, ...] = (
                profiles_of(store), store.verify().is_sound, store.digest().digest
            )  # fmt: skip
    except CrdtstoreError as error:
        answer = (type(error).__name__, str(error))
    tell(connection, *answer)
