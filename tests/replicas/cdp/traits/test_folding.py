"""Folding: traits equal a plain recomputation over the log, whatever comes between."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.ports import free_port
from crdtstore import Field, Replica, Schema
from crdtstore.errors import StorageFull
from crdtstore.replica.backups import restore_backup
from replicas.cdp import limits
from replicas.cdp.errors import DefinitionInvalid
from replicas.cdp.event_log import EventLog
from replicas.cdp.events import Event
from replicas.cdp.traits.definitions import TraitDefinitions
from replicas.cdp.traits.folding import Folding
from replicas.cdp.traits.reading import trait_account, trait_values
from tests.patience import PATIENCE_S
from tests.replicas.cdp.traits.events import NOW_MS, drawn_events
from tests.replicas.cdp.traits.plain import TOML, check_traits
from tests.replicas.cdp.traits.regions import Region, region, until_equal

DEFINITIONS = TraitDefinitions.parse(TOML)


def order(number: int, profile: str = "ann", **more: Any) -> Event:
    properties = {"total": 10, "item": "pen"}
    return Event("track", f"o{number}", profile, "Order Completed", properties=properties,
                 timestamp_ms=NOW_MS, received_at_ms=NOW_MS, **more)  # fmt: skip


def by_profile(events: Iterable[Event]) -> dict[str, list[Event]]:
    found = defaultdict(list)
    for event in events:
        found[event.profile_id].append(event)
    return found


def check_all(replica: Replica, events: Iterable[Event]) -> None:
    """Compare all profiles of a replica with the plain recomputation."""
    for profile_id, mine in by_profile(events).items():
        try:
            got = trait_values(replica, DEFINITIONS, profile_id, NOW_MS)
        except LookupError:
            got = {}
        check_traits(got, mine, NOW_MS)


async def fold_all(folding: Folding) -> None:
    while await folding.fold_once():
        pass


@pytest.mark.parametrize("seed", range(3))
def test_traits_equal_a_plain_recomputation_over_restarts(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    log = EventLog(tmp_path / "events")
    events: list[Event] = []

    async def live() -> None:
        async with Replica.open(tmp_path / "replica", name="eu") as replica:
            folding = Folding(replica, log, DEFINITIONS)
            for _ in range(chance.randrange(1, 4)):
                new = drawn_events(chance, chance.randrange(300), first=len(events))
                log.append(new)
                events.extend(new)
                await folding.fold_once()
            check_all(replica, events)
            assert folding.position == folding.needed_after == log.last_sequence

    for _ in range(3):
        asyncio.run(live())
    log.close()


def test_two_regions_fold_what_came_to_them_and_count_nothing_twice(tmp_path: Path) -> None:
    chance = random.Random(5)
    ports = {"eu": free_port(), "us": free_port()}
    events: list[Event] = []

    async def fold_new(where: Region, prefix: str) -> None:
        new = drawn_events(chance, 150, first=len(events), prefix=prefix)
        where.log.append(new)
        events.extend(new)
        await where.folding.fold_once()

    async def check_both(eu: Region, us: Region) -> None:
        await until_equal(eu.replica, us.replica)
        check_all(eu.replica, events)
        check_all(us.replica, events)

    async def main() -> None:
        async with region(tmp_path, "eu", ports, linked=True) as eu:
            async with region(tmp_path, "us", ports, linked=True) as us:
                for turn in range(3):
                    await fold_new(eu, f"eu{turn}-")
                    await fold_new(us, f"us{turn}-")
                await check_both(eu, us)
            async with region(tmp_path, "us", ports, linked=False) as us:
                await fold_new(eu, "parted-eu-")
                await fold_new(us, "parted-us-")
                assert eu.replica.digest().digest != us.replica.digest().digest
            async with region(tmp_path, "us", ports, linked=True) as us:
                await check_both(eu, us)
                account = trait_account(us.replica, DEFINITIONS, "p0", "orders")
                assert {each["replica"] for each in account} == {"eu", "us"}
                total = trait_values(us.replica, DEFINITIONS, "p0", NOW_MS)["orders"]
                assert sum(each["payload"] for each in account) == total

    asyncio.run(main())


def test_a_new_trait_is_folded_from_the_log_while_new_events_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BACKFILL_EVENTS_MAX", 70)
    monkeypatch.setattr(limits, "FOLD_READ_MAX", 40)
    chance = random.Random(3)
    log = EventLog(tmp_path / "events")
    events = drawn_events(chance, 400)
    log.append(events)
    old = TraitDefinitions({"orders": DEFINITIONS.by_name["orders"]})

    async def main() -> None:
        async with Replica.open(tmp_path / "replica", name="eu") as replica:
            await fold_all(Folding(replica, log, old))
            folding = Folding(replica, log, DEFINITIONS)
            assert folding.progress()["orders"] == 400
            assert folding.progress()["spent"] == 0
            new = drawn_events(chance, 50, first=400)
            log.append(new)
            events.extend(new)
            await folding.fold_once()
            assert folding.progress()["orders"] == 450
            assert folding.progress()["spent"] == folding.needed_after == 70
        async with Replica.open(tmp_path / "replica", name="eu") as replica:
            folding = Folding(replica, log, DEFINITIONS)
            assert folding.progress()["spent"] == 70
            await fold_all(folding)
            assert set(folding.progress().values()) == {450}
            check_all(replica, events)

    asyncio.run(main())
    log.close()


def test_the_past_of_a_new_trait_ends_where_all_of_it_was_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FOLD_READ_MAX", 2)
    log = EventLog(tmp_path / "events")
    log.append([order(number, "bob") for number in range(5)])
    old = TraitDefinitions({"orders": DEFINITIONS.by_name["orders"]})

    async def main() -> None:
        async with Replica.open(tmp_path / "replica", name="eu") as replica:
            await fold_all(Folding(replica, log, old))
            log.forget_profile("bob")
            new = [order(number) for number in range(5, 15)]
            log.append(new)
            folding = Folding(replica, log, DEFINITIONS)
            with monkeypatch.context() as first:
                first.setattr(limits, "FOLD_EVENTS_MAX", 0)  # whole pages come after its past
                async with asyncio.timeout(PATIENCE_S):
                    await folding.fold_once()
            assert set(folding.progress().values()) == {5}
            await fold_all(folding)
            assert set(folding.progress().values()) == {15}
            check_all(replica, new)

    asyncio.run(main())
    log.close()


COUNT = '[traits.orders]\nevent = "Order Completed"\nfold = "count"\n'


def test_a_changed_definition_takes_a_greater_version_and_is_folded_anew(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events")
    log.append([order(number) for number in range(5)])
    changed = COUNT.replace("Order Completed", "Order Refunded")

    async def main() -> None:
        async with Replica.open(tmp_path / "replica", name="eu") as replica:
            await fold_all(Folding(replica, log, TraitDefinitions.parse(COUNT)))
            with pytest.raises(DefinitionInvalid, match="version = 2"):
                Folding(replica, log, TraitDefinitions.parse(changed))
            dear = TraitDefinitions.parse(COUNT + "version = 2\nwhere = { total = { gt = 99 } }\n")
            await fold_all(Folding(replica, log, dear))
            log.append([order(number) for number in range(5, 7)])
            assert replica.read("ann")["orders"] == 5
            sums = TraitDefinitions.parse(
                COUNT.replace("count", "sum") + 'version = 3\nproperty = "total"\n'
            )
            await fold_all(Folding(replica, log, sums))
            assert replica.read("ann")["orders"] == 70.0
            with pytest.raises(DefinitionInvalid, match="version = 4"):
                Folding(replica, log, dear)

    asyncio.run(main())
    log.close()


def test_a_trait_that_is_taken_out_goes_on_where_it_was_when_it_comes_back(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events")
    log.append([order(number) for number in range(5)])

    async def main() -> None:
        async with Replica.open(tmp_path / "replica", name="eu") as replica:
            await fold_all(Folding(replica, log, TraitDefinitions.parse(COUNT)))
            log.append([order(number) for number in range(5, 8)])
            await fold_all(Folding(replica, log, TraitDefinitions()))
            assert replica.read("ann")["orders"] == 5
            await fold_all(Folding(replica, log, TraitDefinitions.parse(COUNT)))
            assert replica.read("ann")["orders"] == 8

    asyncio.run(main())
    log.close()


def test_a_copy_of_a_replica_counts_nothing_that_its_former_life_counts(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events")
    log.append([order(number) for number in range(5)])
    counting = TraitDefinitions.parse(COUNT)

    async def main() -> None:
        async with Replica.open(tmp_path / "replica", name="eu") as replica:
            await fold_all(Folding(replica, log, counting))
            log.append([order(number) for number in range(5, 8)])  # folded after the backup
            await replica.backups.write(tmp_path / "eu.backup")
            await fold_all(Folding(replica, log, counting))
            assert replica.read("ann")["orders"] == 8
        restore_backup(tmp_path / "eu.backup", tmp_path / "restored", alone=True)
        async with Replica.open(tmp_path / "restored", name="eu") as replica:
            folding = Folding(replica, log, counting)
            assert folding.counters["left_to_former_life"] == 3
            log.append([order(8)])
            await fold_all(folding)
            account = trait_account(replica, counting, "ann", "orders")
            assert sorted(each["payload"] for each in account) == [1, 5]
            again = TraitDefinitions.parse(COUNT + "version = 2\n")
            await fold_all(Folding(replica, log, again))
            assert replica.read("ann")["orders"] == 9

    asyncio.run(main())
    log.close()


def test_an_erased_profile_is_not_folded_into_and_a_revived_one_begins_anew(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events")

    async def main() -> None:
        async with Replica.open(tmp_path / "replica", name="eu") as replica:
            folding = Folding(replica, log, TraitDefinitions.parse(COUNT))
            log.append([order(1), order(2, "bob")])
            await fold_all(folding)
            await replica.erase("ann")
            log.append([order(3), order(4, "bob")])
            await fold_all(folding)
            assert folding.counters["profile-erased"] == 1
            assert replica.read("bob")["orders"] == 2
            await replica.revive("ann")
            log.append([order(5)])
            await fold_all(folding)
            assert replica.read("ann")["orders"] == 1

    asyncio.run(main())
    log.close()


def test_a_commit_that_fails_is_folded_again(tmp_path: Path, monkeypatch: Any) -> None:
    log = EventLog(tmp_path / "events")

    async def main() -> None:
        async with Replica.open(tmp_path / "replica", name="eu") as replica:
            folding = Folding(replica, log, TraitDefinitions.parse(COUNT))
            log.append([order(number) for number in range(4)])

            def refuse(*_: Any, **__: Any) -> None:
                raise StorageFull("the disk is full")

            with monkeypatch.context() as patch:
                patch.setattr(type(replica._store), "write", refuse)
                running = asyncio.create_task(folding.run())
                while not folding.trouble:
                    await asyncio.sleep(0.01)
            while folding.trouble:
                await asyncio.sleep(0.01)
            running.cancel()
            assert replica.read("ann")["orders"] == 4

    asyncio.run(main())
    log.close()


def test_what_does_not_fit_is_counted_and_stops_no_other_trait(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events")
    text = COUNT + '[traits.spent]\nevent = "Order Completed"\nfold = "sum"\nproperty = "total"\n'

    async def main() -> None:
        async with Replica.open(tmp_path / "replica", name="eu") as replica:
            await replica.write("ann", {"spent": "a lot"}, source="crm")
            folding = Folding(replica, log, TraitDefinitions.parse(text))
            odd = order(1, "bob")
            odd.properties["total"] = "ten"
            log.append([order(2), odd])
            await fold_all(folding)
            assert folding.unfit == {"spent": 1}
            assert folding.counters["kind-conflict"] == 1
            assert replica.read("ann")["orders"] == replica.read("bob")["orders"] == 1

    asyncio.run(main())
    log.close()


def test_the_greatest_of_times_fits_and_no_amount_is_more_than_a_partial_holds(
    tmp_path: Path,
) -> None:
    log = EventLog(tmp_path / "events")
    text = """
        [traits.last_ms]
        event = "Order Completed"
        fold = "maximum"
        property = "@timestamp"
        [traits.fine]
        event = "Order Completed"
        fold = "minimum"
        property = "total"
        decimals = 9
    """

    async def main() -> None:
        async with Replica.open(tmp_path / "replica", name="eu") as replica:
            folding = Folding(replica, log, TraitDefinitions.parse(text))
            small, huge = order(1), order(2)
            small.properties["total"], huge.properties["total"] = 9e9, 1e11
            log.append([small, huge])
            await fold_all(folding)
            found = replica.read("ann")
            assert (found["last_ms"], found["fine"]) == (small.timestamp_ms, 9e9)
            assert folding.unfit == {"fine": 1}

    asyncio.run(main())
    log.close()


def test_a_field_of_another_kind_in_the_schema_is_refused_at_the_start(tmp_path: Path) -> None:
    schema = Schema(fields={"orders": Field("counter")})
    log = EventLog(tmp_path / "events")

    async def main() -> None:
        async with Replica.open(tmp_path / "replica", name="eu", schema=schema) as replica:
            with pytest.raises(DefinitionInvalid, match="declares a counter"):
                Folding(replica, log, TraitDefinitions.parse(COUNT))

    asyncio.run(main())
    log.close()
