"""Peers that take events are sent what ours is sent, and what they lose is seen."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from benchmarks import process_trees
from benchmarks.ending import run_until_told
from benchmarks.event_dialects import DIALECTS
from benchmarks.event_mix import Visitors, introductions
from benchmarks.event_peers.course import run_course
from benchmarks.event_peers.subject import Offer
from benchmarks.event_peers.unomi_install import java_version
from benchmarks.processes import Child, Missing
from benchmarks.subject import Kind

BURN = "import time\nwhile time.process_time() < 0.3: pass"


def test_segment_is_sent_as_it_is() -> None:
    body = introductions(0, 100)
    (request,) = DIALECTS["segment"](body, 100)
    assert request.body == body
    assert request.path == "/v1/batch"
    assert request.events == 100


def test_unomi_is_sent_every_event_once_by_person_in_order() -> None:
    body = Visitors("client", 20, 7).batch(100)
    items = json.loads(body)["batch"]
    requests = DIALECTS["unomi"](body, 100)
    assert len(requests) == len({item["userId"] for item in items})
    for request in requests:
        person = request.headers["Cookie"].removeprefix("context-profile-id=")
        sent = json.loads(request.body)["events"]
        wanted = [item for item in items if item["userId"] == person]
        assert [event["properties"]["messageId"] for event in sent] == [
            item["messageId"] for item in wanted
        ]
        assert request.events == len(sent)
        assert [event["eventType"] for event in sent] == [item["type"] for item in wanted]
        for event, item in zip(sent, wanted, strict=True):
            given = item.get("properties") or item.get("traits")
            assert event["properties"].items() >= given.items()


@dataclass
class Forgetful:
    """A service that answers all batches and keeps all but one of its introduction's size."""

    name: str = "forgetful"
    kind: Kind = "reference"
    dialect: str = "segment"
    is_quick: bool = True
    differs: str = "It forgets."
    offers: Sequence[Offer] = ()
    url: str = ""
    processes: Sequence[Child] = ()
    events: list[str] = field(default_factory=list)
    batches: int = 0
    forgotten: int = 0

    def prepare(self, install: bool) -> dict[str, str]:
        return {}

    async def stored(self) -> int:
        return len(self.events)

    async def _collect(self, request: web.Request) -> web.Response:
        items = json.loads(await request.read())["batch"]
        self.batches += 1
        if self.batches % 4 == 0:
            self.forgotten += len(items)
        else:
            self.events += [item["messageId"] for item in items]
        return web.Response()

    @contextlib.asynccontextmanager
    async def running(self, directory: Path) -> AsyncIterator["Forgetful"]:
        app = web.Application()
        app.router.add_post("/v1/batch", self._collect)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield self
        await runner.cleanup()


def test_what_a_peer_answers_and_does_not_keep_is_lost() -> None:
    peer = Forgetful()
    rows = run_until_told(run_course(peer, 100, [Offer(1_000, 1)]))
    assert list(rows) == ["1,000/s"]
    assert rows["1,000/s"]["accepted_share"] == 1
    assert rows["1,000/s"]["lost"] == peer.forgotten > 0
    assert len(peer.events) == len(set(peer.events))


def test_time_of_children_counts_while_they_live_and_when_they_ended() -> None:
    script = f"import subprocess, sys, time\nsubprocess.run([sys.executable, '-c', {BURN!r}])\n"
    script += "print('ended', flush=True)\nsys.stdin.read()"
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        deadline, most = time.monotonic() + 30, 0.0
        while time.monotonic() < deadline and most < 0.2:
            most = process_trees.processor_s(parent.pid)
        assert parent.stdout.readline() == b"ended\n"
        assert process_trees.processor_s(parent.pid) >= 0.3
        assert process_trees.peak_bytes(parent.pid) > 2**20
        parent.communicate()
    assert most >= 0.2


@pytest.mark.parametrize(
    ("version", "is_fit"), [("17.0.15", True), ("11.0.2", True), ("25", False)]
)
def test_java_is_of_a_version_that_both_programs_run_on(
    version: str, is_fit: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "java"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2026-01-01' >&2\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    if is_fit:
        assert java_version() == version
    else:
        with pytest.raises(Missing, match="needs Java 11 to 17"):
            java_version()
