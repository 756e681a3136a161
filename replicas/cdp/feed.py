"""Following the change feed of a replica: a page at a time, and the persons that it touched."""

import asyncio
from collections.abc import Iterable
from contextlib import aclosing
from dataclasses import dataclass, field

from crdtstore import Change, Replica
from crdtstore.errors import ProfileErased, ProfileNotFound

_SLICE = 25
"""Changes whose persons are found in one go: requests wait no longer than some 3 ms."""


@dataclass(slots=True)
class Touched:
    """What some changes touched: persons by id, with their profiles, and profiles that are gone.

    ``is_complete`` is false if they are too many to be told.
    """

    persons: dict[str, tuple[str, ...]] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    is_complete: bool = True


async def next_changes(replica: Replica, since: str, limit: int) -> list[Change]:
    """Return up to ``limit`` changes after a cursor; raises CursorExpired or InvalidInput."""
    found: list[Change] = []
    async with aclosing(replica.changes(since=since, follow=False)) as changes:
        async for change in changes:
            found.append(change)
            if len(found) == limit:
                break
    return found


async def wait_for_change(replica: Replica, since: str, timeout_s: float) -> None:
    """Return when there is a change after a cursor, or the time is over."""

    async def look() -> None:
        async with aclosing(replica.changes(since=since)) as changes:
            async for _ in changes:
                return

    try:
        async with asyncio.timeout(timeout_s):
            await look()
    except TimeoutError:
        return


async def touched_by(replica: Replica, changes: Iterable[Change]) -> Touched:
    """Return what some changes touched; the event loop has its turn meanwhile."""
    touched = Touched()
    waiting = list(changes)
    while waiting:
        told = replica.persons.in_feed(waiting[:_SLICE])
        del waiting[: len(told)]
        for change in told:
            touched.is_complete &= change.persons_complete
            for person in change.persons:
                touched.persons[person.id] = person.profiles
            if all(change.id not in person.profiles for person in change.persons):
                touched.gone.add(change.id)
        await asyncio.sleep(0)
    return touched


def is_there(replica: Replica, profile_id: str) -> bool:
    """Say whether a profile is there: known, and not erased."""
    try:
        replica.read(profile_id)
    except (ProfileNotFound, ProfileErased):
        return False
    return True
