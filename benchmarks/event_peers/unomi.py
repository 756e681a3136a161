"""Apache Unomi, a customer data platform, with the Elasticsearch that it keeps everything in."""

import asyncio
import contextlib
import json
import shutil
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from benchmarks.event_dialects import SCOPE
from benchmarks.event_peers.subject import Offer
from benchmarks.event_peers.unomi_install import (
    ELASTICSEARCH,
    UNOMI,
    UnomiFolders,
    java_home,
    java_version,
    unomi_folders,
)
from benchmarks.peers.users import own_by, unprivileged_user
from benchmarks.processes import Child, ChildFailed, children, free_port
from benchmarks.subject import Kind

_ADMIN: Final = aiohttp.encode_basic_auth("karaf", "karaf")
_KINDS: Final = ("track", "page", "identify")
_START_PATIENCE_S: Final = 300.0
_LOOK_S: Final = 0.25
_HEAP: Final = "1g"
_JVM: Final = (
    f"-Xms{_HEAP}\n-Xmx{_HEAP}\n-XX:+UseG1GC\n-XX:G1ReservePercent=25\n"
    "-XX:InitiatingHeapOccupancyPercent=30\n-Djava.io.tmpdir=${ES_TMPDIR}\n"
)


@dataclass(frozen=True, slots=True)
class RunningUnomi:
    """Unomi while it runs."""

    url: str
    processes: Sequence[Child]
    elasticsearch: str
    session: aiohttp.ClientSession

    async def stored(self) -> int:
        """Return how many events are in the indices, after all is on disk."""
        for do in ("_refresh", "_flush"):
            await _call(self.session, "POST", f"{self.elasticsearch}/{do}")
        kinds = {"query": {"terms": {"eventType.keyword": _KINDS}}}
        page = await _call(
            self.session, "POST", f"{self.elasticsearch}/context-event-*/_count", kinds
        )
        return int(page["count"])


class Unomi:
    """A peer: it reads the visitor's profile and session, runs its rules, keeps the event."""

    name = "unomi"
    kind: Kind = "peer"
    dialect = "unomi"
    is_quick = False
    offers = (Offer(200, 30), Offer(10_000, 30), Offer(50_000, 30))
    differs = (
        "A request carries the events of one person, so the same batch of 100 is put to it in as "
        "many requests as it has persons, at once, on the same connections; the batch counts as "
        "answered with the last of them. Each event is one of Unomi's, valid by a schema, without "
        "the context of Segment's (its library, locale and address). It reads the profile and the "
        "session, its own rules run, and it answers when Elasticsearch has synced the event to its "
        "log. No trait is computed, no message id is compared, no second region follows. One node "
        "of each, as delivered but for Java 17 and for one field of events that is not indexed; a "
        f"heap of {_HEAP} for Elasticsearch. 200/s is there because its latency at a rate that it "
        "does not take is that of a queue."
    )

    def prepare(self, install: bool) -> dict[str, str]:
        """Install it if that is allowed, and return the versions; raises Missing."""
        java = java_version()
        unprivileged_user()
        unomi_folders(install)
        return {"unomi": UNOMI, "elasticsearch": ELASTICSEARCH, "java": java}

    @contextlib.asynccontextmanager
    async def running(self, directory: Path) -> AsyncIterator[RunningUnomi]:
        """Run it for the block."""
        folders = unomi_folders(install=False)
        async with children() as started, aiohttp.ClientSession() as session:
            elasticsearch = await _start_elasticsearch(folders, directory, session, started)
            url = await _start_unomi(folders, directory, elasticsearch, started)
            await _declare(session, url)
            running = RunningUnomi(url, tuple(started), elasticsearch, session)
            await _first_event(running)
            yield running


async def _start_elasticsearch(
    folders: UnomiFolders,
    directory: Path,
    session: aiohttp.ClientSession,
    started: list[Child],
) -> str:
    """Start Elasticsearch, which refuses to run as root, and return where it answers."""
    base, port = directory / "elasticsearch", free_port()
    config = base / "config"
    config.mkdir(parents=True)
    shutil.copy(folders.elasticsearch / "config" / "log4j2.properties", config)
    (config / "jvm.options").write_text(_JVM)
    (config / "elasticsearch.yml").write_text(
        "cluster.name: contextElasticSearch\ndiscovery.type: single-node\n"
        f"network.host: 127.0.0.1\nhttp.port: {port}\ntransport.port: {free_port()}\n"
        f"path.data: {base / 'data'}\npath.logs: {base / 'logs'}\n"
        "cluster.routing.allocation.disk.threshold_enabled: false\n"
    )
    own_by(base, user := unprivileged_user())
    child = await Child.start(
        "elasticsearch",
        ["bash", folders.elasticsearch / "bin" / "elasticsearch", "--quiet"],
        directory / "elasticsearch.log",
        environment={"ES_PATH_CONF": str(config), "JAVA_HOME": str(java_home())},
        user=user,
    )
    started.append(child)
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + _START_PATIENCE_S
    while time.monotonic() < deadline and child.process.returncode is None:
        with contextlib.suppress(aiohttp.ClientError, ChildFailed):
            await _call(session, "GET", f"{url}/_cluster/health?wait_for_status=yellow")
            return url
        await asyncio.sleep(_LOOK_S)
    raise child.failure("did not start")


async def _start_unomi(
    folders: UnomiFolders, directory: Path, elasticsearch: str, started: list[Child]
) -> str:
    """Start Unomi, and return where it answers."""
    base, port = directory / "unomi", free_port()
    shutil.copytree(folders.unomi / "etc", base / "etc")
    for name in ("data", "deploy"):
        (base / name).mkdir()
    child = await Child.start(
        "unomi",
        ["sh", folders.unomi / "bin" / "karaf", "server"],
        directory / "unomi.log",
        environment={
            "JAVA_HOME": str(java_home()),
            "KARAF_BASE": str(base),
            "KARAF_DATA": str(base / "data"),
            "KARAF_ETC": str(base / "etc"),
            "KARAF_OPTS": f"-Dunomi.autoStart=true -Dkaraf.instances={base / 'instances'}",
            "ORG_APACHE_KARAF_MANAGEMENT_RMIREGISTRYPORT": str(free_port()),
            "ORG_APACHE_KARAF_MANAGEMENT_RMISERVERPORT": str(free_port()),
            "UNOMI_ELASTICSEARCH_ADDRESSES": elasticsearch.removeprefix("http://"),
            "UNOMI_HAZELCAST_NETWORK_PORT": str(free_port()),
            "UNOMI_HTTP_PORT": str(port),
            "UNOMI_SECURE_HTTP_PORT": str(free_port()),
            "UNOMI_SHELL_SSHHOST": "127.0.0.1",
            "UNOMI_SHELL_SSHPORT": str(free_port()),
        },
    )
    started.append(child)
    assert child.process.stdout is not None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_START_PATIENCE_S):
            while line := await child.process.stdout.readline():
                if b"successfully started" in line:
                    return f"http://127.0.0.1:{port}"
    raise child.failure("did not start")


async def _declare(session: aiohttp.ClientSession, url: str) -> None:
    """Tell Unomi of the shop, and of the events that happen there."""
    scope = {"itemId": SCOPE, "itemType": "scope", "metadata": {"id": SCOPE, "name": SCOPE}}
    await _tell(session, f"{url}/cxs/scopes", scope)
    base = "https://unomi.apache.org/schemas/json"
    for kind in _KINDS:
        about = {
            "vendor": "benchmarks", "name": kind, "format": "jsonschema",
            "target": "events", "version": "1-0-0",
        }  # fmt: skip
        schema = {
            "$id": f"{base}/benchmarks/{kind}/1-0-0",
            "$schema": "https://json-schema.org/draft/2019-09/schema",
            "self": about,
            "title": kind,
            "type": "object",
            "allOf": [{"$ref": f"{base}/event/1-0-0"}],
        }
        await _tell(session, f"{url}/cxs/jsonSchema", schema)


async def _tell(session: aiohttp.ClientSession, url: str, what: dict[str, Any]) -> None:
    """Send a definition until it is taken: a started Unomi puts its pages up one by one."""
    deadline = time.monotonic() + _START_PATIENCE_S
    while True:
        try:
            await _call(session, "POST", url, what, _ADMIN)
            return
        except (aiohttp.ClientError, ChildFailed):
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(_LOOK_S)


async def _first_event(running: RunningUnomi) -> None:
    """Wait until an event is kept: scopes and schemas take a second to be known."""
    first = {"sessionId": "first", "events": [{"eventType": "track", "scope": SCOPE}]}
    deadline = time.monotonic() + _START_PATIENCE_S
    while time.monotonic() < deadline:
        with contextlib.suppress(aiohttp.ClientError, ChildFailed):
            await _call(running.session, "POST", f"{running.url}/cxs/eventcollector", first)
        if await running.stored():
            return
        await asyncio.sleep(_LOOK_S)
    raise ChildFailed("unomi keeps no events")


async def _call(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    body: dict[str, Any] | None = None,
    authorization: str | None = None,
) -> dict[str, Any]:
    """Return what a page says; raises ChildFailed if it refuses."""
    headers = {} if authorization is None else {"Authorization": authorization}
    async with session.request(method, url, json=body, headers=headers) as answer:
        said = await answer.read()
        if answer.status >= 300:
            raise ChildFailed(f"{url} was answered {answer.status}: {said[:300]!r}")
        found = json.loads(said) if said.startswith(b"{") else {}
        return dict(found)
