"""Server processes for one test each, killed at its end."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.processes.servers import Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Callable[[str], Server]]:
    made: list[Server] = []

    def make(name: str) -> Server:
        made.append(Server(name, tmp_path / name, tmp_path / f"{name}.log"))
        return made[-1]

    yield make
    for each in made:
        each.end()
