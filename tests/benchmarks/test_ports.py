"""Ports for servers that come later: free, and nobody else's meanwhile."""

import os
import random
import socket
import subprocess
import sys

import pytest

from benchmarks import ports
from benchmarks.ports import free_port
from tests.processes.servers import ROOT


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    """Let there be eight ports, that are free now; return the first."""
    first = free_port(8)
    for holder in ports._held.pop():
        holder.close()
    monkeypatch.setattr(ports, "_FIRST", first)
    monkeypatch.setattr(ports, "_LAST", first + 8)
    return first


def test_a_port_is_given_once_and_not_while_somebody_listens(few: int) -> None:
    with socket.create_server(("127.0.0.1", few + 4)):
        given = {free_port() for _ in range(6)}
    assert given < {*range(few, few + 8)} - {few + 4}
    assert len(given) == 6
    for port in given:
        socket.create_server(("127.0.0.1", port)).close()


def test_several_are_in_a_row(few: int) -> None:
    assert free_port(3) != free_port(3)
    with socket.create_server(("127.0.0.1", free_port())) as server:
        assert few <= server.getsockname()[1] < few + 8


def test_that_there_is_none_is_told(few: int) -> None:
    assert free_port(8) == few
    with pytest.raises(OSError, match="no 2 ports in a row"):
        free_port(2)


def test_another_process_is_given_others(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        "import random; from benchmarks.ports import free_port\n"
        "random.seed(5); print(*(free_port() for _ in range(20)))\n"
    )
    told = []
    for _ in range(2):
        random.seed(5)
        told.append({free_port() for _ in range(20)})
        shown = subprocess.run(
            [sys.executable, "-c", text], capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        ).stdout  # fmt: skip
        told.append({int(word) for word in shown.split()})
    assert told[0].isdisjoint(told[1])
    assert told[0].isdisjoint(told[2])
