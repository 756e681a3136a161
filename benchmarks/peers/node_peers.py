"""The peers that run on Node: each a driver in a folder of node/, in its own pinned versions."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from benchmarks.peers.install import node_folder, node_versions
from benchmarks.peers.session import run_session
from benchmarks.processes import Child
from benchmarks.subject import Kind, Readings
from benchmarks.workload import Workload

_HEAP: Final = "--max-old-space-size=4096"


@dataclass(frozen=True, slots=True)
class NodePeer:
    """A peer on Node, with its server and its clients in processes of their own."""

    name: str
    package: str
    share: float
    differs: str
    durable_at: Literal["server", "client"] = "server"
    settings: dict[str, Any] = field(default_factory=dict)
    latency_edits_most: int | None = None
    kind: Kind = "peer"

    def prepare(self, install: bool) -> dict[str, str]:
        """Install the peer if that is allowed, and return its versions."""
        return node_versions(node_folder(self.package, install))

    async def measure(self, work: Workload, directory: Path) -> Readings:
        """Do the work once."""
        if self.latency_edits_most is not None:
            fewer = min(work.size.latency_edits, self.latency_edits_most)
            work = Workload(replace(work.size, latency_edits=fewer))
        program = node_folder(self.package, install=False) / "run.mjs"

        async def launch(role: str, name: str, settings: dict[str, Any]) -> Child:
            command = ["node", _HEAP, program, role, json.dumps(settings)]
            return await Child.start(
                f"{self.name} {name}", list(map(str, command)), directory / f"{name}.log"
            )

        return await run_session(
            work, directory, launch, durable_at=self.durable_at, settings=self.settings
        )


_YJS: Final = (
    "Two hops end to end: a client, the server, another client that holds all profiles in memory. "
)

NODE_PEERS: Final = (
    NodePeer(
        "hocuspocus",
        "hocuspocus",
        0.2,
        "Hocuspocus with its SQLite extension, debounce 0: every change stores the whole document, "
        "with SQLite's own fsync. One document per profile, all over one socket; its cap of 100 "
        "documents that wait is lifted, or no client with more could reconnect. " + _YJS +
        "Acknowledgements of the server come before the store; the end of the store is awaited.",
        settings={"debounce": 0, "maxDebounce": 0},
    ),
    NodePeer(
        "hocuspocus-debounced",
        "hocuspocus",
        0.2,
        "The same with Hocuspocus' defaults, a debounce of 2 s (10 s at most): many edits of one "
        "profile are stored once, and a crash loses what was acknowledged meanwhile. One edit at "
        "a time is measured 10 times: each takes 2 s.",
        settings={"debounce": 2000, "maxDebounce": 10000},
        latency_edits_most=10,
    ),
    NodePeer(
        "y-websocket",
        "y-websocket",
        0.2,
        "y-websocket's server with y-leveldb, one document and one socket per profile, as the "
        "library has it. LevelDB puts without fsync: a power cut may lose them. " + _YJS +
        "There are no acknowledgements; the end of the put is awaited at the server.",
    ),
    NodePeer(
        "automerge-repo",
        "automerge-repo",
        0.1,
        "A sync server with node file storage, which writes files without fsync; changes are "
        "saved at most every 100 ms per document, its default, and flushed at the end. " + _YJS,
    ),
    NodePeer(
        "pouchdb",
        "pouchdb",
        0.2,
        "PouchDB on LevelDB, without fsync, in each process; durable edits are bulk writes of "
        "100 edits in the client's own process, not over a network; edits of one profile within "
        "a bulk are one revision. Replication is live, "
        "over HTTP. Conflicts are kept for the application; all sides show the same winner.",
        durable_at="client",
    ),
)  # fmt: skip
