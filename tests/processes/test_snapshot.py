"""A fresh process joins one of 100,000 profiles, is killed half way, and goes on."""

from collections.abc import Callable

from crdtstore import Store
from crdtstore.engine.snapshots import SnapshotProgress
from tests.patience import wait_until
from tests.processes.servers import Server, wait_for_equal_digests

PROFILES = 100_000


def counted(server: Server, name: str) -> int:
    _, status = server.ask("GET", "/v1/status")
    return int(status["counters"][name])


def received(server: Server) -> int:
    return counted(server, "snapshot_documents")


def test_an_interrupted_snapshot_goes_on(server: Callable[[str], Server]) -> None:
    full, fresh = server("full"), server("fresh")
    with Store.open(full.directory, name="full") as store:
        for number in range(PROFILES):
            fields = {"email": f"{number}@example.com", "name": f"N. {number}", "tags": number % 7}
            store.write(f"customer-{number:06d}", fields, source="crm")
            if number % 2000 == 0:
                store.commit()
    full.start()
    fresh.start(full)
    wait_until(lambda: received(fresh) > 0, "a first chunk", fresh.log)
    assert fresh.ask("GET", "/readyz")[0] == 503
    wait_until(lambda: received(fresh) >= PROFILES // 3, "a third", fresh.log)
    commits = counted(fresh, "commits")  # and one that may have begun before the first chunk
    wait_until(lambda: counted(fresh, "commits") >= commits + 2, "some of it on disk", fresh.log)
    fresh.kill()

    with Store.open(fresh.directory, name="fresh") as store:
        progress = store.replication.progress
        kept = store.digest().profiles
    assert isinstance(progress, SnapshotProgress)
    assert 0 < kept < PROFILES

    fresh.start(full)
    digest = wait_for_equal_digests(full, fresh)
    assert digest["profiles"] == PROFILES
    assert received(fresh) <= PROFILES - kept, "it went on where it was, not from the start"
    assert fresh.ask("GET", "/readyz")[0] == 200
    status, profile = fresh.ask("GET", "/v1/profiles/customer-054321")
    assert status == 200
    assert profile["fields"] == {"email": "54321@example.com", "name": "N. 54321", "tags": 1}
    full.ask("PATCH", "/v1/profiles/new", {"source": "crm", "fields": {"x": 1}})
    assert wait_for_equal_digests(full, fresh)["profiles"] == PROFILES + 1
