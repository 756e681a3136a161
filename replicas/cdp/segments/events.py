"""Who entered which segment, and who left it, as the change feed tells it."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal

from crdtstore import Change, Replica
from crdtstore.errors import ProfileErased, ProfileNotFound
from replicas.cdp.segments.definitions import SEGMENTS


@dataclass(frozen=True, slots=True)
class MembershipEvent:
    """A person entered a segment, or exited.

    ``cursor`` is that of the change; ``at_ms`` is when it was written. ``person_id`` is the person
    as it is now, and None if it was erased meanwhile.
    """

    cursor: str
    kind: Literal["entered", "exited"]
    segment: str
    profile_id: str
    person_id: str | None
    at_ms: int


async def membership_events(
    replica: Replica, *, since: str = "", follow: bool = True
) -> AsyncGenerator[MembershipEvent, None]:
    """Yield who entered and exited after a cursor of the change feed, in its order.

    At least once, and only what still stands: of who came and went before the feed was read nothing
    is told, and that a segment moved from one profile of a person to another is no event. A
    document that came by snapshot tells nothing: read its segments. Raises as ``changes`` does.
    """
    async with aclosing(replica.changes(since=since, follow=follow)) as changes:
        async for change in changes:
            for event in events_of(replica, change):
                yield event


def events_of(replica: Replica, change: Change) -> list[MembershipEvent]:
    """Return the events that one change of the feed is."""
    told = [each for each in change.elements if each.field == SEGMENTS]
    if not told:
        return []
    person_id, standing = _standing(replica, change.id)
    return [
        MembershipEvent(
            change.cursor,
            "entered" if each.is_in else "exited",
            str(each.element),
            change.id,
            person_id,
            change.timestamp >> 16,
        )
        for each in told
        if each.is_in is (each.element in standing)
    ]


def _standing(replica: Replica, profile_id: str) -> tuple[str | None, frozenset[object]]:
    try:
        person = replica.persons.read(profile_id)
    except (ProfileNotFound, ProfileErased):
        return None, frozenset()
    value = person.record.get(SEGMENTS)
    return person.id, frozenset(value) if isinstance(value, list) else frozenset()
