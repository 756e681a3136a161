"""The commit log: a short file in which a small commit is durable after one sync.

    record    header, payload; starts at a multiple of 512 bytes, a sector
    header    magic "CRDL" | payload bytes (4) | sequence (8) | BLAKE2b-128 of both and the payload

The file has its full length from the start, so that a sync need not write the length of the file.
It has two halves. One is written from its start; what it holds is brought to LMDB while the other
is written, and then it is free again. Nothing is overwritten for that: sequences ascend by one, so
what follows the last commit that LMDB has is new, and all else is old, or was cut off while it was
written.
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
    """The log of one data directory, open until ``close``; ``payloads`` are those it was left with.

    ``last_sequence`` is the last one that LMDB has: the log goes on behind it. It has no room until
    what it was left with is brought to LMDB. Raises StorageCorrupt if a record in its middle is
    damaged, StorageFull or StorageError.

    One thread writes and seals; another one may ``release`` meanwhile.
    """

    def __init__(self, directory: Path, last_sequence: int) -> None:
        self.path = directory / LOG_FILE
        self._half_bytes = limits.COMMIT_LOG_BYTES // 2
        self._sealed: frozenset[int] = frozenset()
        self._half: int | None = 0
        self._used_bytes = 0
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            self._descriptor = os.open(self.path, flags, 0o600)
        except OSError as error:
            raise self._failure(error) from error
        try:
            self.payloads = self._read(last_sequence)
            self._reserve()
            if self.payloads:
                self._half, self._sealed = None, frozenset((0, 1))
        except OSError as error:
            self.close()
            raise self._failure(error) from error
        except BaseException:
            self.close()
            raise

    @property
    def is_empty(self) -> bool:
        """Whether it holds nothing that LMDB does not have."""
        return not (self._used_bytes or self._sealed)

    @property
    def is_half_full(self) -> bool:
        """Whether the half that is being written is half full, or both wait to be free."""
        return self._half is None or self._used_bytes > self._half_bytes // 2

    def has_room(self, payload: bytes) -> bool:
        """Say whether a record of this payload fits behind the others."""
        size_bytes = _HEADER.size + len(payload)
        return self._half is not None and self._used_bytes + size_bytes <= self._half_bytes

    def append(self, sequence: int, payload: bytes) -> None:
        """Write a record, which is on the disk when this returns.

        Raises StorageFull if there is no room for it and nothing was kept, else StorageFailed.
        """
        assert self._half is not None
        record = _header(sequence, payload) + payload
        try:
            os.pwrite(self._descriptor, record, self._end_bytes)
            os.fdatasync(self._descriptor)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                self._take_back()
            raise self._failure(error) from error
        self._used_bytes += _whole_sectors(len(record))

    def seal(self) -> None:
        """Go on in the other half, if that is free: what was written is being brought to LMDB."""
        if self._half is None or not self._used_bytes:
            return
        other = 1 - self._half
        is_free = other not in self._sealed
        self._sealed |= {self._half}
        self._half, self._used_bytes = other if is_free else None, 0

    def release(self) -> None:
        """Take note that LMDB has all that was sealed."""
        self._sealed = frozenset()
        if self._half is None:
            self._half = 0

    def rewind(self) -> None:
        """Start again at the beginning: LMDB has what the log holds."""
        self._half, self._used_bytes, self._sealed = 0, 0, frozenset()

    def overwrite(self) -> None:
        """Write zeros over what the log held before it was started again; raises StorageError."""
        assert self.is_empty, "the log holds what LMDB does not have"
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

    @property
    def _end_bytes(self) -> int:
        """The place of the next record in the file."""
        return (self._half or 0) * self._half_bytes + self._used_bytes

    def _take_back(self) -> None:
        """Make a record that is refused unreadable, so that no opening finds it."""
        try:
            os.pwrite(self._descriptor, bytes(_HEADER.size), self._end_bytes)
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise StorageFailed(f"{self.path} cannot be written: {error.strerror}") from error

    def _read(self, last_sequence: int) -> list[bytes]:
        content = os.pread(self._descriptor, limits.COMMIT_LOG_BYTES, 0)
        records = _whole_records(content)
        payloads: list[bytes] = []
        sequence = last_sequence + 1
        while sequence in records:
            payloads.append(records[sequence])
            sequence += 1
        later = min((each for each in records if each > sequence), default=0)
        if later and not payloads and self._is_of_later_file(content, last_sequence):
            os.ftruncate(self._descriptor, 0)
        elif later:
            raise StorageCorrupt(
                f"{self.path} is damaged: commit {sequence} cannot be read, but commit {later} "
                "can; restore this replica from a backup, or start it from an empty directory"
            )
        return payloads

    def _is_of_later_file(self, content: bytes, last_sequence: int) -> bool:
        """Say whether LMDB's file alone was put back: both halves are sound, but one begins later.

        A half whose start cannot be read may be damaged. The second one may never have been used.
        """
        first, second = (_sequence_of_first(content, each) for each in (0, self._half_bytes))
        is_unused = not any(content[self._half_bytes : self._half_bytes + _HEADER.size])
        is_sound = first > 0 and (second > 0 or is_unused)
        return is_sound and max(first, second) > last_sequence + 1

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


def _whole_records(content: bytes) -> dict[int, bytes]:
    """Return the payloads of all whole records, new ones and old ones, by their sequence."""
    records: dict[int, bytes] = {}
    for start in range(0, len(content), _SECTOR_BYTES):
        if content[start : start + len(_MAGIC)] == _MAGIC:
            sequence = _sequence_at(content, start)
            payload = _payload_at(content, start, sequence)
            if payload is not None:
                records[sequence] = payload
    return records


def _sequence_of_first(content: bytes, start: int) -> int:
    """Return the sequence of the record at the start of a half, 0 if that is not whole."""
    sequence = _sequence_at(content, start)
    return 0 if _payload_at(content, start, sequence) is None else sequence


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
