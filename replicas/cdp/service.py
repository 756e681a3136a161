"""The service: a replica, its event log, what follows the log, and two listeners, in one process.

clients -> Collector -> Collecting -> Appending -> EventLog      answered when durable
EventLog -> Learning -> the replica                              fields, identifiers, consent
EventLog -> Folding -> the replica                               computed traits
the replica's change feed -> Forgetting -> EventLog              erased persons' events go
the replica's change feed -> Followers                           segments, Redis, PostgreSQL
"""

import asyncio
import contextlib
import gc
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from crdtstore import Replica
from crdtstore.server import application, check_exposure
from replicas.cdp import limits
from replicas.cdp.appending import Appending
from replicas.cdp.collecting import Collecting
from replicas.cdp.collector import Collector
from replicas.cdp.configuration import Configuration
from replicas.cdp.errors import LogUnusable
from replicas.cdp.event_log import EventLog
from replicas.cdp.followers import Followers
from replicas.cdp.forgetting import Forgetting
from replicas.cdp.handing_over import HandingOver
from replicas.cdp.learning import Learning
from replicas.cdp.processes import Place
from replicas.cdp.room import Room
from replicas.cdp.supervising import set_when_alone
from replicas.cdp.traits.folding import Folding
from replicas.cdp.traits.web import TraitPages
from replicas.cdp.web import Pages
from replicas.embedding.running import listening, told_to_stop, until_stopped, working

_log = logging.getLogger("replicas.cdp.service")


@dataclass(slots=True)
class Running:
    """The service while it runs: its parts, and their tasks. ``trouble`` is of keeping the log."""

    configuration: Configuration
    replica: Replica
    log: EventLog
    collecting: Collecting
    appending: Appending
    learning: Learning
    folding: Folding
    forgetting: Forgetting
    collector: Collector
    room: Room
    followers: Followers
    handing_over: HandingOver | None = None
    tasks: Sequence[asyncio.Task[None]] = ()
    trouble: str = ""

    def troubles(self) -> dict[str, str]:
        """Return what does not work at present, by part."""
        given = {
            "log": self.trouble,
            "learning": self.learning.trouble,
            "traits": self.folding.trouble,
            "forgetting": self.forgetting.trouble,
            **self.followers.troubles(),
        }
        return {part: trouble for part, trouble in given.items() if trouble}

    def numbers(self) -> dict[str, int]:
        """Return how the log and its followers stand."""
        return {
            "first_sequence": self.log.first_sequence,
            "last_sequence": self.log.last_sequence,
            "bytes": self.log.size_bytes,
            "duplicates": self.log.duplicates,
            "waiting": self.appending.waiting,
            "learned": self.learning.position,
            "folded": self.folding.position,
            "folded_by_all": self.folding.needed_after,
            "traits_behind_ms": round(self.room.traits_behind_s * 1000),
            "forgotten": self.forgetting.forgotten,
        }

    async def tend(self) -> None:
        """Index and expire the log, for ever; nothing goes that is still needed."""
        while True:
            try:
                needed_after = min(self.learning.position, self.folding.needed_after)
                followed = self.followers.needed_after
                if followed is not None:
                    needed_after = min(needed_after, followed)
                await asyncio.to_thread(self.log.tend, needed_after)
                self.trouble = ""
            except LogUnusable as error:
                self.trouble = str(error)
                _log.warning("the event log is not tended: %s", error)
            await asyncio.sleep(limits.TEND_S)


async def serve(configuration: Configuration, place: Place | None = None) -> None:
    """Work until SIGTERM or SIGINT. Raises ConfigurationError or StorageError at the start.

    With a place it is one of several processes, and ends with their supervisor, too.
    """
    check_exposure(configuration.host, configuration.token, configuration.link_secret)
    stopping = told_to_stop()
    if place is not None:
        set_when_alone(stopping)
    async with running(configuration, place) as service:
        gc.freeze()  # what was read in stays: no later look for garbage goes through it
        print(
            f"crdtstore-cdp {configuration.name} takes events at "
            f"http://{configuration.collect_host}:{configuration.collect_port}/v1/batch; see "
            f"http://{configuration.host}:{configuration.port}/cdp/status; Ctrl-C ends it",
            flush=True,
        )
        await until_stopped(stopping, service.tasks)
    _log.info("closed")


@asynccontextmanager
async def running(
    configuration: Configuration, place: Place | None = None
) -> AsyncIterator[Running]:
    """Run the whole service while the context lasts."""
    async with contextlib.AsyncExitStack() as stack:
        log = await asyncio.to_thread(EventLog, configuration.data / "events", configuration.log)
        stack.callback(log.close)
        replica = await stack.enter_async_context(
            Replica.open(
                configuration.data / "replica",
                name=configuration.name,
                space=configuration.space,
                schema=configuration.schema,
                peers=configuration.peers,
                link_secret=configuration.link_secret,
            )
        )
        service = _service(configuration, replica, log, place)
        stack.callback(service.appending.close)
        works = [
            service.learning.run(), service.folding.run(), service.forgetting.run(), service.tend(),
            service.room.run(), *service.followers.works(),
        ]  # fmt: skip
        service.tasks = await stack.enter_async_context(working(*works))
        collects = service.collector.application()
        address = configuration.collect_host, configuration.collect_port
        if service.handing_over is not None:
            stack.enter_context(service.handing_over.working())
        is_shared = place is not None
        await stack.enter_async_context(
            listening(collects, address, is_shared=is_shared, auto_decompress=False)
        )
        # Last, so that a process which tells of its health takes events, too.
        app = application(replica, token=configuration.token, link_secret=configuration.link_secret)
        Pages(service).add_to(app)
        TraitPages(replica, log, service.folding).add_to(app)
        service.followers.add_to(app)
        address = configuration.host, configuration.port
        await stack.enter_async_context(listening(app, address))
        yield service


def _service(
    configuration: Configuration, replica: Replica, log: EventLog, place: Place | None
) -> Running:
    collecting = Collecting(replica, configuration.collect)
    appending = Appending(log, configuration.collect.waiting_events_max)
    learning = Learning(replica, log, configuration.learn)
    source = configuration.learn.source
    folding = Folding(replica, log, configuration.traits, source=source)
    forgetting = Forgetting(replica, log, collecting, learning)
    room = Room(
        log, learning, folding,
        behind_events_max=configuration.collect.behind_events_max,
        traits_behind_s_max=configuration.collect.traits_behind_s_max,
    )  # fmt: skip
    handing_over = None if place is None else HandingOver(place, appending, room)
    collector = Collector(configuration.write_keys, collecting, appending, room, handing_over)
    followers = Followers(replica, log, configuration.follow)
    return Running(
        configuration, replica, log, collecting, appending, learning, folding, forgetting,
        collector, room, followers, handing_over,
    )  # fmt: skip
