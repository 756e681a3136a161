"""Exporting the golden records of all profiles, as they are at one moment, to a file.

    for progress in export_store(store, "profiles.parquet"):
        print(progress.profiles, "of", progress.of)

Parquet and Arrow take two passes over the documents: what types of columns hold all values is known
after the first. Both passes read the same moment, whatever is written meanwhile.
"""

import asyncio
import logging
import os
import tempfile
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from crdtstore import limits
from crdtstore.engine.moment import Moment
from crdtstore.errors import StorageFailed
from crdtstore.export.columns import Survey
from crdtstore.export.files import LineWriter, RowWriter, TableWriter, check_format
from crdtstore.group_commit import GroupCommit
from crdtstore.model.golden import resolve
from crdtstore.model.profile import Profile
from crdtstore.query import bounds
from crdtstore.replica.backups import open_as_it_is
from crdtstore.schema import Schema
from crdtstore.storage.backup_file import new_file, write_failure
from crdtstore.storage.contract import CopyInterrupted
from crdtstore.store import Store

_LOG_PROFILES: Final = 100_000
_TOO_OFTEN: Final = "the map grew during every attempt at an export; try again later"

_log = logging.getLogger("crdtstore.export")


@dataclass(frozen=True, slots=True)
class ExportProgress:
    """How far an export is: ``profiles`` are written, ``of`` how many there are.

    ``surveyed`` have been looked at for the types of columns. At the end ``of`` is exact.
    """

    profiles: int
    surveyed: int
    of: int


def export_store(
    store: Store, path: str | os.PathLike[str], *, form: str = "parquet"
) -> Iterator[ExportProgress]:
    """Write all profiles into a new file: "parquet", "arrow" or "jsonl"; yield how far it is.

    The file has its name when it is whole and on the disk. Raises ConfigurationError if the format
    or pyarrow is missing, TargetExists, StorageFull or StorageError.
    """
    check_format(form)
    for _ in range(limits.BACKUP_ATTEMPTS_MAX):
        try:
            with new_file(path) as file, Moment(store.storage, store.documents) as moment:
                yield from export_steps(moment, store, file, form)
                return
        except CopyInterrupted:
            _log.info("the map grew: the export begins anew")
    raise StorageFailed(_TOO_OFTEN)


def export_directory(
    directory: str | os.PathLike[str],
    path: str | os.PathLike[str],
    form: str,
    schema: Schema | None = None,
) -> Iterator[ExportProgress]:
    """Do what ``export_store`` does with a data directory that no process has open.

    Its indexes stay as they are, whatever the schema declares. Raises DirectoryInUse besides.
    """
    check_format(form)
    with open_as_it_is(directory) as store:
        store.schema = schema or store.schema
        yield from export_store(store, path, form=form)


async def export_replica(
    store: Store, commits: GroupCommit, path: str | os.PathLike[str], form: str
) -> AsyncGenerator[ExportProgress, None]:
    """Do what ``export_store`` does, in worker threads: the event loop goes on."""
    check_format(form)
    await _bring_to_rest(store, commits)
    for _ in range(limits.BACKUP_ATTEMPTS_MAX):
        try:
            with new_file(path) as file, Moment(store.storage, store.documents) as moment:
                async for progress in in_threads(export_steps(moment, store, file, form)):
                    yield progress
                return
        except CopyInterrupted:
            _log.info("the map grew: the export begins anew")
    raise StorageFailed(_TOO_OFTEN)


async def nameless_export(
    store: Store, commits: GroupCommit, form: str, directory: Path | None
) -> BinaryIO:
    """Return an export in a file without a name, to be read from its start and closed."""
    check_format(form)
    await _bring_to_rest(store, commits)
    for _ in range(limits.BACKUP_ATTEMPTS_MAX):
        file: BinaryIO = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115
        try:
            with Moment(store.storage, store.documents) as moment:
                async for _progress in in_threads(export_steps(moment, store, file, form)):
                    pass
            file.seek(0)
            return file
        except CopyInterrupted:
            file.close()
            _log.info("the map grew: the export begins anew")
        except OSError as error:
            file.close()
            raise write_failure(directory or Path(tempfile.gettempdir()), error) from error
        except BaseException:
            file.close()
            raise
    raise StorageFailed(_TOO_OFTEN)


async def _bring_to_rest(store: Store, commits: GroupCommit) -> None:
    """Have most documents in memory brought to rest: those that are left must be copied."""
    store.commits.owes_checkpoint = True
    for _ in range(bounds.EXPORT_REST_COMMITS):
        if len(store.documents.dirty) <= bounds.EXPORT_FRESH_MAX:
            return
        await commits.durable()


async def in_threads(steps: Iterator[ExportProgress]) -> AsyncGenerator[ExportProgress, None]:
    """Yield what an iterator yields, each step in a worker thread."""
    while (progress := await asyncio.to_thread(next, steps, None)) is not None:
        yield progress


def export_steps(
    moment: Moment, store: Store, file: BinaryIO, form: str
) -> Iterator[ExportProgress]:
    """Write the profiles of a moment to a file, and bring it to the disk; yield how far it is.

    Every step may run in another thread. Raises CopyInterrupted if the moment ended too early.
    """
    return _steps(moment, store.schema, file, form, store.profile_count)


def _steps(
    moment: Moment, schema: Schema, file: BinaryIO, form: str, of: int
) -> Iterator[ExportProgress]:
    survey = Survey(schema)
    surveyed = 0
    for page in moment.pages() if form != "jsonl" else ():
        for profile_id, document in page:
            survey.add(resolve(profile_id, document, schema, moment))
        surveyed += len(page)
        yield ExportProgress(0, surveyed, of)
    writer: RowWriter = LineWriter(file)
    if form != "jsonl":
        writer = TableWriter(file, form, survey.columns())
    written = told = 0
    for group in _groups(moment, schema):
        writer.write(group)
        written += len(group)
        if written - told >= _LOG_PROFILES:
            told = written
            _log.info("exporting: %d of %d profiles written", written, of)
        yield ExportProgress(written, surveyed, of)
    writer.close()
    file.flush()
    os.fsync(file.fileno())
    yield ExportProgress(written, surveyed, written)


def _groups(moment: Moment, schema: Schema) -> Iterator[list[Profile]]:
    """Yield the golden records of a moment in groups of bounded number and size."""
    group: list[Profile] = []
    size_bytes = 0
    for page in moment.pages():
        for profile_id, document in page:
            group.append(resolve(profile_id, document, schema, moment))
            size_bytes += document.size_bytes
            is_full = len(group) >= bounds.ROW_GROUP_PROFILES
            if is_full or size_bytes >= bounds.ROW_GROUP_BYTES:
                yield group
                group, size_bytes = [], 0
    if group:
        yield group
