"""Clients of a server process that is killed while they write: counters are exact afterwards."""

import threading
from collections.abc import Callable

from crdtstore import SyncClient, add, increment
from tests.patience import PATIENCE_S, wait_until
from tests.processes.servers import Server

ROUNDS = 4
PROFILES = 50


class Writer(threading.Thread):
    """Counts up through a client of its own, until told to stop."""

    def __init__(self, server: Server, source: str, *, waits: bool) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.source = source
        self.waits = waits
        self.written = 0
        self.enough = threading.Event()

    def run(self) -> None:
        with SyncClient(self.server.url) as client:
            while not self.enough.is_set():
                profile_id = f"p{self.written % PROFILES}"
                fields = {
                    "n": increment(), "last": self.written, "tags": add(f"t{self.written % 7}")
                }  # fmt: skip
                if self.waits:
                    assert client.write(profile_id, fields, source=self.source)
                else:
                    client.submit(profile_id, fields, source=self.source)
                self.written += 1
                if self.written % 100 == 0:
                    self.enough.wait(0.005)  # or most of the test is what a flood leaves to do


def test_kills_in_the_middle_of_streams_lose_and_repeat_nothing(
    server: Callable[[str], Server],
) -> None:
    eu = server("eu").start()
    writers = [Writer(eu, "crm", waits=False), Writer(eu, "cdp", waits=True)]
    for writer in writers:
        writer.start()
    for _ in range(ROUNDS):
        seen = [writer.written for writer in writers]
        wait_until(
            lambda seen=seen: all(
                writer.written >= before + 40
                for writer, before in zip(writers, seen, strict=True)
            ),
            "writes of both", eu.log,
        )  # fmt: skip
        eu.kill()
        eu.start()
    for writer in writers:
        writer.enough.set()
    for writer in writers:
        writer.join(PATIENCE_S)
        assert not writer.is_alive()
    total = sum(writer.written for writer in writers)
    profiles = eu.ask("GET", "/v1/profiles?limit=1000")[1]["profiles"]
    assert sum(profile["fields"]["n"] for profile in profiles) == total
    for writer in writers:
        for place in range(PROFILES):
            answer = eu.ask("GET", f"/v1/profiles/p{place}/explain?field=last")[1]
            (mine,) = [c["value"] for c in answer["candidates"] if c["source"] == writer.source]
            last = (writer.written - 1 - place) // PROFILES * PROFILES + place
            assert mine == last, "the last one in order stands"
    assert eu.ask("GET", "/v1/status")[1]["write_sessions"] == 0
