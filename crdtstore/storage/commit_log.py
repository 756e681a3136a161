"""The commit log: a short file in which a small commit is durable after one sync.

    record    header, payload; starts at a multiple of 512 bytes, a sector
    header    magic "CRDL" | payload bytes (4) | sequence (8) | BLAKE2b-128 of both and the payload

The file has its full length from the start, so that a sync need not write the length of the file.
It is written from its start until it is full; then what it holds has been brought to LMDB, and it
is written from its start again. Nothing is overwritten for that: sequences ascend by one, so the
first record that does not follow the one before it is an old one, or one whose writing was cut off.
"""

import errno
import hashlib
import os
import struct
from pathlib import Path
from typing import Final

from crdtstore import limits
from crdtstore.errors import StorageCorrupt, StorageError, StorageFailed, StorageFull
from crdtstore.storage.directory import sync_directory

LOG_FILE: Final = "commits.log"

_MAGIC: Final = b"CRDL"
_HEADER: Final = struct.Struct(">4sIQ16s")
_NUMBERS: Final = struct.Struct(">IQ")
_SECTOR_BYTES: Final = 512


class CommitLog:
    """The log of one data directory, open until ``close``; ``payloads`` are those it holds.

    ``last_sequence`` is the last one that LMDB has: the log goes on behind it. Raises
    StorageCorrupt if a record in its middle is damaged, StorageFull or StorageError.
    """

    def __init__(self, directory: Path, last_sequence: int) -> None:
        self.path = directory / LOG_FILE
        self._end_bytes = 0
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            self._descriptor = os.open(self.path, flags, 0o600)
        except OSError as error:
            raise self._failure(error) from error
        try:
            self.payloads = self._read(last_sequence)
            self._reserve()
        except OSError as error:
            self.close()
            raise self._failure(error) from error
        except BaseException:
            self.close()
            raise

    @property
    def is_empty(self) -> bool:
        """Whether it holds nothing that LMDB does not have."""
        return self._end_bytes == 0

    def has_room(self, payload: bytes) -> bool:
        """Say whether a record of this payload fits behind the others."""
        return self._end_bytes + _HEADER.size + len(payload) <= limits.COMMIT_LOG_BYTES

    def append(self, sequence: int, payload: bytes) -> None:
        """Write a record, which is on the disk when this returns.

        Raises StorageFull if there is no room for it and nothing was kept, else StorageFailed.
        """
        record = _header(sequence, payload) + payload
        try:
            os.pwrite(self._descriptor, record, self._end_bytes)
            os.fdatasync(self._descriptor)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                self._take_back()
            raise self._failure(error) from error
        self._end_bytes += _whole_sectors(len(record))

    def rewind(self) -> None:
        """Start again at the beginning: LMDB has what the log holds."""
        self._end_bytes = 0

    def overwrite(self) -> None:
        """Write zeros over what the log held before it was started again; raises StorageError."""
        assert self._end_bytes == 0, "the log holds what LMDB does not have"
        try:
            used_bytes = len(os.pread(self._descriptor, limits.COMMIT_LOG_BYTES, 0).rstrip(b"\0"))
            if used_bytes:
                os.pwrite(self._descriptor, bytes(used_bytes), 0)
                os.fdatasync(self._descriptor)
        except OSError as error:
            raise self._failure(error) from error

    def give_back(self) -> None:
        """Give the room of an empty log back to the file system until it is opened again.

        What it held is overwritten first: freed blocks are out of reach. Raises StorageError.
        """
        self.overwrite()
        try:
            os.ftruncate(self._descriptor, 0)
        except OSError as error:
            raise self._failure(error) from error

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _take_back(self) -> None:
        """Make a record that is refused unreadable, so that no opening finds it."""
        try:
            os.pwrite(self._descriptor, bytes(_HEADER.size), self._end_bytes)
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise StorageFailed(f"{self.path} cannot be written: {error.strerror}") from error

    def _read(self, last_sequence: int) -> list[bytes]:
        content = os.pread(self._descriptor, limits.COMMIT_LOG_BYTES, 0)
        payloads: list[bytes] = []
        sequence = last_sequence + 1
        while (payload := _payload_at(content, self._end_bytes, sequence)) is not None:
            payloads.append(payload)
            self._end_bytes += _whole_sectors(_HEADER.size + len(payload))
            sequence += 1
        if not payloads and _sequence_of_first(content) > sequence:
            os.ftruncate(self._descriptor, 0)  # LMDB's file alone was put back
        else:
            self._check_rest(content, sequence)
        return payloads

    def _check_rest(self, content: bytes, sequence: int) -> None:
        """Raise StorageCorrupt if a whole record follows behind the place of a missing one."""
        for start in range(self._end_bytes, len(content), _SECTOR_BYTES):
            if content[start : start + 4] != _MAGIC:
                continue
            later = _sequence_at(content, start)
            if later > sequence and _payload_at(content, start, later) is not None:
                raise StorageCorrupt(
                    f"{self.path} is damaged: commit {sequence} cannot be read, but commit {later} "
                    "can; restore this replica from a backup, or start it from an empty directory"
                )

    def _reserve(self) -> None:
        """Give the file its full length, where the file system can take room ahead."""
        if os.fstat(self._descriptor).st_size >= limits.COMMIT_LOG_BYTES:
            return
        try:
            os.posix_fallocate(self._descriptor, 0, limits.COMMIT_LOG_BYTES)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EOPNOTSUPP):
                raise
        os.fsync(self._descriptor)
        sync_directory(self.path.parent)

    def _failure(self, error: OSError) -> StorageError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return StorageFull(f"the disk of {self.path.parent} is full")
        return StorageFailed(f"{self.path} cannot be used: {error.strerror}")


def _header(sequence: int, payload: bytes) -> bytes:
    return _HEADER.pack(_MAGIC, len(payload), sequence, _checksum(sequence, payload))


def _checksum(sequence: int, payload: bytes) -> bytes:
    digest = hashlib.blake2b(_NUMBERS.pack(len(payload), sequence), digest_size=16)
    digest.update(payload)
    return digest.digest()


def _sequence_at(content: bytes, start: int) -> int:
    return int.from_bytes(content[start + 8 : start + 16], "big")


def _sequence_of_first(content: bytes) -> int:
    """Return the sequence of the record at the start, 0 if that is not whole."""
    sequence = _sequence_at(content, 0)
    return 0 if _payload_at(content, 0, sequence) is None else sequence


def _payload_at(content: bytes, start: int, sequence: int) -> bytes | None:
    """Return the payload of the record there, None unless it is whole and has this sequence."""
    header = content[start : start + _HEADER.size]
    if len(header) < _HEADER.size:
        return None
    magic, size_bytes, found, checksum = _HEADER.unpack(header)
    payload = content[start + _HEADER.size : start + _HEADER.size + size_bytes]
    if magic != _MAGIC or found != sequence or len(payload) != size_bytes:
        return None
    return payload if _checksum(sequence, payload) == checksum else None


def _whole_sectors(size_bytes: int) -> int:
    return -(-size_bytes // _SECTOR_BYTES) * _SECTOR_BYTES
