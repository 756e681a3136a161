"""Real processes: a backup under load, the origin killed, restored elsewhere, nothing lost."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from crdtstore import Store
from crdtstore.replica.backups import check_backup, restore_backup
from tests.patience import PATIENCE_S, wait_until
from tests.processes.servers import ROOT, Server, wait_for_equal_digests
from tests.processes.test_chain import Writer, check_acknowledged


def command(*words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "crdtstore.cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def run(*words: str) -> str:
    process = command(*words)
    output = process.communicate(timeout=PATIENCE_S)[0]
    assert process.returncode == 0, output
    return output


def has_begun(partial: Path) -> bool:
    """Say whether something of a backup is there; it may be renamed at any moment."""
    with suppress(FileNotFoundError):
        return partial.stat().st_size > 0
    return False


def is_erased(server: Server) -> bool:
    """Say whether the profile is gone; a restored replica says nothing before it has caught up."""
    return bool(server.ask("GET", "/v1/profiles/forgotten")[0] == 410)


def test_a_replica_is_restored_from_a_backup_taken_under_load(
    server: Callable[[str], Server], tmp_path: Path
) -> None:
    eu, us = server("eu"), server("us")
    us.start()
    eu.start(us)
    eu.ask("PATCH", "/v1/profiles/forgotten", {"source": "crm", "fields": {"email": "f@e.com"}})
    writer = Writer(eu, "crm")
    writer.start()
    wait_until(lambda: writer.increments > 2_000, "first writes", eu.log)
    path = tmp_path / "eu.backup"
    run("backup", str(path), "--url", eu.url)
    manifest = check_backup(path).manifest
    seen = writer.increments
    wait_until(lambda: writer.increments > seen + 1_000, "writes after the backup", eu.log)
    status, _ = eu.ask("DELETE", "/v1/profiles/forgotten")
    assert status == 200
    writer.enough.set()
    writer.join(PATIENCE_S)
    assert not writer.errors
    wait_for_equal_digests(eu, us)
    eu.kill()

    new = server("new")
    assert manifest.digest in run("restore", str(path), str(new.directory))
    new.name = "eu"
    new.start()
    restored = new.digest()
    assert (restored["digest"], restored["profiles"]) == (manifest.digest, manifest.profiles)
    status, problem = new.ask("GET", "/v1/profiles/forgotten")
    assert (status, problem["type"]) == (503, "urn:crdtstore:error:replica-returning")
    assert new.ask("GET", "/v1/status")[1]["origin"] != manifest.origin
    assert new.stop() == 0

    new.start(us)
    after = wait_for_equal_digests(new, us)
    assert after["profiles"] == us.digest()["profiles"]
    for each in (new, us):
        wait_until(partial(is_erased, each), "the erasure", each.log)
        check_acknowledged(each, [writer])
    body = {"source": "crm", "fields": {"x": 1}}
    assert new.ask("PATCH", "/v1/profiles/later", body)[0] == 200
    wait_for_equal_digests(new, us)
    assert us.ask("GET", "/v1/profiles/later")[0] == 200


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that takes a while to be backed up, to be copied."""
    directory = tmp_path_factory.mktemp("large") / "eu"
    with Store.open(directory, name="eu") as store:
        for number in range(1_500):
            store.write(f"p{number}", {"x": os.urandom(40_000)}, source="crm")
    return directory


def copied(large: Path, directory: Path) -> str:
    """Put a copy of a store there; return its digest."""
    shutil.copytree(large, directory)
    with Store.open(directory, name="eu") as store:
        return store.digest().digest


@pytest.mark.parametrize("delay_s", [0.0, 0.015, 0.03, 0.045])
def test_a_kill_during_a_backup_leaves_a_sound_store_and_no_backup(
    large: Path, tmp_path: Path, delay_s: float
) -> None:
    digest = copied(large, tmp_path / "eu")
    path = tmp_path / "eu.backup"
    process = command("backup", str(path), "--data", str(tmp_path / "eu"))
    while not (tmp_path / "eu.backup.partial").exists():
        if process.poll() is not None:  # it was done before we looked
            assert process.returncode == 0, process.communicate()
            break
        time.sleep(0.001)
    time.sleep(delay_s)
    process.kill()
    process.communicate()
    if path.exists():
        assert check_backup(path).manifest.digest == digest, "whole, or not there"
        path.unlink()
    run("backup", str(path), "--data", str(tmp_path / "eu"))
    assert sorted(os.listdir(tmp_path)) == ["eu", "eu.backup"]
    restore_backup(path, tmp_path / "new")
    with Store.open(tmp_path / "new", name="eu") as store:
        assert store.digest().digest == digest
        assert store.verify().is_sound


def test_a_server_killed_while_it_sends_a_backup(
    server: Callable[[str], Server], large: Path, tmp_path: Path
) -> None:
    copied(large, tmp_path / "eu")
    eu = server("eu").start()
    path = tmp_path / "eu.backup"
    process = command("backup", str(path), "--url", eu.url)
    partial = tmp_path / "eu.backup.partial"
    wait_until(lambda: process.poll() is not None or has_begun(partial), "a first part", eu.log)
    eu.kill()
    output = process.communicate(timeout=PATIENCE_S)[0]
    if process.returncode == 0:
        assert check_backup(path)
    else:
        assert not path.exists(), output
        assert len(output.splitlines()) == 1, output
    assert not partial.exists()
    eu.start()
    assert eu.ask("GET", "/v1/verify")[1]["is_sound"]
    assert set(os.listdir(eu.directory)) <= {
        "FORMAT", "LOCK", "data.mdb", "lock.mdb", "ballast", "commits.log"
    }  # fmt: skip
