"""The commands that ask a server: get, put, explain, changes, status, verify."""

import argparse
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

from crdtstore import limits
from crdtstore.cli.client import Client, RequestFailed, profile_path
from crdtstore.cli.configuration import read_secret
from crdtstore.cli.fields import fields_of
from crdtstore.cli.tables import (
    print_json,
    print_json_line,
    print_line,
    print_table,
    show_bytes,
    show_value,
)

_DEFAULT_URL = "http://127.0.0.1:8401"
_POLL_S = 0.5


def client_of(arguments: argparse.Namespace, url: str | None = None) -> Client:
    """Return the client that --url, --token-file and the environment ask for."""
    address = url or arguments.url or os.environ.get("CRDTSTORE_URL") or _DEFAULT_URL
    return Client(address, read_secret("token", arguments.token_file, os.environ, None))


def run_get(arguments: argparse.Namespace) -> int:
    """Show one profile, or a page of all."""
    client = client_of(arguments)
    if arguments.id is None:
        return _list(client, arguments)
    profile = client.get(profile_path(arguments.id))
    if arguments.json:
        print_json(profile)
        return 0
    rows = [(field, show_value(value)) for field, value in profile["fields"].items()]
    print_table(("FIELD", "VALUE"), rows, f"{profile['id']}  version {profile['version']}")
    for conflict in profile.get("conflicts", ()):
        kinds = " and ".join(conflict["kinds"])
        print(f"field {conflict['field']} has a kind conflict: it was written as {kinds}")
    return 0


def _list(client: Client, arguments: argparse.Namespace) -> int:
    page = client.get("/v1/profiles", after=arguments.after, limit=arguments.limit)
    if arguments.json:
        print_json(page)
        return 0
    rows = [
        (profile["id"], ", ".join(f"{f}={show_value(v)}" for f, v in profile["fields"].items()))
        for profile in page["profiles"]
    ]
    print_table(("ID", "FIELDS"), rows)
    if page["next"] is not None:
        print(f"there may be more: --after {page['next']}")
    return 0


def run_put(arguments: argparse.Namespace) -> int:
    """Write what one source says about a profile."""
    source = arguments.source or os.environ.get("CRDTSTORE_SOURCE")
    if not source:
        raise RequestFailed("who says so? give --source, or set CRDTSTORE_SOURCE")
    headers = {"If-Match": f'"{arguments.if_version}"'} if arguments.if_version else {}
    body = {"source": source, "fields": fields_of(arguments)}
    result = client_of(arguments).patch(profile_path(arguments.id), body, headers)
    if arguments.json:
        print_json(result)
    elif result["changed"]:
        print(f"{result['id']}: changed {', '.join(result['changed'])}; now {result['version']}")
    else:
        print(f"{result['id']}: nothing new; still {result['version']}")
    return 0


def run_explain(arguments: argparse.Namespace) -> int:
    """Show every candidate of every field, and the rule that chose."""
    path = profile_path(arguments.id) + "/explain"
    answer = client_of(arguments).get(path, field=arguments.field)
    if arguments.json:
        print_json(answer)
        return 0
    print_candidates(answer)
    return 0


def print_candidates(answer: Mapping[str, Any], *, with_profile: bool = False) -> None:
    """Print the candidates of a profile or a person, with the profile of each if asked."""
    rows = [
        (
            candidate["field"],
            "*" if candidate["survives"] else "",
            show_value(candidate["value"]),
            *((candidate["profile"],) if with_profile else ()),
            candidate["source"],
            candidate["at"][:23],
            candidate["replica"] or candidate["origin"],
            candidate["rule"],
        )
        for candidate in answer["candidates"]
    ]
    profile = ("PROFILE",) if with_profile else ()
    columns = ("FIELD", "SURVIVES", "VALUE", *profile, "SOURCE", "AT (UTC)", "REPLICA", "RULE")
    print_table(columns, rows, f"{answer['id']}  version {answer['version']}")


def run_changes(arguments: argparse.Namespace) -> int:
    """Show changes after a cursor, one line each, up to the end; with --follow go on."""
    for change in _changes(client_of(arguments), arguments):
        if arguments.json:
            print_json_line(change)
            continue
        what = "erased" if change["erased"] else ", ".join(change["fields"]) or "snapshot"
        when = (change["at"] or "")[:23]
        who = ", ".join(change["sources"]) or "-"
        where = change["replica"] or change["origin"] or "-"
        print_line(f"{change['cursor']}  {when:23}  {change['id']}  {who}@{where}: {what}")
        for name in ("conflicts", "settled"):
            if change[name]:
                print_line(f"  {name}: {', '.join(change[name])}")
        for person in change.get("persons", ()):
            print_line(f"  person {person['id']}: {', '.join(person['profiles'])}")
    return 0


def _changes(client: Client, arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield changes page by page, or from one answer that goes on, at most --limit of them."""
    follow = "true" if arguments.follow else None
    persons = "true" if arguments.persons else None
    since, count = arguments.since, 0
    while True:
        is_last = True
        for change in client.lines("/v1/changes", since=since, follow=follow, persons=persons):
            is_last, since = False, change["cursor"]
            yield change
            count += 1
            if count == arguments.limit:
                return
        if is_last or arguments.follow:
            return


def run_status(arguments: argparse.Namespace) -> int:
    """Show what the replica holds, and its peers."""
    client = client_of(arguments)
    status = client.get("/v1/status")
    digest = client.get("/v1/digest")
    if arguments.json:
        print_json({"status": status, "digest": digest})
        return 0
    state = "ready" if status["ready"] else f"not ready: {status['reason']}"
    rows = [
        ("state", state),
        ("space", status["space"]),
        ("origin", status["origin"]),
        ("up", f"{status['uptime_s']:,.0f} s"),
        ("profiles", f"{status['profiles']:,}"),
        ("digest", digest["digest"]),
        ("journal", f"{status['frames']:,} frames, {show_bytes(status['journal_bytes'])}"),
        ("origins", f"{status['origins_active']:,}, and {status['origins_resting']:,} at rest"),
        ("storage", show_bytes(status["storage_bytes"])),
        ("cache", show_bytes(status["cached_bytes"])),
        ("event loop", f"{status['event_loop']}, at most {status['loop_delay_max_ms']:g} ms late"),
    ]
    print_table(("REPLICA", status["name"]), rows)
    if status["peers"]:
        columns = ("PEER", "LINK", "STATE", "LAG", "MISSING", "SENT", "RECEIVED", "REASON")
        print_table(columns, [_peer_row(peer) for peer in status["peers"]])
    return 0


def _peer_row(peer: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        peer["name"] or peer["url"] or "?",
        peer["direction"],
        peer["state"],
        f"{peer['lag_frames']:,}",
        f"{peer['missing_frames']:,}",
        show_bytes(peer["sent_bytes"]),
        show_bytes(peer["received_bytes"]),
        peer["reason"],
    )


def run_verify(arguments: argparse.Namespace) -> int:
    """Check every record of a replica, and compare its digest with other replicas'.

    With --repair, first heal what differs from a peer.
    """
    client = client_of(arguments)
    repair = None
    if arguments.repair is not None:
        repair = client.post("/v1/repair", {"peer": arguments.repair}, limits.REPAIR_TIMEOUT_S)
    report = client.get("/v1/verify")
    peers = [client_of(arguments, url) for url in arguments.peers]
    digests = _agreed_digests([client, *peers], arguments.wait_s)
    is_equal = len({digest["digest"] for digest in digests}) == 1
    is_sound = report["is_sound"] and is_equal and (repair is None or repair["is_healed"])
    if arguments.json:
        named = [
            {"url": asked.url, **digest}
            for asked, digest in zip([client, *peers], digests, strict=True)
        ]
        healed = {} if repair is None else {"repair": repair}
        print_json({"sound": is_sound, "report": report, "digests": named, **healed})
        return 0 if is_sound else 1
    if repair is not None:
        _print_repair(repair)
    print(
        f"{report['documents']:,} records at rest at {client.url} checked: "
        f"{'all sound' if report['is_sound'] else 'damage found'}"
    )
    if report["index_faults"]:
        print(f"{report['index_faults']:,} faults in the index: restart, and it is built anew")
    for profile_id in report["damaged"]:
        print_line(f"  damaged: {profile_id}")
    rows = [
        (asked.url, f"{digest['profiles']:,}", digest["digest"])
        for asked, digest in zip([client, *peers], digests, strict=True)
    ]
    print_table(("REPLICA", "PROFILES", "DIGEST"), rows)
    if peers:
        print("the replicas are equal" if is_equal else "the replicas differ")
    return 0 if is_sound else 1


def _print_repair(repair: Mapping[str, Any]) -> None:
    rows = [
        ("differing profiles", f"{repair['differing']:,}"),
        ("rounds, ranges compared", f"{repair['rounds']:,}, {repair['ranges']:,}"),
        ("fetched, pushed", f"{repair['fetched']:,}, {repair['pushed']:,}"),
        ("received", show_bytes(repair["received_bytes"])),
        ("sent", show_bytes(repair["sent_bytes"])),
        ("outcome", "healed" if repair["is_healed"] else f"not healed: {repair['reason']}"),
    ]
    print_table(("REPAIR WITH", repair["peer"]), rows)
    for profile_id in repair["ids"]:
        print_line(f"  differed: {profile_id}")
    if repair["differing"] > len(repair["ids"]):
        print(f"  and {repair['differing'] - len(repair['ids']):,} more")


def _agreed_digests(clients: list[Client], wait_s: float) -> list[dict[str, Any]]:
    """Return the digests of all replicas, as soon as they are equal or the wait is over."""
    deadline_s = time.monotonic() + wait_s
    while True:
        digests = [client.get("/v1/digest") for client in clients]
        if len({digest["digest"] for digest in digests}) == 1 or time.monotonic() > deadline_s:
            return digests
        time.sleep(_POLL_S)
