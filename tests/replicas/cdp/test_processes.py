"""Several processes behind one port: one is killed, the supervisor is; nothing is lost or twice."""

import asyncio
import os
import random
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from benchmarks.ports import free_port
from crdtstore.errors import ConfigurationError
from replicas.cdp.configuration import load_configuration
from replicas.cdp.event_log import EventLog
from replicas.cdp.events import Event
from replicas.cdp.processes import check_processes, configuration_of, owner_of
from tests.patience import PATIENCE_S, until
from tests.replicas.cdp.service import AUTH, KEY, track
from tests.replicas.cdp.test_kill import ServiceProcess, send_for_ever, until_more

_PROCESSES = 3
_TRAITS = '[traits.counted]\nevent = "Counted"\nfold = "count"\n'


def write_config(directory: Path) -> Path:
    """Write the configuration of a service of several processes; return its path."""
    (directory / "traits.toml").write_text(_TRAITS)
    path = directory / "cdp.toml"
    port = free_port(_PROCESSES + 1)
    path.write_text(
        f'name = "eu"\ndata = "data"\nprocesses = {_PROCESSES}\ntraits_file = "traits.toml"\n'
        f'listen = "127.0.0.1:{port}"\ncollect_listen = "127.0.0.1:{port + 1}"\n'
        f'[write_keys]\nweb = "{KEY}"\n'
    )
    return path


def addresses(config: Path) -> list[str]:
    """Return where the processes are asked."""
    whole = load_configuration(config)
    each = (configuration_of(whole, number) for number in range(_PROCESSES))
    return [f"http://{one.host}:{one.port}" for one in each]


async def pages(client: aiohttp.ClientSession, config: Path, path: str) -> list[Any]:
    """Return what all processes answer, once all do."""
    found: dict[str, Any] = {}

    async def all_answer() -> bool:
        with suppress(aiohttp.ClientError):
            for address in addresses(config):
                if address not in found:
                    async with client.get(address + path) as answer:
                        found[address] = await answer.json(content_type=None)
        return len(found) == _PROCESSES

    await until(all_answer, f"all to answer {path}", config.parent / "log")
    return [*found.values()]


def workers_of(supervisor: int) -> list[int]:
    """Return the processes that a process started, in their order."""
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text()
    return sorted(int(each) for each in children.split())


def logs_of(config: Path) -> list[list[Event]]:
    """Return the events of each process, which are not running."""
    whole = load_configuration(config)
    found = []
    for number in range(_PROCESSES):
        log = EventLog(configuration_of(whole, number).data / "events")
        found.append([event for _, event in log.read(0, 1_000_000)])
        log.close()
    return found


async def until_equal(client: aiohttp.ClientSession, config: Path) -> None:
    """Wait until the traits have all events, and all processes have all traits."""

    async def are_equal() -> bool:
        logs = [page["log"] for page in await pages(client, config, "/cdp/status")]
        digests = [page["digest"] for page in await pages(client, config, "/v1/digest")]
        is_folded = all(log["folded"] >= log["last_sequence"] for log in logs)
        return is_folded and len(set(digests)) == 1

    await until(are_equal, "equal processes", config.parent / "log")


def is_replaced(service: ServiceProcess, victim: int) -> bool:
    """Say whether a process that was killed is gone, and another there."""
    assert service.process is not None
    workers = workers_of(service.process.pid)
    return victim not in workers and len(workers) == _PROCESSES


def test_a_process_that_is_killed_loses_nothing_and_comes_back(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    acknowledged: set[str] = set()
    chance = random.Random(4)

    async def main() -> Counter[str]:
        async with aiohttp.ClientSession() as client:
            service = ServiceProcess(config)
            await service.start(client)
            await pages(client, config, "/cdp/health")
            assert service.process is not None
            sending = [
                asyncio.create_task(_send_until_accepted(who, service.url, acknowledged))
                for who in range(6)
            ]
            for _ in range(2):
                await until_more(acknowledged, chance.randrange(200, 800))
                victim = chance.choice(workers_of(service.process.pid))
                os.kill(victim, signal.SIGKILL)
                await until(lambda victim=victim: is_replaced(service, victim), "another process")
                await pages(client, config, "/cdp/health")
                await until_more(acknowledged, 200)
            for task in sending:
                task.cancel()
            ended = await asyncio.gather(*sending, return_exceptions=True)
            assert all(isinstance(one, asyncio.CancelledError) for one in ended), ended
            await until_equal(client, config)
            counts = await _counted(client, config)
            assert await service.end(signal.SIGTERM) == 0, (tmp_path / "log").read_text()
        return counts

    counts = asyncio.run(main())
    logs = logs_of(config)
    kept = Counter(event.message_id for log in logs for event in log)
    assert len(acknowledged) > 500
    assert acknowledged <= kept.keys()
    assert set(kept.values()) == {1}
    assert all(logs), "all processes have their part"
    for number, log in enumerate(logs):
        assert {owner_of(event.profile_id, _PROCESSES) for event in log} == {number}
    every = [event for log in logs for event in log]
    assert counts == Counter(event.user_id for event in every if event.kind == "track")


async def _send_until_accepted(who: int, url: str, acknowledged: set[str]) -> None:
    """Send over connections that are made anew, so that what is sent again comes to others."""
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as client:
        await send_for_ever(who, url, client, acknowledged, is_patient=True)


async def _counted(client: aiohttp.ClientSession, config: Path) -> Counter[str]:
    """Return what the last process tells of each user's trait."""
    url = addresses(config)[-1]
    counts: Counter[str] = Counter()
    async with client.get(f"{url}/v1/profiles?limit=1000") as answer:
        profiles = (await answer.json())["profiles"]
    for profile in profiles:
        fields = profile["fields"]
        for each in fields.get("identifiers", []):
            kind, _, value = each.partition(":")
            if kind == "user_id" and "counted" in fields:
                counts[value] += fields["counted"]
    return counts


def test_what_is_sent_again_counts_once_whoever_takes_it(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    body = {"batch": [track(number, userId=f"u{number}") for number in range(50)]}

    async def main() -> None:
        async with aiohttp.ClientSession() as client:
            service = ServiceProcess(config)
            await service.start(client)
            await pages(client, config, "/cdp/health")
            async with asyncio.timeout(PATIENCE_S):
                sent = takers = 0
                while sent < 12 or takers == 1:  # the system chooses who takes a connection
                    await _send_once(service.url, body)
                    sent += 1
                    shown = await pages(client, config, "/cdp/status")
                    takers = sum(1 for page in shown if page["accepted"])
            await service.end(signal.SIGTERM)

    asyncio.run(main())
    kept = Counter(event.message_id for log in logs_of(config) for event in log)
    assert kept == Counter(f"m{number}" for number in range(50))


async def _send_once(url: str, body: dict[str, Any]) -> None:
    """Send a batch over a connection of its own; at first, processes are not linked yet."""
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as sender:
        status = 503
        while status == 503:
            async with sender.post(f"{url}/v1/batch", json=body, headers=AUTH) as answer:
                status = answer.status
    assert status == 200


def test_processes_end_with_their_supervisor(tmp_path: Path) -> None:
    config = write_config(tmp_path)

    async def main() -> None:
        async with aiohttp.ClientSession() as client:
            service = ServiceProcess(config)
            await service.start(client)
            await pages(client, config, "/cdp/health")
            assert service.process is not None
            workers = workers_of(service.process.pid)
            assert len(workers) == _PROCESSES
            assert await service.end() == -signal.SIGKILL
            await until(
                lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers),
                "the processes to end",
            )

    asyncio.run(main())
    assert len(logs_of(config)) == _PROCESSES  # no log is in use


def test_no_process_is_forgotten(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    whole = load_configuration(config)
    configuration_of(whole, 2).data.mkdir(parents=True)
    check_processes(whole)
    config.write_text(config.read_text().replace("processes = 3", "processes = 2"))
    with pytest.raises(ConfigurationError, match="process 2"):
        check_processes(load_configuration(config))


def test_each_process_has_a_name_a_directory_and_an_address(tmp_path: Path) -> None:
    whole = load_configuration(write_config(tmp_path))
    first, second, third = (configuration_of(whole, number) for number in range(3))
    assert first == whole
    assert second.name == "eu-1"
    assert second.data == whole.data / "process-1"
    assert third.peers == (
        f"http://127.0.0.1:{first.port}",
        f"http://127.0.0.1:{second.port}",
    )
    assert len({first.port, whole.collect_port, second.port, third.port}) == 4
    with pytest.raises(ConfigurationError, match="0 to 2"):
        configuration_of(whole, 3)
    assert {owner_of(f"p{number}", 3) for number in range(50)} == {0, 1, 2}
