"""The service as a process of its own that is killed while events come in."""

import asyncio
import os
import random
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp

from replicas.cdp.configuration import load_configuration
from replicas.cdp.event_log import EventLog
from tests.patience import until
from tests.processes.servers import ROOT
from tests.replicas.cdp.service import AUTH, beside, until_learned, write_config

_BATCH = 40


class ServiceProcess:
    """``crdtstore-cdp run``: start it, kill it."""

    def __init__(self, config: Path) -> None:
        self.config = config
        self.url = f"http://127.0.0.1:{load_configuration(config).collect_port}"
        self.process: asyncio.subprocess.Process | None = None

    async def start(self, client: aiohttp.ClientSession) -> None:
        """Start it, and wait until it takes events."""
        with (self.config.parent / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "replicas.cdp.command", "run", "--config", str(self.config),
                stdout=log, stderr=log, cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )  # fmt: skip
        await until(lambda: self._answers(client), "the service to answer")

    async def _answers(self, client: aiohttp.ClientSession) -> bool:
        assert self.process is not None
        assert self.process.returncode is None, (self.config.parent / "log").read_text()
        try:
            async with client.get(f"{self.url}/healthz") as answer:
                assert answer.status == 200
                return True
        except aiohttp.ClientError:
            return False

    async def end(self, number: int = signal.SIGKILL) -> int:
        """End it by a signal; return its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return await self.process.wait()


async def send_for_ever(
    who: int,
    url: str,
    client: aiohttp.ClientSession,
    acknowledged: set[str],
    *,
    is_patient: bool = False,
) -> None:
    """Send batches as a client does: again and again, until each is acknowledged.

    A patient one sends again, too, if it is answered 503.
    """
    for number in range(1_000_000):
        items = [
            {
                "type": "identify" if at == 0 else "track",
                "event": "Counted",
                "userId": f"user {who}-{number % 5}",
                "messageId": f"{who}-{number}-{at}",
                "traits": {"number": number},
                "properties": {"number": number, "who": who},
            }
            for at in range(_BATCH)
        ]
        while True:
            try:
                async with client.post(
                    f"{url}/v1/batch", json={"batch": items}, headers=AUTH
                ) as answer:
                    if answer.status == 503 and is_patient:
                        await asyncio.sleep(0.05)
                        continue
                    assert answer.status == 200, await answer.text()
                    break
            except aiohttp.ClientError:
                await asyncio.sleep(0.01)
        acknowledged.update(item["messageId"] for item in items)


async def until_more(acknowledged: set[str], count: int) -> None:
    """Wait until so many more were acknowledged."""
    wanted = len(acknowledged) + count
    await until(lambda: len(acknowledged) >= wanted, f"{count} more to be acknowledged")


def test_every_event_that_was_acknowledged_is_there_once(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    acknowledged: set[str] = set()
    chance = random.Random(4)

    async def show() -> None:
        async with aiohttp.ClientSession() as client:
            service = ServiceProcess(config)
            await service.start(client)
            sending = [
                asyncio.create_task(send_for_ever(who, service.url, client, acknowledged))
                for who in range(4)
            ]
            for _ in range(2):
                await until_more(acknowledged, chance.randrange(200, 1_000))
                assert await service.end() == -signal.SIGKILL
                await service.start(client)
            await until_more(acknowledged, 1_000)
            for task in sending:
                task.cancel()
            ended = await asyncio.gather(*sending, return_exceptions=True)
            assert all(isinstance(one, asyncio.CancelledError) for one in ended), ended
            assert await service.end(signal.SIGTERM) == 0, (tmp_path / "log").read_text()

    asyncio.run(show())
    log = EventLog(tmp_path / "data" / "events")
    events = [event for _, event in log.read(0, 1_000_000)]
    log.close()
    counts = Counter(event.message_id for event in events)
    assert len(acknowledged) > 1_000
    assert acknowledged <= counts.keys()
    assert set(counts.values()) == {1}
    asyncio.run(check_profiles(config, events))


async def check_profiles(config: Path, events: list[Any]) -> None:
    """Check that profiles say what the last event of each said."""
    async with beside(config) as (service, _):
        await until_learned(service)
        last = {each.user_id: each.properties for each in events if each.kind == "identify"}
        for user_id, traits in last.items():
            (person,) = service.replica.persons.find("user_id", user_id)
            assert person.record["number"] == traits["number"]
