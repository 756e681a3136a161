"""Edges: what stewards say of pairs of profiles, planned before anything is written.

A merge adds a match; an unmerge takes matches away, and where these do not hold the profiles
together adds that they do not match. Each plan is tried on the identities first, so what is written
does what was asked for, and taking it back gives what was before.
"""

from collections.abc import Iterable, Iterator
from itertools import product
from typing import NamedTuple

from crdtstore.engine.components import Component
from crdtstore.errors import MergeRefused
from crdtstore.identity_rules import MATCH, NOT_MATCH, IdentityRules
from crdtstore.model.operations import EditSet
from crdtstore.model.persons import PersonGroup, persons_of


class Edge(NamedTuple):
    """One change: a profile's set field gets, or loses, the id of another profile."""

    profile_id: str
    field: str
    other_id: str
    is_added: bool


def planned_merge(
    component: Component, rules: IdentityRules, profile_id: str, other_id: str
) -> list[Edge]:
    """Return the changes after which two persons are one; raises MergeRefused.

    What was said against it, of any two profiles of theirs, is taken back. A merge that would part
    some of them instead, for want of room, is refused too.
    """
    one = component.person(profile_id, rules).profiles
    other = component.person(other_id, rules).profiles
    edges = list(_taken_back(component, NOT_MATCH, product(one, other)))
    edges += _added(component, MATCH, profile_id, other_id)
    after = person_after(component, rules, edges, profile_id)
    if not set(after.profiles) >= {*one, *other}:
        reasons = (link.reason for link in after.dropped if link.identifier == MATCH)
        raise MergeRefused(profile_id, other_id, next(reasons, "the rules keep them apart"))
    return edges


def planned_unmerge(
    component: Component, rules: IdentityRules, profile_id: str, other_id: str
) -> list[Edge]:
    """Return the changes after which two profiles are of two persons, none if they are already.

    What is bound to either goes with it. Matches go first: those between the two parts that would
    be left without any match, then all of the first part; then the two are said not to match.
    """
    person = component.person(profile_id, rules).profiles
    if other_id not in person:
        return []
    without = list(_taken_back(component, MATCH, product(person, person)))
    part = person_after(component, rules, without, profile_id).profiles
    if other_id not in part:
        far = person_after(component, rules, without, other_id).profiles
        rest = [member for member in person if member not in part]
        for bound in (far, rest):
            edges = list(_taken_back(component, MATCH, product(part, bound)))
            if other_id not in person_after(component, rules, edges, profile_id).profiles:
                return edges
    return [
        *_taken_back(component, MATCH, [(profile_id, other_id)]),
        *_added(component, NOT_MATCH, profile_id, other_id),
    ]


def planned_parting(component: Component, rules: IdentityRules, profile_id: str) -> list[Edge]:
    """Return the changes after which a profile is a person of its own.

    Once it has left, others may join it for whom its person had no room: they are parted as well.
    """
    person = component.person(profile_id, rules).profiles
    edges = list(_taken_back(component, MATCH, product([profile_id], person)))
    while len(left := person_after(component, rules, edges, profile_id).profiles) > 1:
        for other_id in left:
            if other_id != profile_id:
                edges += _taken_back(component, MATCH, [(profile_id, other_id)])
                edges += _added(component, NOT_MATCH, profile_id, other_id)
    return edges


def planned_loosening(component: Component, profile_id: str, other_id: str | None) -> list[Edge]:
    """Return the changes that take back the matches of two profiles, or all matches of one.

    So it is where so much hangs together that every profile is a person of its own.
    """
    others = component.identities if other_id is None else (other_id,)
    return list(_taken_back(component, MATCH, [(profile_id, each) for each in others]))


def planned_not_match(component: Component, profile_id: str, other_id: str) -> list[Edge]:
    """Return the changes that say of two profiles that they do not match."""
    return [
        *_taken_back(component, MATCH, [(profile_id, other_id)]),
        *_added(component, NOT_MATCH, profile_id, other_id),
    ]


def edits(edges: Iterable[Edge]) -> dict[str, dict[str, EditSet]]:
    """Return what is to be written to each profile."""
    gathered: dict[str, dict[str, tuple[list[str], list[str]]]] = {}
    for profile_id, field, other_id, is_added in sorted(edges):
        added, removed = gathered.setdefault(profile_id, {}).setdefault(field, ([], []))
        (added if is_added else removed).append(other_id)
    return {
        profile_id: {
            field: EditSet(add=tuple(added), remove=tuple(removed))
            for field, (added, removed) in fields.items()
        }
        for profile_id, fields in gathered.items()
    }


def person_after(
    component: Component, rules: IdentityRules, edges: Iterable[Edge], profile_id: str
) -> PersonGroup:
    """Return the person of a profile as it would be with some changes."""
    identities = dict(component.identities)
    for changed_id, field, other_id, is_added in edges:
        identity = identities[changed_id]
        held = identity.match if field == MATCH else identity.not_match
        held = held | {other_id} if is_added else held - {other_id}
        identities[changed_id] = (
            identity._replace(match=held) if field == MATCH else identity._replace(not_match=held)
        )
    groups = persons_of(identities.values(), rules, component.overloaded)
    return next(group for group in groups if profile_id in group.profiles)


def _added(component: Component, field: str, profile_id: str, other_id: str) -> Iterator[Edge]:
    for one, other in ((profile_id, other_id), (other_id, profile_id)):
        if other not in _held(component, field, one):
            yield Edge(one, field, other, is_added=True)


def _taken_back(
    component: Component, field: str, pairs: Iterable[tuple[str, str]]
) -> Iterator[Edge]:
    """Yield the removal of every edge of a field between these pairs, at both ends."""
    ends = {(one, other) for pair in pairs for one, other in (pair, pair[::-1])}
    for one, other in sorted(ends):
        if other in _held(component, field, one):
            yield Edge(one, field, other, is_added=False)


def _held(component: Component, field: str, profile_id: str) -> frozenset[str]:
    identity = component.identities[profile_id]
    return identity.match if field == MATCH else identity.not_match
