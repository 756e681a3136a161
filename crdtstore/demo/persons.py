"""Persons: what a steward does in the demo, seen from all replicas: merge, unmerge, forget."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from crdtstore.demo import limits
from crdtstore.demo.client import Client
from crdtstore.demo.failure import DemoFailed
from crdtstore.demo.golden import Choice, ExplainedRecord, explain
from crdtstore.demo.records import Record

Clients = Mapping[str, Client]
"""The replicas' clients by name."""

_SHOWN_OF_A_MERGE: Final = ("given_name", "surname", "date_of_birth", "soc_sec_id")


@dataclass(frozen=True, slots=True)
class StewardStory:
    """What a steward did, and after how many seconds all replicas showed it.

    ``merged`` is empty if the records of nobody were apart. ``restored`` says that the unmerge gave
    both golden records back on every replica, as they were. ``confirm_s`` is when all had confirmed
    that their files hold nothing of the erased person.
    """

    merged: tuple[str, ...]
    erased: tuple[str, ...]
    merge_s: float
    unmerge_s: float
    restored: bool
    erase_s: float
    confirm_s: float


async def merge(clients: Clients, pair: tuple[Record, Record]) -> tuple[ExplainedRecord, float]:
    """Have two profiles merged in ap; return the person as eu explains it, and the seconds."""
    one, two = pair
    started_s = time.monotonic()
    await clients["ap"].decide("merge", one.profile_id, two.profile_id)
    await _until_all(clients, lambda client: _are_one(client, one.profile_id, two.profile_id))
    merge_s = time.monotonic() - started_s
    title = "merged by a steward in ap, as eu explains it"
    choice = Choice(one.profile_id, title, _SHOWN_OF_A_MERGE)
    return await explain(clients["eu"], choice), merge_s


async def unmerge(
    clients: Clients, pair: tuple[Record, Record], before: Sequence[Mapping[str, Any]]
) -> float:
    """Take the merge back in us; return after how many seconds all showed the persons of before.

    Raises DemoFailed if a golden record is another than before.
    """
    ids = [record.profile_id for record in pair]
    started_s = time.monotonic()
    await clients["us"].decide("unmerge", *ids)
    await _until_all(clients, lambda client: _are_two(client, *ids))
    unmerge_s = time.monotonic() - started_s
    for client in clients.values():
        if shown(await persons(client, pair)) != shown(before):
            raise DemoFailed(f"{client.name} shows other golden records than before the merge")
    return unmerge_s


async def forget(clients: Clients, record: Record) -> tuple[tuple[str, ...], float, float]:
    """Erase a person in us; return her profiles, and two times in seconds.

    After the first no replica shows one of the profiles, or finds any by the identifier; after the
    second all have confirmed that their files hold nothing of her.
    """
    (identifier,) = record.identifiers
    person = await clients["us"].person(record.profile_id)
    profiles = tuple(person["profiles"])
    started_s = time.monotonic()
    erasure_id = await clients["us"].erase_person(record.profile_id)
    await _until_all(clients, lambda client: _is_forgotten(client, profiles, identifier))
    erase_s = time.monotonic() - started_s
    await _until_all(clients, lambda client: client.is_confirmed(erasure_id))
    return profiles, erase_s, time.monotonic() - started_s


async def persons(client: Client, pair: tuple[Record, Record]) -> list[dict[str, Any]]:
    """Return the persons of two records."""
    return [await client.person(record.profile_id) for record in pair]


def shown(found: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    """Return what a reader is shown of persons, but for their versions."""
    return [(person["id"], person["profiles"], person["fields"]) for person in found]


async def _until_all(clients: Clients, is_so: Callable[[Client], Awaitable[bool]]) -> None:
    """Wait until something is so at all replicas; raises DemoFailed if it never is."""
    try:
        async with asyncio.timeout(limits.DEMO_PATIENCE_S):
            for client in clients.values():
                while not await is_so(client):
                    await asyncio.sleep(limits.DEMO_STEWARD_LOOK_S)
    except TimeoutError:
        raise DemoFailed(
            f"not all replicas showed the decision within {limits.DEMO_PATIENCE_S:g} s"
        ) from None


async def _are_one(client: Client, one: str, two: str) -> bool:
    return two in (await client.person(one))["profiles"]


async def _are_two(client: Client, one: str, two: str) -> bool:
    return not await _are_one(client, one, two)


async def _is_forgotten(client: Client, profiles: Sequence[str], identifier: str) -> bool:
    is_gone = all([await client.is_erased(profile_id) for profile_id in profiles])
    return is_gone and await client.person_found(identifier) is None
