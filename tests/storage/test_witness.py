"""The witness: a data file that went back is found out, one that did not keeps its token."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from crdtstore import limits
from crdtstore.storage.contract import Batch
from crdtstore.storage.logged_storage import LoggedStorage
from crdtstore.storage.memory_storage import MachineMemory, MemoryStorage
from crdtstore.storage.witness import Witness


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "memory"
    yield place
    shutil.rmtree(place, ignore_errors=True)


def open_at(data: Path, memory: Path) -> LoggedStorage:
    return LoggedStorage.open(data, witness_directory=str(memory))


def write_over(file: Path, content: bytes) -> None:
    """Put content into a file that keeps its inode."""
    inode = file.stat().st_ino
    file.write_bytes(content)
    assert file.stat().st_ino == inode


def test_a_file_that_goes_on_keeps_its_fingerprint(tmp_path: Path, memory: Path) -> None:
    seen = set()
    for number in range(4):
        storage = open_at(tmp_path / "data", memory)
        storage.commit(Batch(meta={"number": str(number).encode()}))
        seen.add(storage.fingerprint)
        storage.close()
    assert len(seen) == 1


def test_a_process_that_is_killed_keeps_its_fingerprint(tmp_path: Path, memory: Path) -> None:
    """A commit whose witness was not written any more leaves a file that is newer."""
    storage = open_at(tmp_path / "data", memory)
    storage._witness.close()
    storage.commit(Batch(meta={"x": b"1"}))
    fingerprint = storage.fingerprint
    storage.close()
    storage = open_at(tmp_path / "data", memory)
    assert storage.fingerprint == fingerprint
    storage.close()


def test_a_file_that_was_put_back_in_place_is_found_out(tmp_path: Path, memory: Path) -> None:
    storage = open_at(tmp_path / "data", memory)
    storage.close()
    old = (tmp_path / "data" / "data.mdb").read_bytes()
    storage = open_at(tmp_path / "data", memory)
    storage.commit(Batch(meta={"x": b"1"}))
    before = storage.fingerprint
    storage.close()
    write_over(tmp_path / "data" / "data.mdb", old)
    storage = open_at(tmp_path / "data", memory)
    after = storage.fingerprint
    storage.close()
    assert before.rpartition(":")[0] == after.rpartition(":")[0], "device and inode are the same"
    assert before != after
    storage = open_at(tmp_path / "data", memory)
    assert storage.fingerprint == after
    storage.close()


def test_a_file_that_was_put_back_and_grew_elsewhere_has_another_token(
    tmp_path: Path, memory: Path
) -> None:
    """Two machines open one volume by turns: each finds that the other one had it."""
    seen = []
    for machine in ("one", "two", "one"):
        storage = open_at(tmp_path / "data", memory.with_name(machine))
        storage.commit(Batch(meta={"x": machine.encode()}))
        seen.append(storage.fingerprint)
        storage.close()
    assert seen[0] == seen[2] != seen[1]


def test_a_machine_that_started_anew_has_another_token(tmp_path: Path, memory: Path) -> None:
    seen = set()
    for _ in range(2):
        storage = open_at(tmp_path / "data", memory)
        seen.add(storage.fingerprint)
        storage.close()
        shutil.rmtree(memory)
    assert len(seen) == 2


def test_a_record_that_is_half_written_counts_as_none(memory: Path) -> None:
    first = Witness(str(memory), "file", 5)
    first.close()
    write_over(memory / "file", b"half")
    second = Witness(str(memory), "file", 5)
    second.close()
    third = Witness(str(memory), "file", 5)
    third.close()
    assert first.token != second.token == third.token


@pytest.mark.parametrize("make", ["a file", "a directory for all", "no parent"])
def test_without_a_place_of_our_own_every_token_is_new(memory: Path, make: str) -> None:
    if make == "a file":
        memory.write_text("")
    elif make == "a directory for all":
        memory.mkdir()
        memory.chmod(0o777)
    else:
        memory = memory / "deeper"
    tokens = set()
    for _ in range(2):
        witness = Witness(str(memory), "file", 1)
        witness.note(2)
        witness.close()
        tokens.add(witness.token)
    assert len(tokens) == 2


def test_a_link_is_not_followed(memory: Path, tmp_path: Path) -> None:
    memory.mkdir(mode=0o700)
    (tmp_path / "precious").write_text("precious")
    (memory / "file").symlink_to(tmp_path / "precious")
    Witness(str(memory), "file", 1).close()
    assert (tmp_path / "precious").read_text() == "precious"


def test_records_of_old_files_are_dropped(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WITNESS_RECORDS_MAX", 10)
    tokens = {}
    for number in range(12):
        witness = Witness(str(memory), str(number), 1)
        witness.close()
        os.utime(memory / str(number), (number, number))
        tokens[number] = witness.token
    assert len(list(memory.iterdir())) == 6, "half of the bound, and the one that came then"
    kept = Witness(str(memory), "11", 1)
    kept.close()
    dropped = Witness(str(memory), "0", 1)
    dropped.close()
    assert kept.token == tokens[11]
    assert dropped.token != tokens[0]


def test_simulated_machines_follow_the_same_rule() -> None:
    numbers = iter(range(100))
    machine = MachineMemory(lambda bits: next(numbers))
    storage = MemoryStorage(machine=machine)
    first = storage.fingerprint
    old = storage.image
    storage.commit(Batch(meta={"x": b"1"}))
    assert storage.reopen().fingerprint == first, "a process that was killed"
    back = storage.reopen(image=old)
    assert back.fingerprint != first, "a volume that was put back"
    assert back.meta("x") is None
    assert back.reopen().fingerprint == back.fingerprint
    anew = MachineMemory(lambda bits: next(numbers))
    assert back.reopen(machine=anew).fingerprint != back.fingerprint, "a machine started anew"
