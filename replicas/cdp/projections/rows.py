"""Rows: one for each person, and which of them a change makes another.

A row holds the profiles of its person. Persons unite and part, so a profile may have stood in the
row of another person before: every row that shares a profile with what changed is looked up in the
target, and the persons of all its profiles are read anew, until no row shares a profile with them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec

from crdtstore import Person, Replica
from crdtstore.errors import ProfileErased, ProfileNotFound
from replicas.cdp import limits

RowsOf: TypeAlias = Callable[[Set[str]], Awaitable[Mapping[str, Set[str]]]]
"""From profiles to the rows in the target that hold any of them: person to profiles."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What changes in a target: persons whose rows are written, and the ids of rows that go.

    ``profiles_gone`` stood in a row, and stand in none any more.
    """

    persons: tuple[Person, ...]
    rows_gone: frozenset[str]
    profiles_gone: frozenset[str]


async def batch_of(replica: Replica, profile_ids: Iterable[str], rows_of: RowsOf) -> Batch:
    """Return what changes in a target when some profiles were touched."""
    persons: dict[str, Person] = {}
    placed: set[str] = set()
    old: dict[str, Set[str]] = {}
    waiting, looked_up = set(profile_ids), set[str]()
    while waiting:
        found = await rows_of(waiting)
        looked_up |= waiting
        old.update(found)
        stood = waiting.union(*found.values())
        for number, profile_id in enumerate(sorted(stood), 1):
            if number % limits.PROJECTED_IN_ONE_GO_MAX == 0:
                await asyncio.sleep(0)
            if profile_id in placed:
                continue
            person = read_person(replica, profile_id)
            if person is not None:
                persons[person.id] = person
                placed.update(person.profiles)
        waiting = (placed | stood) - looked_up
    stood_before = set[str]().union(*old.values())
    return Batch(
        tuple(persons.values()),
        frozenset(old.keys() - persons.keys()),
        frozenset(stood_before - placed),
    )


def read_person(replica: Replica, profile_id: str) -> Person | None:
    """Return the person of a profile, None if it is gone."""
    try:
        return replica.persons.read(profile_id)
    except (ProfileNotFound, ProfileErased):
        return None


def json_of(value: Any) -> str:
    """Return a value as JSON: times in ISO 8601, bytes in base64, what is no number as null."""
    return msgspec.json.encode(value).decode()
