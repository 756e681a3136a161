"""An erasure on real processes: nothing of the person is left in any file of three replicas, one of
which was away and one of which was restored from a backup."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from crdtstore.cli.main import main
from tests.patience import wait_until
from tests.processes.servers import Server, wait_for_equal_digests
from tests.storage.deflated import with_inflated

SECRET = "Annelotte-Quast"
EMAIL = "annelotte.quast@example.com"


def files_with_the_secret(*servers: Server) -> dict[str, int]:
    """Return every file of the data directories in which the person still is."""
    found = {}
    for server in servers:
        for path in server.directory.iterdir():
            content = with_inflated(path.read_bytes())
            count = content.count(SECRET.encode()) + content.count(EMAIL.encode())
            if count:
                found[f"{server.directory.name}/{path.name}"] = count
    return found


def write(server: Server, profile_id: str, **fields: Any) -> None:
    body = {"source": "crm", "fields": fields}
    status, answer = server.ask("PATCH", f"/v1/profiles/{profile_id}", body)
    assert status == 200, answer


def states(server: Server, erasure_id: str) -> dict[str, str]:
    status, erasure = server.ask("GET", f"/v1/erasures/{erasure_id}")
    return {each["name"]: each["state"] for each in erasure["replicas"]} if status == 200 else {}


def fill(server: Server, profile_id: str) -> None:
    """Write the person often, in values small and large, among others."""
    identifiers = {"add": [f"email:{EMAIL}", f"anonymous_id:{profile_id}"]}
    write(server, profile_id, identifiers=identifiers, name=SECRET)
    for number in range(60):
        write(server, profile_id, name=f"{SECRET} {number}", note=SECRET * (1 + 30 * (number % 9)))
        write(server, f"other-{number}", name="somebody", note="x" * (number * 7))


def test_no_byte_is_left_in_three_replicas(
    server: Callable[[str], Server], tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    eu, us, ap = server("eu"), server("us"), server("ap")
    for each in (eu, us, ap):
        each.environment = {"CRDTSTORE_ERASURE_GRACE_MS": "500"}
    us.start()
    eu.start(us)
    ap.start(us)
    fill(eu, "crm-17")
    wait_for_equal_digests(eu, us, ap)
    fill(us, "cdp-4711")
    wait_for_equal_digests(eu, us, ap)
    backup = tmp_path / "eu.backup"
    assert main(["backup", str(backup), "--url", eu.url]) == 0
    assert SECRET.encode() in with_inflated(backup.read_bytes())

    ap.stop()
    ap.start()  # with no link: it meets the person on its own
    fill(ap, "sms-9")
    ap.kill()
    assert {name.split("/")[0] for name in files_with_the_secret(eu, us, ap)} == {"eu", "us", "ap"}

    status, erasure = us.ask("DELETE", f"/v1/persons?identifier=email:{EMAIL}&source=dpo")
    assert status == 200
    assert erasure["profiles"] == ["cdp-4711", "crm-17"]
    expected = {"eu": "confirmed", "us": "confirmed", "ap": "unheard"}
    wait_until(lambda: states(eu, erasure["id"]) == expected, "two receipts", us.log)
    assert files_with_the_secret(eu, us) == {}
    resync = {"source": "crm", "fields": {"identifiers": {"add": [f"email:{EMAIL}"]}}}
    status, problem = eu.ask("PATCH", "/v1/profiles/crm-18", resync)
    assert (status, problem["type"]) == (409, "urn:crdtstore:error:identifier-suppressed")

    eu.stop()
    new = server("restored")
    new.environment = eu.environment
    assert main(["restore", str(backup), str(new.directory)]) == 0
    new.name = "eu"
    new.start()
    assert new.ask("GET", "/readyz")[0] == 503
    for path in ("/v1/profiles/crm-17", "/v1/profiles", f"/v1/persons?identifier=email:{EMAIL}"):
        assert new.ask("GET", path)[0] == 503, "nothing is read before a peer was met"
    new.stop()
    new.start(us)
    wait_until(lambda: new.ask("GET", "/readyz")[0] == 200, "the peer to be met", new.log)
    assert new.ask("GET", "/v1/profiles/crm-17")[0] == 410
    wait_until(lambda: not files_with_the_secret(new), "a clean restored replica", new.log)

    ap.start(us)
    wait_for_equal_digests(new, us, ap)
    three = dict.fromkeys(("eu", "us", "ap"), "confirmed")
    wait_until(lambda: states(ap, erasure["id"]) == three, "three receipts", ap.log)
    wait_until(lambda: not files_with_the_secret(new, us, ap), "three clean replicas", us.log)
    wait_for_equal_digests(new, us, ap)
    for each in (new, us, ap):
        assert each.ask("GET", "/v1/profiles/sms-9")[0] == 410
        assert each.ask("GET", f"/v1/persons?identifier=email:{EMAIL}")[0] == 404
        assert each.ask("GET", "/v1/verify")[1]["is_sound"]
    monkeypatch.setenv("CRDTSTORE_URL", us.url)
    capsys.readouterr()
    assert main(["erasure", erasure["id"], "--report"]) == 0
    assert "3 of 3 replicas have confirmed." in capsys.readouterr().out
    assert main(["erasure", "--json"]) == 0
    assert [each["id"] for each in json.loads(capsys.readouterr().out)] == [erasure["id"]]
