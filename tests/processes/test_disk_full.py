"""A server process on a disk that fills up: refusals are clear, reads go on, and it resumes."""

import os
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.patience import wait_until
from tests.processes.servers import Server

SMALL_BYTES = 24 * 1024 * 1024
LARGE_BYTES = 3 * SMALL_BYTES


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    path = tmp_path / "disk"
    path.mkdir()
    options = f"size={SMALL_BYTES}"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"this machine mounts no small disk: {mounted.stderr.strip()}")
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


def fill(server: Server) -> tuple[list[str], int]:
    """Write until a write is refused; return the ids of the acknowledged and the status."""
    kept: list[str] = []
    for number in range(5_000):
        profile_id = f"p{number}"
        text = random.Random(number).randbytes(25_000).hex()
        body = {"source": "crm", "fields": {"text": text}}
        status, answer = server.ask("PATCH", f"/v1/profiles/{profile_id}", body)
        if status != 200:
            assert answer["type"] == "urn:crdtstore:error:storage-full"
            return kept, status
        kept.append(profile_id)
    raise AssertionError("the disk did not fill up")


def test_a_full_disk_refuses_writes_and_loses_nothing(
    small_disk: Path, server: Callable[[str], Server]
) -> None:
    eu = server("eu")
    eu.directory = small_disk / "eu"
    eu.start()
    kept, status = fill(eu)
    assert status == 507
    assert len(kept) > 20
    assert eu.ask("GET", f"/v1/profiles/p{len(kept)}")[0] == 404, "the refused write left nothing"
    assert eu.ask("GET", f"/v1/profiles/{kept[0]}")[0] == 200, "reads go on"
    assert eu.digest()["profiles"] == len(kept)

    status, answer = eu.ask("DELETE", f"/v1/profiles/{kept[0]}")
    assert status == 200, answer
    assert eu.ask("GET", f"/v1/profiles/{kept[0]}")[0] == 410, "an erasure is still possible"

    eu.kill()
    eu.start()
    assert eu.digest()["profiles"] == len(kept) - 1
    assert eu.ask("GET", f"/v1/profiles/{kept[0]}")[0] == 410

    subprocess.run(["mount", "-o", f"remount,size={LARGE_BYTES}", str(small_disk)], check=True)

    def is_written() -> bool:
        body = {"source": "crm", "fields": {"text": "room again"}}
        return bool(eu.ask("PATCH", "/v1/profiles/later", body)[0] == 200)

    wait_until(is_written, "writes to go on", eu.log)
    assert eu.ask("GET", "/v1/verify")[1]["is_sound"]
    assert eu.stop() == 0
