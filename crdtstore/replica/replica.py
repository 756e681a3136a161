"""Replica: the asyncio body around a store. Group commit, links to peers, the change feed.

    async with Replica.open("./eu", name="eu", peers=["http://127.0.0.1:8402"]) as replica:
        version = await replica.write("ann", {"email": "ann@example.com"}, source="salesforce")
        profile = replica.read("ann")

Everything runs in one event loop; only the fsync of a commit runs in a worker thread, while the
next commit fills. A write is answered when its commit is durable.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from crdtstore.collaboration.fields import ReplicaTexts
from crdtstore.collaboration.revisions import ReplicaRevisions
from crdtstore.collaboration.rooms import Coediting
from crdtstore.digesting import ReplicaDigests, compute_in_turns, verified
from crdtstore.engine.digests import StoreDigest
from crdtstore.engine.feed import Change, end_cursor
from crdtstore.engine.verification import VerifyReport
from crdtstore.engine.writes import Write, WriteResult, apply_each
from crdtstore.errors import CrdtstoreError, PeerNotLinked, ReplicaClosed
from crdtstore.group_commit import GroupCommit
from crdtstore.links.exchange import Exchange
from crdtstore.links.repairing import RepairReport
from crdtstore.model.candidates import Candidate
from crdtstore.model.profile import Profile
from crdtstore.replica.backups import Backups
from crdtstore.replica.link import Link, Websocket, end_links
from crdtstore.replica.loop_delay import LoopDelay
from crdtstore.replica.membership import Replicas
from crdtstore.replica.notes import ReplicaNotes
from crdtstore.replica.peering import Peer, check_peer_urls, keep_linked, serve_peer
from crdtstore.replica.querying import ReplicaQueries
from crdtstore.replica.status import ReplicaStatus, linked_peer, replica_status
from crdtstore.replica.stewardship import ReplicaConflicts, ReplicaErasures, ReplicaPersons
from crdtstore.replica.streams import Streams
from crdtstore.schema import Schema
from crdtstore.settings import Settings
from crdtstore.storage.contract import Storage
from crdtstore.store import Store

_TICK_S = 0.1
_FEED_PAGE = 1_000
_REPAIR_LOOK_S = 0.01

_log = logging.getLogger("crdtstore.replica")


class Replica:
    """One replica of a space, with its data directory and its links.

    Use ``async with Replica.open(...)``: at its end it is closed, with everything durable. Reads
    are synchronous and see own writes at once.
    """

    def __init__(
        self,
        store: Store,
        peers: Sequence[str],
        link_secret: str | None,
        directory: Path | None = None,
    ) -> None:
        self._store = store
        self._exchange = Exchange(store)
        self._peers = [Peer(url) for url in peers]
        self._link_secret = link_secret
        self._links: set[Link] = set()
        self._commits = GroupCommit(
            self._exchange, interval_s=store.settings.commit_interval_ms / 1000
        )
        self._replicas = Replicas(self._exchange, self._commits)
        self._backups = Backups(store, self._commits, directory)
        self._streams = Streams(store, self._commits)
        self._texts = ReplicaTexts(store, self._commits)
        self._coediting = Coediting(store, self._commits, self._exchange.presence, self._texts)
        self._revisions = ReplicaRevisions(store, self._commits)
        self._loop_delay = LoopDelay()
        self._tasks: list[asyncio.Task[None]] = []
        self._client: aiohttp.ClientSession | None = None
        self._started_s = time.monotonic()
        self._is_closing = False

    @classmethod
    def open(
        cls,
        where: str | Path | Storage,
        *,
        name: str,
        space: str = "default",
        schema: Schema | None = None,
        peers: Sequence[str] = (),
        link_secret: str | None = None,
        settings: Settings | None = None,
    ) -> "Replica":
        """Open a replica on a data directory, made if absent, to be entered with ``async with``.

        ``peers`` are addresses of other replicas; one end of each link needs to know the other's.
        ``link_secret`` is presented to them. Raises StorageError, InvalidName, ConfigurationError.
        """
        check_peer_urls(peers)
        store = Store.open(where, name=name, space=space, schema=schema, settings=settings)
        directory = Path(where) if isinstance(where, str | Path) else None
        return cls(store, peers, link_secret, directory)

    async def __aenter__(self) -> "Replica":
        self._client = aiohttp.ClientSession()
        self._tasks = [
            asyncio.create_task(self._commits.run(self._wake_links), name="crdtstore-commits"),
            asyncio.create_task(self._tick_forever(), name="crdtstore-ticks"),
            asyncio.create_task(self._loop_delay.run(), name="crdtstore-loop-delay"),
            asyncio.create_task(self._coediting.run(), name="crdtstore-coediting"),
        ]
        exchange, work = self._exchange, self._commits.work
        for peer in self._peers:
            task = keep_linked(peer, exchange, self._client, self._link_secret, self._links, work)
            self._tasks.append(asyncio.create_task(task, name=f"crdtstore-peer {peer.url}"))
        for running in self._tasks:
            running.add_done_callback(self._commits.task_ended)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def name(self) -> str:
        """The replica's name."""
        return self._store.replication.identity.name

    @property
    def space(self) -> str:
        """The space that the replica serves."""
        return self._store.replication.identity.space

    @property
    def origin(self) -> str:
        """The replica's present incarnation, 16 hex digits."""
        return f"{self._store.replication.identity.origin:016x}"

    @property
    def schema(self) -> Schema:
        """The schema by which this replica reads."""
        return self._store.schema

    @property
    def cursors(self) -> dict[str, str]:
        """The durable cursors that writes moved, by name."""
        return self._store.cursors.present()

    @property
    def backups(self) -> Backups:
        """Backups of this replica while it works: ``await replica.backups.write(path)``."""
        self._check_open()
        return self._backups

    @property
    def streams(self) -> Streams:
        """The write streams of clients, for who serves them."""
        self._check_open()
        return self._streams

    @property
    def digests(self) -> ReplicaDigests:
        """The digest, computed between other work: ``await replica.digests.current()``."""
        return ReplicaDigests(self._store.digests)

    @property
    def coediting(self) -> Coediting:
        """The Yjs clients at work on texts and lists, for who serves them."""
        self._check_open()
        return self._coediting

    @property
    def revisions(self) -> ReplicaRevisions:
        """Rich texts for clients without a CRDT, edited by deltas against a revision."""
        self._check_open()
        return self._revisions

    @property
    def loop_delay(self) -> LoopDelay:
        """How late the event loop of this replica is."""
        return self._loop_delay

    @property
    def replicas(self) -> Replicas:
        """The other replicas: ``replica.replicas.present()``, ``replicas.remove("old")``."""
        self._check_open()
        return self._replicas

    @property
    def persons(self) -> ReplicaPersons:
        """Which profiles are of one person, their golden records, and stewards' decisions."""
        self._check_open()
        return ReplicaPersons(self._store, self._commits)

    @property
    def erasures(self) -> ReplicaErasures:
        """The erasures that were asked for, and which replicas have confirmed them."""
        self._check_open()
        return ReplicaErasures(self._store, self._commits)

    @property
    def queries(self) -> ReplicaQueries:
        """Pages of profiles that a filter asks for, in an order, and how many there are."""
        self._check_open()
        return ReplicaQueries(self._store, self._commits, self._backups.directory)

    @property
    def notes(self) -> ReplicaNotes:
        """What a service remembers beside the profiles, and commits of both together."""
        self._check_open()
        return ReplicaNotes(self._store, self._commits)

    @property
    def texts(self) -> ReplicaTexts:
        """The collaborative fields, to be read, followed, and served to Yjs clients."""
        self._check_open()
        return self._texts

    @property
    def conflicts(self) -> ReplicaConflicts:
        """What lost against a write of the same source that had not seen it, and choosing."""
        self._check_open()
        return ReplicaConflicts(self._store, self._commits)

    # --- writing ------------------------------------------------------------------------------

    async def write(
        self,
        profile_id: str,
        fields: Mapping[str, Any],
        *,
        source: str,
        if_version: str | None = None,
        cursors: Mapping[str, str] | None = None,
    ) -> str:
        """Write what a source says about a profile; return its version when that is durable.

        Raises InvalidInput or Refused with nothing changed, StorageFull or StorageFailed.
        """
        self._check_open()
        write = self._store.write
        return await self._kept(
            write(profile_id, fields, source=source, if_version=if_version, cursors=cursors)
        )

    async def write_many(self, writes: Iterable[Write]) -> list[WriteResult | CrdtstoreError]:
        """Make several writes durable together; return a result or an error for each, in order.

        One that is refused does not stop the others. Raises StorageError if none could be kept.
        """
        self._check_open()
        results = apply_each(self._store.write, writes)
        await self._commits.durable()
        return results

    async def erase(self, profile_id: str, *, if_version: str | None = None) -> str:
        """Erase a profile for good; return its version when that is durable."""
        self._check_open()
        return (await self._commits.erase(profile_id, if_version)).version

    async def revive(self, profile_id: str, *, if_version: str | None = None) -> str:
        """Let an erased profile take writes again; return its version when that is durable."""
        self._check_open()
        return await self._kept(self._store.revive(profile_id, if_version=if_version))

    async def _kept(self, result: WriteResult) -> str:
        await self._commits.durable()
        return result.version

    # --- reading ------------------------------------------------------------------------------

    def read(self, profile_id: str) -> Profile:
        """Return the golden record; raises ProfileNotFound or ProfileErased."""
        return self._store.read(profile_id)

    def explain(self, profile_id: str, field: str | None = None) -> list[Candidate]:
        """Return every candidate of every field (or of one), with the rule that chose."""
        return self._store.explain(profile_id, field)

    def profiles(self, *, after: str = "", limit: int = 100) -> list[Profile]:
        """Return up to ``limit`` living profiles whose id is above ``after``, in id order."""
        return self._store.profiles(after=after, limit=limit)

    async def changes(
        self, *, since: str = "", follow: bool = True, persons: bool = False
    ) -> AsyncGenerator[Change, None]:
        """Yield changes after a cursor in local commit order; go on with new ones if ``follow``.

        ``since`` is "" for the start of the journal, "end" for new ones only. With ``persons`` each
        names those that it touched. Raises CursorExpired or InvalidInput. Ends when the replica
        closes.
        """
        if since == "end":
            since = end_cursor(self._store.ledger)
        while not self._is_closing:
            committed = self._commits.committed
            page = self._store.changes(since=since, limit=_FEED_PAGE, persons=persons)
            for change in page:
                yield change
            if page:
                since = page[-1].cursor
                continue
            if not follow:
                return
            await committed.wait()

    def digest(self) -> StoreDigest:
        """Return number of profiles, digest and vector: equal on converged replicas."""
        return self._store.digest()

    def status(self) -> ReplicaStatus:
        """Return how the replica is doing."""
        uptime_s = time.monotonic() - self._started_s
        return replica_status(
            self._exchange, self._peers, uptime_s=uptime_s, is_closing=self._is_closing,
            waiting_writers=self._commits.waiting_writers, loop_delay=self._loop_delay,
        )  # fmt: skip

    async def verify(self) -> VerifyReport:
        """Read every record at rest, page by page, and check it; reports what is damaged."""
        return await verified(self._store)

    async def repair(self, peer: str, *, quick: bool = False) -> RepairReport:
        """Compare all documents with a peer's, and heal those that differ, on both sides.

        ``peer`` names a replica that a link leads to, or its configured address. A quick one reads
        nothing if the digests that both keep are equal. Returns when both have every join durably,
        or the link ended (see the report). Raises PeerNotLinked, RepairUnderWay or ReplicaClosed.
        """
        self._check_open()
        if quick:
            await compute_in_turns(self._store.digests)
        number = linked_peer(self._exchange, self._peers, peer)
        if number is None:
            raise PeerNotLinked(peer)
        repair = self._exchange.start_repair(number, is_quick=quick)
        self._wake_links()
        while repair.state == "running":
            await asyncio.sleep(_REPAIR_LOOK_S)
        return repair.report

    async def serve_link(self, websocket: Websocket) -> None:
        """Serve a link that a peer opened, until it ends. The caller has checked its secret."""
        self._check_open()
        await serve_peer(websocket, self._exchange, self._links, self._commits.work)

    def _wake_links(self) -> None:
        for link in self._links:
            link.wake.set()

    # --- life ---------------------------------------------------------------------------------

    async def _tick_forever(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            self._exchange.tick()
            self._revisions.forget_erased()
            self._store.storage.shed()
            self._commits.work.set()
            self._wake_links()

    def _check_open(self) -> None:
        if self._is_closing:
            raise ReplicaClosed("the replica was closed")
        if not self._tasks:
            raise ReplicaClosed("the replica is not running: use `async with Replica.open(...)`")

    async def close(self) -> None:
        """End the links, make everything durable, and let the data directory go."""
        if self._is_closing:
            return
        self._is_closing = True
        self._coediting.close()
        await self._texts.close()
        self._commits.committed.set()
        try:
            await self._stop_tasks()
        finally:
            self._commits.close()
            self._store.close()

    async def _stop_tasks(self) -> None:
        if not self._tasks:
            return
        for task in self._tasks[1:]:
            task.cancel()
        await end_links(self._links, self._exchange)
        self._commits.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.close()
