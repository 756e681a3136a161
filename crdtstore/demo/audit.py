"""Audit: reads everything back, and compares it with what the replicas acknowledged."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from crdtstore.demo import limits
from crdtstore.demo.client import Client
from crdtstore.demo.ledger import Ledger

Goldens: TypeAlias = dict[str, dict[str, Any]]
"""The fields of every golden record of a replica, by profile id."""

_KINDS = {int: "counters", list: "sets", bool: "consents"}


@dataclass(slots=True)
class Audit:
    """How many things were checked, what the counters sum up to, and what is wrong.

    ``persons`` are the profiles of each person that was found.
    """

    profiles: int = 0
    values: int = 0
    persons: list[tuple[str, ...]] = field(default_factory=list)
    counters: int = 0
    sets: int = 0
    consents: int = 0
    writes: int = 0
    counted: int = 0
    problems: list[str] = field(default_factory=list)


async def audit(clients: Sequence[Client], ledger: Ledger) -> Audit:
    """Check every profile on every replica, and every person with all its values on one."""
    found = Audit()
    goldens = await asyncio.gather(*(_read_goldens(client) for client in clients))
    for client, golden in zip(clients, goldens, strict=True):
        found.problems.extend(_compare_profiles(client.name, golden, goldens[0], ledger))
    found.profiles = len(goldens[0])
    _check_operations(found, goldens[0], ledger)
    values = ledger.values()
    groups = _groups(values)
    shares = [groups[place :: len(clients)] for place in range(len(clients))]
    await asyncio.gather(
        *(
            _check_values(found, client, share, values)
            for client, share in zip(clients, shares, strict=True)
        )
    )
    for client in clients:
        found.writes += (await client.status())["counters"]["writes"]
    if found.writes != ledger.effective_writes:
        found.problems.append(
            f"the replicas hold {found.writes:,} writes of their own, and acknowledged "
            f"{ledger.effective_writes:,} that changed something"
        )
    return found


async def _read_goldens(client: Client) -> Goldens:
    return {profile["id"]: profile["fields"] async for profile in client.profiles()}


def _compare_profiles(name: str, golden: Goldens, first: Goldens, ledger: Ledger) -> Iterator[str]:
    """Yield what is wrong with a replica's golden records as a whole."""
    missing = ledger.profile_ids - golden.keys()
    if missing or len(golden) != len(ledger.profile_ids):
        yield (
            f"{name} has {len(golden):,} profiles, expected {len(ledger.profile_ids):,}; "
            f"missing: {', '.join(sorted(missing)[:3]) or 'none'}"
        )
    for profile_id, fields in golden.items():
        if fields != first.get(profile_id):
            yield f"{name} has another golden record of {profile_id} than the first replica"


def _check_operations(found: Audit, golden: Goldens, ledger: Ledger) -> None:
    """Check counters, sets and consents, exactly."""
    for profile_id, name, expected in ledger.operations():
        actual = golden.get(profile_id, {}).get(name)
        if isinstance(expected, list):
            actual = sorted(actual or [])
        if type(expected) is int:
            found.counted += actual or 0
        kind = _KINDS[type(expected)]
        setattr(found, kind, getattr(found, kind) + 1)
        if actual != expected:
            found.problems.append(f"{profile_id}: {name} is {actual}, expected {expected}")


def _groups(ids: Iterable[str]) -> list[list[str]]:
    """Return profile ids by the number of their person: who should be one is asked at one place."""
    groups: dict[str, list[str]] = {}
    for profile_id in sorted(ids):
        groups.setdefault(profile_id.rpartition("-")[2], []).append(profile_id)
    return list(groups.values())


async def _check_values(
    found: Audit,
    client: Client,
    groups: Iterable[list[str]],
    values: dict[str, dict[tuple[str, str], set[str]]],
) -> None:
    """Check the value of every source for every field, as a few readers share the persons."""
    waiting = iter(groups)
    known: set[str] = set()

    async def read() -> None:
        for group in waiting:
            for profile_id in group:
                if profile_id not in known:
                    known.update(_check_person(found, await client.candidates(profile_id), values))

    async with asyncio.TaskGroup() as readers:
        for _ in range(limits.DEMO_READS_IN_FLIGHT):
            readers.create_task(read())


def _check_person(
    found: Audit,
    candidates: Sequence[dict[str, Any]],
    values: dict[str, dict[tuple[str, str], set[str]]],
) -> tuple[str, ...]:
    """Check the values of all profiles of a person; return the ids of these."""
    actual: dict[str, dict[tuple[str, str], str]] = {}
    for candidate in candidates:
        of_profile = actual.setdefault(candidate["profile"], {})
        if candidate["kind"] == "register":
            of_profile[candidate["field"], candidate["source"]] = candidate["value"]
    for profile_id, of_profile in actual.items():
        found.values += len(of_profile)
        expected = values.get(profile_id, {})
        found.problems.extend(_compare_values(profile_id, of_profile, expected))
    found.persons.append(tuple(sorted(actual)))
    return found.persons[-1]


def _compare_values(
    profile_id: str,
    actual: dict[tuple[str, str], str],
    expected: dict[tuple[str, str], set[str]],
) -> Iterator[str]:
    for slot in actual.keys() | expected.keys():
        if actual.get(slot) not in expected.get(slot, set()):
            name, source = slot
            allowed = " or ".join(map(repr, expected.get(slot, set()))) or "nothing"
            yield (
                f"{profile_id}: {name} of {source} is {actual.get(slot)!r}, acknowledged was "
                f"{allowed}"
            )
