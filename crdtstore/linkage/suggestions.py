"""Suggestions: the pairs of profiles that a steward is asked about, and has not answered.

Left out are pairs that are of one person already, and those of two persons of which a steward said
that profiles of theirs do not match. Of several pairs between two persons the most probable is
suggested. Pairs that share an identifier are looked at last: nearly all are one person already.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from crdtstore import limits
from crdtstore.engine.persons import Persons
from crdtstore.errors import InvalidInput, ProfileErased, ProfileNotFound
from crdtstore.identity_rules import IDENTIFIERS, NOT_MATCH
from crdtstore.linkage.rules import LinkageRules
from crdtstore.linkage.scoring import Records, Suggestion, scored_pairs
from crdtstore.store import Store


class Standing(NamedTuple):
    """The profiles of a person, and those that a steward said match none of them."""

    profiles: frozenset[str]
    not_match: frozenset[str]


class Standings(Protocol):
    """Who knows the persons: a store, or a server that is asked."""

    def standing(self, profile_id: str) -> Standing | None:
        """Return the standing of a profile's person; None if the profile is gone."""
        ...


def suggest(store: Store, rules: LinkageRules, *, limit: int = 20) -> list[Suggestion]:
    """Return pairs of profiles that may be of one person, the most probable first.

    Nothing is changed: ``store.persons.merge`` accepts a pair, ``not_match`` declines it, and
    neither is suggested again. Raises what ``scored_pairs`` does.
    """
    records: dict[str, dict[str, Any]] = {}
    after = ""
    while page := store.profiles(after=after, limit=limits.PAGE_PROFILES_MAX):
        records |= {profile.id: compared_part(profile, rules) for profile in page}
        after = page[-1].id
    return unanswered(records, rules, _StandingsOfStore(store.persons), limit)


def compared_part(record: Mapping[str, Any], rules: LinkageRules) -> dict[str, Any]:
    """Return what suggestions are made from, of a golden record."""
    return {name: record[name] for name in (*rules.compare, IDENTIFIERS) if name in record}


def unanswered(
    records: Records, rules: LinkageRules, standings: Standings, limit: int
) -> list[Suggestion]:
    """Return the suggestions among some records that no steward has answered."""
    if not 1 <= limit <= limits.SUGGESTIONS_MAX:
        raise InvalidInput(f"limit is from 1 to {limits.SUGGESTIONS_MAX:,}, not {limit}")
    known: dict[str, Standing | None] = {}
    suggested: set[frozenset[str]] = set()
    found: list[Suggestion] = []
    for pair in _in_order(scored_pairs(records, rules), records):
        for profile_id in (pair.profile_id, pair.other_id):
            if profile_id not in known:
                standing = standings.standing(profile_id)
                members = (profile_id,) if standing is None else standing.profiles
                known |= dict.fromkeys(members, standing)
        one, other = known[pair.profile_id], known[pair.other_id]
        if one is None or other is None or not _is_open(one, other):
            continue
        persons = frozenset((min(one.profiles), min(other.profiles)))
        if persons not in suggested:
            suggested.add(persons)
            found.append(pair)
            if len(found) == limit:
                break
    return sorted(found, key=lambda pair: (-pair.score, pair.profile_id, pair.other_id))


def _in_order(pairs: Iterable[Suggestion], records: Records) -> list[Suggestion]:
    """Return the pairs, those that share an identifier last."""

    def shares(pair: Suggestion) -> bool:
        one = records[pair.profile_id].get(IDENTIFIERS, ())
        return not set(one).isdisjoint(records[pair.other_id].get(IDENTIFIERS, ()))

    return sorted(pairs, key=shares)


def _is_open(one: Standing, other: Standing) -> bool:
    return (
        one.profiles.isdisjoint(other.profiles)
        and one.not_match.isdisjoint(other.profiles)
        and other.not_match.isdisjoint(one.profiles)
    )


class _StandingsOfStore:
    """The standings that a store's persons have."""

    def __init__(self, persons: Persons) -> None:
        self._persons = persons

    def standing(self, profile_id: str) -> Standing | None:
        """Return the standing of a profile's person; None if the profile is gone."""
        try:
            person = self._persons.read(profile_id)
        except (ProfileErased, ProfileNotFound):
            return None
        told = self._persons.explain(profile_id, NOT_MATCH)
        declined = (str(candidate.value) for candidate in told if candidate.survives)
        return Standing(frozenset(person.profiles), frozenset(declined))
