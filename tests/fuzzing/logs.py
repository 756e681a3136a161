"""Target: the commit log as a disk gives it back."""

import random
import tempfile
from functools import cache
from pathlib import Path

from crdtstore.errors import StorageCorrupt
from crdtstore.storage.commit_log import LOG_FILE, CommitLog
from tests.fuzzing.target import Broken, Target

FIRST = 4
SECTOR_BYTES = 512
EDIT_BYTES = 5
EDITS_MAX = 4


@cache
def _folder() -> Path:
    memory = Path("/dev") / "shm"
    where = memory if memory.is_dir() else None
    return Path(tempfile.mkdtemp(prefix="crdtstore-fuzzing-", dir=where))


@cache
def _payloads() -> list[bytes]:
    chance = random.Random(1)
    return [chance.randbytes(size) for size in (0, 1, 480, 481, 700, 90)]


@cache
def _written() -> bytes:
    """Return the bytes of a log of six records, behind which older ones lie."""
    path = _folder() / LOG_FILE
    path.unlink(missing_ok=True)
    log = CommitLog(_folder(), 0)
    for number in range(12):
        log.append(number - 8 if number > 8 else 1, bytes(300))
    log.rewind()
    for number, payload in enumerate(_payloads()):
        log.append(FIRST + number, payload)
    log.close()
    return path.read_bytes()[: 14 * SECTOR_BYTES]


def run(data: bytes) -> None:
    """A damaged log gives the records that it held, but for the last one perhaps, or refuses.

    A log that ends early, and one whose first sector is a later one, may be sound: that is what a
    crash leaves, and a data file that was put back alone. They may give less.
    """
    content = bytearray(_written())
    edits = range(0, min(len(data), EDITS_MAX * EDIT_BYTES), EDIT_BYTES)
    for start in edits:
        _edit(content, data[start : start + EDIT_BYTES].ljust(EDIT_BYTES, b"\0"))
    (_folder() / LOG_FILE).write_bytes(content)
    try:
        log = CommitLog(_folder(), FIRST - 1)
    except StorageCorrupt:
        return
    log.close()
    found = log.payloads
    if found != _payloads()[: len(found)]:
        raise Broken(f"a log gives other records than it held: {[len(p) for p in found]}")
    is_damage = len(edits) == 1 and data[0] % 5 in (0, 1, 3)
    if is_damage and len(found) < len(_payloads()) - 1:
        raise Broken(f"one change has lost all after record {len(found)}, and nobody is told")


def _edit(content: bytearray, edit: bytes) -> None:
    """Change a log as five bytes say: what to do, where, and with what."""
    if not content:
        return
    place = int.from_bytes(edit[1:3], "big") % len(content)
    sector = place - place % SECTOR_BYTES
    other = int.from_bytes(edit[3:5], "big") % len(content) // SECTOR_BYTES * SECTOR_BYTES
    match edit[0] % 5:
        case 0:
            content[place] ^= 1 << edit[4] % 8
        case 1:
            content[place] = edit[4]
        case 2:
            del content[place:]
        case 3:
            content[sector : sector + SECTOR_BYTES] = bytes(SECTOR_BYTES)
        case 4:
            content[sector : sector + SECTOR_BYTES] = content[other : other + SECTOR_BYTES]


def edits() -> list[bytes]:
    """One change of each kind in each sector."""
    return [
        bytes((what,)) + (sector * SECTOR_BYTES + 9).to_bytes(2, "big") + b"\x02\x01"
        for what in range(5)
        for sector in range(10)
    ]


LOG = Target(
    "commit-log", run, edits, input_bytes_max=EDITS_MAX * EDIT_BYTES, memory_bytes=24 << 20
)
