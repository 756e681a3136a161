"""Witness: what the machine's memory remembers of a data file, so that its going back is found out.

A volume or a whole machine can be put back to an earlier state, and a file can be written over by
an older one, with device and inode unchanged. Nothing inside the file tells. A record in memory
(a tmpfs) does not go back with the disk, and is lost when the machine starts anew:

    token           16 random bytes, drawn when the record is made
    commit number   of the last commit that the file was seen to have

The file is the one that was left when the record is there and its commit number is not above the
file's. Else the token is drawn anew, and with it the fingerprint of the storage changes, so that
the store goes on as a new incarnation before its first write. Where there is no such memory the
token is new at every opening: more incarnations, but never a wrong one.

The record is written after a commit is durable and before anybody is told of it, so it is never
ahead of a file that did not go back.
"""

import os
import stat
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final

from crdtstore import limits

TOKEN_BYTES: Final = 16

_MEMORY: Final = Path("/dev/shm")
_MOUNTS: Final = Path("/proc/mounts")
_RECORD: Final = struct.Struct("<16sQ")
_NUMBER: Final = struct.Struct("<Q")


def went_back(witnessed_number: int, commit_number: int) -> bool:
    """Say whether a file with this last commit is older than what was witnessed of it."""
    return witnessed_number > commit_number


class Witness:
    """The record of one data file, open until ``close``.

    ``directory`` is "" for the machine's own memory. ``token`` is a text in hexadecimal digits.
    """

    def __init__(self, directory: str, file_name: str, commit_number: int) -> None:
        self._path: Path | None = None
        self._descriptor = -1
        token = os.urandom(TOKEN_BYTES)
        place = _place(directory)
        if place is not None:
            with suppress(OSError):
                token = self._open(place / file_name, commit_number, token)
        self.token = token.hex()

    def note(self, commit_number: int) -> None:
        """Remember that the file has this commit; where that fails, the record is given up."""
        if self._descriptor < 0 or self._path is None:
            return
        try:
            os.pwrite(self._descriptor, _NUMBER.pack(commit_number), TOKEN_BYTES)
        except OSError:
            self.close()
            with suppress(OSError):
                self._path.unlink()

    def close(self) -> None:
        """Close the record and leave it for the next opening; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self, path: Path, commit_number: int, new_token: bytes) -> bytes:
        """Return the token of the record, which is made anew where it does not fit the file."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
        try:
            kept = os.pread(descriptor, _RECORD.size, 0)
            token = kept[:TOKEN_BYTES]
            if len(kept) < _RECORD.size or went_back(_RECORD.unpack(kept)[1], commit_number):
                token = new_token
                os.pwrite(descriptor, _RECORD.pack(token, commit_number), 0)
        except OSError:
            os.close(descriptor)
            raise
        self._path, self._descriptor = path, descriptor
        return token


def _place(directory: str) -> Path | None:
    """Return the directory of our records, None where there is none to be trusted."""
    if directory:
        place = Path(directory)
    elif _is_in_memory(_MEMORY):
        place = _MEMORY / f"crdtstore-{os.geteuid()}"
    else:
        return None
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        status = place.lstat()
        is_ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
        if not is_ours or status.st_mode & 0o022:
            return None
        _drop_oldest(place)
    except OSError:
        return None
    return place


def _is_in_memory(path: Path) -> bool:
    try:
        mounts = _MOUNTS.read_text(errors="replace").splitlines()
    except OSError:
        return False
    kinds = [parts[2] for line in mounts if (parts := line.split()) and parts[1] == str(path)]
    return bool(kinds) and kinds[-1] in ("tmpfs", "ramfs")


def _drop_oldest(place: Path) -> None:
    """Keep records of files that are long gone from filling the memory."""
    records = list(os.scandir(place))
    if len(records) <= limits.WITNESS_RECORDS_MAX:
        return
    records.sort(key=lambda record: record.stat().st_mtime_ns)
    for record in records[: len(records) - limits.WITNESS_RECORDS_MAX // 2]:
        with suppress(OSError):
            os.unlink(record.path)
