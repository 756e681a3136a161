"""Lanes of writers over HTTP: threads that post batches, and the profiles that a server shows."""

import http.client
import threading
import time
from typing import Any

from tests.faults.promises import Promises
from tests.patience import PATIENCE_S
from tests.processes.servers import Server


class HttpLane(threading.Thread):
    """Writes one batch after the other at a server until told to stop or not answered.

    ``promises`` is shared by lanes of several servers, so ``lock`` guards it. ``slowest_s`` is the
    longest that a batch took.
    """

    def __init__(
        self, server: Server, lane: str, promises: Promises, lock: threading.Lock, wait_s: float = 0
    ) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.lane = lane
        self.batches = 0
        self.slowest_s = 0.0
        self.refusals: list[Any] = []
        self._promises = promises
        self._lock = lock
        self._wait_s = wait_s
        self._enough = threading.Event()

    def run(self) -> None:
        while not self._enough.wait(self._wait_s):
            with self._lock:
                number = self._promises.next_number(self.lane)
                batch = self._promises.batch(self.lane, number)
            started_s = time.monotonic()
            is_kept = False
            try:
                writes = [entry.body() for entry in batch.entries]
                status, answer = self.server.ask("POST", "/v1/writes", {"writes": writes})
                is_kept = status == 200 and not any("error" in each for each in answer["results"])
                if is_kept and batch.erased:
                    status, answer = self.server.ask("DELETE", f"/v1/profiles/{batch.erased}")
                    is_kept = status == 200
            except (OSError, http.client.HTTPException) as error:
                is_kept, answer = False, error
            with self._lock:
                if not is_kept:
                    self._promises.tried(self.lane, number)
                    self.refusals.append(answer)
                    return
                self._promises.answered(self.lane, number)
            self.batches += 1
            self.slowest_s = max(self.slowest_s, time.monotonic() - started_s)

    def stop(self) -> None:
        """Let the lane end after the batch under way, and wait for that."""
        self._enough.set()
        self.join(PATIENCE_S)
        assert not self.is_alive(), f"{self.lane} waits for an answer"

    def wait_for(self, batches: int, patience_s: float = PATIENCE_S) -> None:
        """Wait until so many more batches were answered."""
        goal = self.batches + batches
        deadline_s = time.monotonic() + patience_s
        while self.batches < goal:
            assert self.is_alive(), self.refusals
            assert time.monotonic() < deadline_s, f"{self.lane} makes no progress"
            time.sleep(0.005)


def profiles_at(server: Server) -> dict[str, dict[str, Any]]:
    """Return all living profiles that a server shows."""
    found: dict[str, dict[str, Any]] = {}
    after = ""
    while True:
        status, page = server.ask("GET", f"/v1/profiles?limit=1000&after={after}")
        assert status == 200, page
        if not page["profiles"]:
            return found
        found |= {profile["id"]: profile["fields"] for profile in page["profiles"]}
        after = page["profiles"][-1]["id"]


def check_servers(promises: Promises, *servers: Server, patience_s: float = PATIENCE_S) -> float:
    """Wait until servers are equal, check each of them, and return how many seconds it took."""
    started_s = time.monotonic()
    while True:
        digests = [server.digest() for server in servers]
        if all(digest == digests[0] for digest in digests):
            break
        waited_s = time.monotonic() - started_s
        assert waited_s < patience_s, (digests, [s.log.read_text()[-2_000:] for s in servers])
        time.sleep(0.02)
    took_s = time.monotonic() - started_s
    for server in servers:
        promises.check(profiles_at(server))
        report = server.ask("GET", "/v1/verify")[1]
        assert report["is_sound"], (server.name, report)
    return took_s
