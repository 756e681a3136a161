"""Two processes that wrote the same while apart, are linked, and are killed: the log is there."""

from collections.abc import Callable
from typing import Any

from tests.processes.servers import Server, wait_for_equal_digests

COUNT = 40


def conflicts(server: Server, state: str = "open") -> dict[str, Any]:
    status, page = server.ask("GET", f"/v1/conflicts?state={state}&limit=1000")
    assert status == 200, page
    return {conflict["id"]: conflict for conflict in page["conflicts"]}


def test_no_conflict_is_lost_by_a_kill(server: Callable[[str], Server]) -> None:
    eu, us = server("eu"), server("us")
    for each in (eu, us):
        each.start()
        writes = [
            {"id": f"p{number}", "source": "crm", "fields": {"name": f"{each.name} {number}"}}
            for number in range(COUNT)
        ]
        status, answer = each.ask("POST", "/v1/writes", {"writes": writes})
        assert status == 200, answer
        each.kill()
    us.start()
    eu.start(us)
    wait_for_equal_digests(eu, us)
    found = conflicts(eu)
    assert len(found) == COUNT
    assert conflicts(us).keys() == found.keys()
    eu.kill()
    us.kill()
    us.start()
    eu.start(us)
    wait_for_equal_digests(eu, us)
    assert conflicts(eu) == found
    assert conflicts(us).keys() == found.keys()

    chosen, erased, *_ = sorted(found)
    status, answer = us.ask("POST", f"/v1/conflicts/{chosen}/choose", {"choice": "lost"})
    assert status == 200, answer
    us.kill()  # it was answered: it is durable
    us.start()
    status, _ = us.ask("DELETE", f"/v1/profiles/{found[erased]['profile']}")
    assert status == 200
    wait_for_equal_digests(eu, us)
    eu.kill()
    eu.start(us)
    wait_for_equal_digests(eu, us)
    for each in (eu, us):
        assert conflicts(each).keys() == found.keys() - {chosen, erased}
        assert conflicts(each, "settled").keys() == {chosen}
        profile = found[chosen]["profile"]
        _, record = each.ask("GET", f"/v1/profiles/{profile}")
        assert record["fields"]["name"] == found[chosen]["lost"]["value"]
