"""Room: senders are asked to wait while traits are too far behind, and only then."""

import asyncio
from pathlib import Path

import pytest

from crdtstore import Replica
from replicas.cdp.errors import TooBusy
from replicas.cdp.event_log import EventLog
from replicas.cdp.events import Event
from replicas.cdp.learning import Learning, LearnSettings
from replicas.cdp.room import Room
from replicas.cdp.traits.definitions import TraitDefinitions
from replicas.cdp.traits.folding import Folding
from tests.replicas.cdp.service import beside, track, until, write_config

TRAITS = '[traits.orders]\nevent = "Order Completed"\nfold = "count"\n'


def test_senders_wait_until_traits_have_come_closer(tmp_path: Path) -> None:
    (tmp_path / "traits.toml").write_text(TRAITS)
    more = 'traits_file = "traits.toml"\n[collect]\ntraits_behind_s_max = 0.15'
    config = write_config(tmp_path, more)

    async def main() -> None:
        async with beside(config) as (service, sender):
            statuses = []
            for number in range(200):
                status, answer = await sender.batch(track(number))
                statuses.append(status)
                if status == 429:
                    assert answer["code"] == "too-busy"
                    assert "traits" in answer["message"]
                await asyncio.sleep(0.01)
            assert {200, 429} == set(statuses)
            await until(lambda: service.folding.position >= service.log.last_sequence, "traits")
            await until(lambda: service.room.traits_behind_s == 0, "room")
            assert (await sender.batch(track(1_000)))[0] == 200
            assert service.log.last_sequence == statuses.count(200) + 1

    asyncio.run(main())


def test_the_past_keeps_nobody_waiting(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events")

    def append(first: int, count: int) -> None:
        numbers = range(first, first + count)
        log.append([Event("track", f"m{each}", "p", "Order Completed") for each in numbers])

    async def main() -> None:
        async with Replica.open(tmp_path / "replica", name="eu") as replica:
            append(0, 50)  # the past of a trait that is new
            folding = Folding(replica, log, TraitDefinitions.parse(TRAITS))
            learning = Learning(replica, log, LearnSettings())
            room = Room(log, learning, folding, behind_events_max=200, traits_behind_s_max=0.2)
            looking = asyncio.create_task(room.run())
            append(50, 1)
            await asyncio.sleep(0.5)
            room.check()
            await folding.fold_once()
            append(51, 1)
            await until(lambda: room.traits_behind_s > 0.2, "a look at what is behind")
            with pytest.raises(TooBusy, match="traits are"):
                room.check()
            await folding.fold_once()
            await until(lambda: room.traits_behind_s == 0, "a look at what came closer")
            room.check()
            append(52, 200)
            with pytest.raises(TooBusy, match="profiles are"):
                room.check()
            looking.cancel()

    asyncio.run(main())
    log.close()
