"""What must be true when all is quiet, computed from the ledger of what was sent."""

import time
import traceback
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import asyncpg

from crdtstore import Replica
from replicas.cdp.configuration import load_configuration
from replicas.cdp.events import Event
from tests.patience import until
from tests.replicas.cdp.projections.agreement import (
    expected_in_postgresql,
    expected_in_redis,
    held_by_postgresql,
    held_by_redis,
)
from tests.replicas.cdp.shoppers import REGIONS, SHOPPERS, Ledger
from tests.replicas.cdp.traits.plain import check_traits, traits_of
from tests.replicas.cdp.world import PUSHED, World
from tests.replicas.crm.hubspot_account import value_of
from tests.replicas.crm.processes import ServiceProcess

_PAGE = 1_000


class Judge:
    """Compares what services, targets and the vendor have with the ledger.

    Events of which the client never heard may be there or not: the logs tell, and all else must
    agree with the logs.
    """

    def __init__(self, here: World, ledger: Ledger) -> None:
        self._here = here
        self._ledger = ledger
        self._kept: dict[str, Event] = {}
        self._lasts: dict[str, int] = {}
        self._erased: set[str] = set()
        self._why = ""

    async def all_agrees(self) -> None:
        """Wait until everything agrees; raises AssertionError with what does not."""
        self._lasts.clear()
        try:
            await until(self._is_settled, "all to agree")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self._why}\n{self._here.logs()}") from None

    async def _logged(self, region: str) -> dict[str, Event]:
        """Return what a log holds: all that was acknowledged there, once, and as it was sent."""
        found: dict[str, Event] = {}
        after, last = 0, 1
        while after < last:
            path = f"/cdp/events?after={after}&limit={_PAGE}"
            answer = await self._here.services[region].ask("GET", path)
            last = answer["last"] if answer["events"] else 0
            for event in answer["events"]:
                after, message_id = event["sequence"], event["message_id"]
                assert message_id not in found, f"{message_id} is twice in the log of {region}"
                where, sent = self._ledger.sent[message_id]
                assert where == region
                assert sent.profile_id not in self._erased, f"{sent} outlives its person"
                for name in ("kind", "name", "properties", "user_id", "timestamp_ms"):
                    assert event[name] == getattr(sent, name), (name, event, sent)
                found[message_id] = sent
        promised = {
            each
            for each in self._ledger.acknowledged
            if self._ledger.sent[each][0] == region
            and self._ledger.sent[each][1].profile_id not in self._erased
        }
        lost = promised - found.keys()
        assert not lost, f"{len(lost)} acknowledged events are not in the log of {region}: {lost}"
        return found

    async def forgets(self, number: int) -> None:
        """Wait until nobody has anything of a shopper who was erased."""
        self._erased.add(f"u{number}")
        await until(lambda: self._is_forgotten(number), f"{number} to be forgotten")

    async def _is_forgotten(self, number: int) -> bool:
        for service in self._here.services.values():
            found = await service.ask("GET", f"/v1/persons?identifier=user_id:u{number}")
            if "fields" in found:
                return False
        try:
            for region in REGIONS:
                await self._logged(region)
        except AssertionError:
            return False
        return not self._contacts(number)

    async def _read_logs(self) -> None:
        """Read the logs if they grew: a client that was cut off may have been heard meanwhile."""
        statuses = [await self._here.services[name].ask("GET", "/cdp/status") for name in REGIONS]
        lasts = {each["name"]: each["log"]["last_sequence"] for each in statuses}
        if lasts != self._lasts:
            found: dict[str, Event] = {}
            for region in REGIONS:
                found |= await self._logged(region)
            self._kept, self._lasts = found, lasts

    async def _is_settled(self) -> bool:
        await self._read_logs()
        try:
            await self._check()
        except AssertionError:
            self._why = traceback.format_exc(limit=-2)[-4_000:]
            return False
        return True

    async def _check(self) -> None:
        services = self._here.services
        digests = {name: await each.ask("GET", "/v1/digest") for name, each in services.items()}
        assert len({each["digest"] for each in digests.values()}) == 1, digests
        of_shopper = defaultdict[str, list[Event]](list)
        for event in self._kept.values():
            of_shopper[event.profile_id].append(event)
        living = [each for each in range(SHOPPERS) if f"u{each}" not in self._erased]
        for number in living:
            events = of_shopper[f"u{number}"]
            persons = [await _person(each, number) for each in services.values()]
            assert persons[0]["fields"] == persons[1]["fields"] == persons[2]["fields"], persons
            assert len(persons[0]["profiles"]) == 1 + len(REGIONS), persons[0]
            for region in REGIONS:
                await _check_traits(services[region], persons[0]["id"], events)
            _check_fields(persons[0]["fields"], events)
            self._check_vendor(number, events)
        await self._check_projections()

    def _check_vendor(self, number: int, events: list[Event]) -> None:
        expected = traits_of(events, _now_ms())
        shown = self._contacts(number)
        assert len(shown) == 1, f"{len(shown)} contacts of shopper {number} at HubSpot"
        for field, name in PUSHED.items():
            has = value_of(shown[0], name)
            wanted = expected.get(field)
            assert (None if not has else float(has)) == wanted, (number, field, has, wanted)
        assert (value_of(shown[0], "audiences") or "") == ";".join(_segments_of(events))

    def _contacts(self, number: int) -> list[Any]:
        email = f"u{number}@example.com"
        records = self._here.hubspot.account.records.values()
        return [
            each for each in records if not each["archived"] and value_of(each, "email") == email
        ]

    async def _check_projections(self) -> None:
        shown = await self._here.services["eu"].ask("GET", "/cdp/projections")
        for each in shown.values():
            assert each["state"] == "following", shown
            assert not each["trouble"], shown
            assert each["lag_s"] == each.get("behind", 0) == 0, shown
            assert each["counters"]["rebuilds"] <= 1, "what is kept is not filled again"

    async def targets_agree(self, directory: Path) -> None:
        """Compare Redis and PostgreSQL with the golden records of a service that has stopped."""
        configuration = load_configuration(self._here.services["eu"].config)
        async with Replica.open(
            configuration.data / "replica", name="eu", schema=configuration.schema
        ) as replica:
            redis = await held_by_redis(self._here.redis.url)
            assert redis == expected_in_redis(replica)
            assert sum(":segment:" in key for key in redis) >= 2, "segments have members"
            rows = await held_by_postgresql(self._here.postgresql.url)
            assert rows == expected_in_postgresql(replica)
        connection = await asyncpg.connect(self._here.postgresql.url)
        found = await connection.fetch("select properties ->> 'message' from event_stream")
        await connection.close()
        kept = (each for each in self._kept if self._ledger.sent[each][0] == "eu")
        assert Counter(row[0] for row in found) == Counter(kept)


async def _person(service: ServiceProcess, number: int) -> Any:
    person = await service.ask("GET", f"/v1/persons?identifier=user_id:u{number}")
    assert "fields" in person, (service.url, number, person)
    return person


async def _check_traits(service: ServiceProcess, person_id: str, events: list[Event]) -> None:
    answer = await service.ask("GET", f"/cdp/profiles/{person_id}/traits")
    got, at_ms = answer["traits"], answer["at_ms"]
    try:
        check_traits(got, events, at_ms)
    except AssertionError:
        expected = traits_of(events, at_ms)
        names = got.keys() | expected.keys()
        pairs = {name: (got.get(name), expected.get(name)) for name in names}
        differ = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
        raise AssertionError(f"{person_id} at {service.url}: {differ}") from None


def _check_fields(fields: dict[str, Any], events: list[Event]) -> None:
    """Check consents and segments."""
    assert fields["consent.ads"] is _is_granted(events), fields
    wanted = _segments_of(events)
    assert sorted(fields.get("segments", [])) == wanted, (fields.get("segments"), wanted)


def _segments_of(events: list[Event]) -> list[str]:
    traits = traits_of(events, _now_ms())
    segments = {
        "addressable": _is_granted(events),
        "buyers": traits.get("orders", 0) >= 3,
        "recent": traits.get("orders_7d", 0) >= 2,
    }
    return [name for name, is_in in segments.items() if is_in]


def _is_granted(events: list[Event]) -> bool:
    """Say whether nobody denied: the grants came first."""
    return not any("False" in str(event.context.get("consent")) for event in events)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
