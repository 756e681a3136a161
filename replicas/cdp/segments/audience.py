"""Looking at segments: how large they are, a sample, and a preview of one that is not saved."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from crdtstore import InvalidFilter, Person, Replica, Schema
from crdtstore.errors import ProfileErased, ProfileNotFound
from replicas.cdp import limits
from replicas.cdp.segments.conditions import Comparison, Condition, Says
from replicas.cdp.segments.definitions import SEGMENTS, Segment
from replicas.cdp.segments.moments import moment_ms

_AS_INDEXED: Final = frozenset({"eq", "sw", "gt", "ge", "lt", "le"})


@dataclass(frozen=True, slots=True)
class Preview:
    """How far a preview is: profiles looked at, of how many, and who is in the segment so far.

    ``way`` is "index" or "scan"; with an index only those profiles are looked at that may be in it,
    and ``of`` is None, for their number is not known ahead.
    """

    way: str
    looked_at: int
    of: int | None
    size: int
    sample: tuple[str, ...]
    is_done: bool


async def size_of(replica: Replica, name: str) -> int:
    """Return how many persons stand in a segment.

    Persons that merged are counted as two until they are evaluated.
    """
    return (await replica.queries.count(_members(name))).count


async def sample_of(replica: Replica, name: str, *, after: str = "", count: int) -> list[str]:
    """Return the ids of up to ``count`` persons in a segment, by profiles above an id."""
    page = await replica.queries.page(_members(name), after=after, limit=count)
    found = (_person(replica, profile.id) for profile in page.profiles)
    return list(dict.fromkeys(person.id for person in found if person is not None))


async def preview(
    replica: Replica, segment: Segment, *, sample: int, clock_ms: Callable[[], int]
) -> AsyncGenerator[Preview, None]:
    """Evaluate a definition over the store, without saving it; yields how far it is.

    Memory is bounded, the event loop has its turn, and the present is that of the beginning.
    """
    now_ms = clock_ms()
    where = filter_of(segment.condition, replica.schema)
    if where is not None and await _is_answered_by_index(replica, where):
        async for seen in _look(replica, segment, now_ms, sample, where):
            if seen is None:
                break
            yield seen
        else:
            return
    async for seen in _look(replica, segment, now_ms, sample, ""):
        assert seen is not None, "a scan remembers nobody"
        yield seen


async def _is_answered_by_index(replica: Replica, where: str) -> bool:
    try:
        page = await replica.queries.page(where, limit=1)
    except InvalidFilter:  # longer than filters may be
        return False
    return page.plan.way == "index"


async def _look(
    replica: Replica, segment: Segment, now_ms: int, sample: int, where: str
) -> AsyncIterator[Preview | None]:
    """Yield progress; None, and no more, if too many persons would have to be remembered."""
    way, total = ("index", None) if where else ("scan", replica.status().profiles)
    looked_at = size = 0
    found: list[str] = []
    counted: set[str] = set()
    async with aclosing(_pages(replica, where)) as pages:
        async for ids in pages:
            for profile_id in ids:
                looked_at += 1
                if looked_at % limits.EVALUATED_MAX == 0:
                    await asyncio.sleep(0)
                person = _person(replica, profile_id)
                if person is None:
                    continue
                if len(person.profiles) > 1:
                    if where and person.id in counted:
                        continue
                    if not where and profile_id != min(person.profiles):
                        continue
                    if where:
                        counted.add(person.id)
                if segment.has(person.record, now_ms):
                    size += 1
                    if len(found) < sample:
                        found.append(person.id)
            if len(counted) > limits.PREVIEW_REMEMBERED_MAX:
                yield None
                return
            of = None if total is None else max(total, looked_at)
            yield Preview(way, looked_at, of, size, tuple(found), False)
    yield Preview(way, looked_at, looked_at, size, tuple(found), True)


async def _pages(replica: Replica, where: str) -> AsyncGenerator[list[str], None]:
    """Yield the ids of profiles that a filter asks for, or of all, in pages."""
    after: str | None = ""
    while after is not None:
        if where:
            page = await replica.queries.page(where, after=after, limit=limits.PREVIEW_PAGE_MAX)
            ids, after = [profile.id for profile in page.profiles], page.next
        else:
            profiles = replica.profiles(after=after, limit=limits.PREVIEW_PAGE_MAX)
            ids = [profile.id for profile in profiles]
            after = ids[-1] if len(ids) == limits.PREVIEW_PAGE_MAX else None
        yield ids
        await asyncio.sleep(0)


def filter_of(condition: Condition, schema: Schema) -> str | None:
    """Return a filter by indexes that every person in a segment has a profile for, if any.

    A person's surviving value must be that of one of its profiles: so it is with registers that
    survive by recency, and with the elements of sets.
    """
    if isinstance(condition, Comparison):
        return _filter_of_comparison(condition, schema)
    found = [filter_of(part, schema) for part in condition.parts]
    useful = [each for each in found if each is not None]
    if condition.word == "all" and useful:
        return " and ".join(f"({each})" for each in useful)
    if condition.word == "any" and len(useful) == len(found):
        return " or ".join(f"({each})" for each in useful)
    return None


def _filter_of_comparison(condition: Comparison, schema: Schema) -> str | None:
    subject = condition.subject
    declared = schema.fields.get(subject.field)
    if subject.identifier or subject.member or declared is None or not declared.indexed:
        return None
    is_register = declared.kind == "register" and subject.field not in schema.group_of_field
    is_recent = is_register and schema.policy_of(subject.field).name == "recency"
    if not is_recent and declared.kind != "set":
        return None
    name = json.dumps(subject.field)
    for said in condition.says:
        if said.operator == "pr" and said.operand:
            return f"{name} pr"
        if said.operator in _AS_INDEXED and _is_plain(said):
            return f"{name} {said.operator} {json.dumps(said.operand)}"
        if said.operator == "in" and all(type(each) in (str, int, float) for each in said.operand):
            return " or ".join(f"{name} eq {json.dumps(each)}" for each in said.operand)
    return None


def _is_plain(said: Says) -> bool:
    """Say whether an index compares with the operand as we do: it does not with moments."""
    if said.operator in ("eq", "sw"):
        return type(said.operand) in (str, int, float, bool)
    return type(said.operand) in (str, int, float) and moment_ms(said.operand) is None


def _members(name: str) -> str:
    return f"{SEGMENTS} eq {json.dumps(name)}"


def _person(replica: Replica, profile_id: str) -> Person | None:
    try:
        return replica.persons.read(profile_id)
    except (ProfileNotFound, ProfileErased):
        return None
