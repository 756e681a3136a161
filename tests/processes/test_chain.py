"""Three processes in a chain: concurrent edits, a restart in the middle, a kill during a batch."""

import http.client
import threading
from collections.abc import Callable
from typing import Any

from tests.patience import PATIENCE_S, wait_until
from tests.processes.servers import Server, wait_for_equal_digests

BATCH = 200


class Writer(threading.Thread):
    """Writes batches until told to stop or cut off; remembers what was acknowledged."""

    def __init__(self, server: Server, source: str) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.source = source
        self.acknowledged: dict[str, str] = {}
        self.increments = 0
        self.enough = threading.Event()
        self.errors: list[object] = []

    def run(self) -> None:
        number = 0
        while not self.enough.is_set():
            number += 1
            writes: list[dict[str, Any]] = [
                {
                    "id": f"person-{(number * BATCH + index) % 3000}",
                    "source": self.source,
                    "fields": {
                        "email": f"{self.source}-{number}-{index}@example.com",
                        "tags": {"add": [f"{self.source}-{number % 5}"]},
                        "logins": {"increment": 1},
                    },
                }
                for index in range(BATCH)
            ]
            try:
                status, answer = self.server.ask("POST", "/v1/writes", {"writes": writes})
            except (OSError, http.client.HTTPException):
                return
            if status != 200 or any("error" in result for result in answer["results"]):
                self.errors.append(answer)
                return
            for write in writes:
                self.acknowledged[write["id"]] = write["fields"]["email"]
            self.increments += BATCH


def test_a_chain_converges_through_restart_and_kill(server: Callable[[str], Server]) -> None:
    a, b, c = server("a"), server("b"), server("c")
    b.start()
    a.start(b)
    c.start(b)
    writers = [Writer(a, "crm"), Writer(c, "cdp")]
    for writer in writers:
        writer.start()
    wait_until(lambda: len(writers[0].acknowledged) >= 1000, "first writes at a", a.log)

    assert b.stop() == 0
    seen = writers[0].increments
    wait_until(lambda: writers[0].increments > seen + 5 * BATCH, "writes without b", a.log)
    b.start()
    seen = writers[0].increments
    wait_until(lambda: writers[0].increments > seen + 5 * BATCH, "more writes", a.log)

    a.kill()
    writers[0].join(PATIENCE_S)
    a.start(b)
    writers[1].enough.set()
    writers[1].join(PATIENCE_S)
    assert not writers[0].errors
    assert not writers[1].errors

    digest = wait_for_equal_digests(a, b, c)
    assert digest["profiles"] == 3000
    for each in (a, b, c):
        check_acknowledged(each, writers)
    for each in (a, b, c):
        assert each.stop() == 0


def check_acknowledged(server: Server, writers: list[Writer]) -> None:
    """Every acknowledged write is there: it stands, or a later one of its source does."""
    total = 0
    after = ""
    while True:
        _, page = server.ask("GET", f"/v1/profiles?limit=1000&after={after}")
        if not page["profiles"]:
            break
        total += sum(profile["fields"].get("logins", 0) for profile in page["profiles"])
        after = page["profiles"][-1]["id"]
    acknowledged = sum(writer.increments for writer in writers)
    assert acknowledged <= total <= acknowledged + BATCH, "one batch may be durable, unanswered"
    for writer in writers:
        for profile_id, email in list(writer.acknowledged.items())[::50]:
            _, body = server.ask("GET", f"/v1/profiles/{profile_id}/explain?field=email")
            mine = [each for each in body["candidates"] if each["source"] == writer.source]
            assert len(mine) == 1
            assert _number(mine[0]["value"]) >= _number(email)


def _number(email: str) -> int:
    return int(email.split("-")[1])
