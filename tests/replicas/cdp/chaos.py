"""Two CDP services and a CRM service under partitions and kills, while shoppers come to both.

    python -m tests.replicas.cdp.chaos --seeds 20

In each round links are cut, each service is killed with SIGKILL at its moment and started again,
and so are Redis and PostgreSQL; clients lose their connections, send again, send twice, and give
up. Then all is healed, and every count must be that of a plain recomputation over what was
acknowledged: at all three services, in both logs, at the vendor, in Redis and in PostgreSQL. At the
end somebody is erased, and must be gone from all of them.
"""

import argparse
import asyncio
import contextlib
import random
import sys
import tempfile
import time
import traceback
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp

from tests.replicas.cdp.judging import Judge
from tests.replicas.cdp.projections.servers import (
    PostgresqlServer,
    RedisServer,
    postgresql_server,
    redis_server,
)
from tests.replicas.cdp.shoppers import REGIONS, SHOPPERS, Client, Ledger
from tests.replicas.cdp.world import World, world
from tests.replicas.crm.processes import ServiceProcess

_CLIENTS = 2
_QUIET_S = 0.4


async def endure(
    directory: Path, redis: RedisServer, postgresql: PostgresqlServer, *, seed: int, rounds: int
) -> str:
    """Go through so many rounds of faults; return what was counted. Raises AssertionError."""
    chance = random.Random(seed)
    ledger = Ledger()
    async with world(directory, redis, postgresql) as here, aiohttp.ClientSession() as session:
        clients = [
            Client(name, f"http://127.0.0.1:{door.port}", ledger, session, seed * _CLIENTS + each)
            for name, door in here.doors.items()
            for each in range(_CLIENTS)
        ]
        judge = Judge(here, ledger)
        await here.start()
        await asyncio.gather(*(client.introduce() for client in clients[::_CLIENTS]))
        for _ in range(rounds):
            async with _sending(clients):
                await _faults(here, chance)
                await chance.choice(clients).deny(chance.randrange(SHOPPERS))
            await judge.all_agrees()
        await _erase(here, clients, judge, chance)
        await judge.all_agrees()
        for name in ("us", "crm", "eu"):
            code = await here.services[name].stop()
            assert code == 0, here.services[name].log.read_text()[-2000:]
        await judge.targets_agree(directory)
    told = len(ledger.sent) - len(ledger.acknowledged)
    return f"{len(ledger.acknowledged)} events were acknowledged, {told} never answered"


@contextlib.asynccontextmanager
async def _sending(clients: list[Client]) -> AsyncIterator[None]:
    """Have the clients send; what they were sending at the end stays unanswered."""
    tasks = [asyncio.create_task(client.send_for_ever()) for client in clients]
    try:
        yield
        for task in tasks:
            assert not task.done(), task
    finally:
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended


async def _erase(here: World, clients: list[Client], judge: Judge, chance: random.Random) -> None:
    """Erase a shopper at one service while another is down; the events that come later too."""
    number, where = chance.randrange(SHOPPERS), chance.choice(("us", "crm"))
    await here.services["eu"].kill()
    await here.services[where].ask("DELETE", f"/v1/persons?identifier=user_id:u{number}")
    await here.services["eu"].start()
    await judge.forgets(number)
    for client in clients:
        assert await client.is_refused(number), f"an event of {number}, who was erased, is taken"


async def _faults(here: World, chance: random.Random) -> None:
    """Cut some links, kill and start everything, each at its moment; then heal the links."""
    for link in chance.sample(here.links, chance.randrange(1, len(here.links) + 1)):
        link.cut()
    falls = [_fall(service, chance) for service in here.services.values()]
    falls += [_fall(server, chance) for server in (here.redis, here.postgresql)]
    falls += [_slam(here, name, chance) for name in REGIONS]
    await asyncio.gather(*falls)
    await asyncio.sleep(_QUIET_S)
    for link in here.links:
        link.heal()
    await asyncio.sleep(chance.uniform(0, _QUIET_S))


async def _fall(
    part: ServiceProcess | RedisServer | PostgresqlServer, chance: random.Random
) -> None:
    await asyncio.sleep(chance.uniform(0.2, 1.5))
    if isinstance(part, ServiceProcess):
        await part.kill()
        await asyncio.sleep(chance.uniform(0, 0.5))
        await part.start()
    else:
        part.kill()
        await asyncio.sleep(chance.uniform(0, 0.5))
        await asyncio.to_thread(part.start)


async def _slam(here: World, region: str, chance: random.Random) -> None:
    """Shut a region's door on its clients, a few times, for a moment."""
    for _ in range(chance.randrange(2, 5)):
        await asyncio.sleep(chance.uniform(0.05, 0.5))
        here.doors[region].cut()
        await asyncio.sleep(chance.uniform(0, 0.1))
        here.doors[region].heal()


def main() -> int:
    """Try so many seeds; return 1 if one failed."""
    parser = argparse.ArgumentParser("python -m tests.replicas.cdp.chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=4)
    arguments = parser.parse_args()
    failed = 0
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        started_s = time.monotonic()
        with (
            tempfile.TemporaryDirectory() as directory,
            redis_server() as redis,
            postgresql_server() as postgresql,
        ):
            try:
                line = asyncio.run(
                    endure(Path(directory), redis, postgresql, seed=seed, rounds=arguments.rounds)
                )
            except AssertionError:
                failed += 1
                print(f"seed {seed} failed:", traceback.format_exc(), flush=True)
            else:
                print(f"seed {seed}: {time.monotonic() - started_s:.0f} s, {line}", flush=True)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
