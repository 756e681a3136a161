"""Identity: what persons must be once replicas are equal, on every one of them.

The expectation is worked out from the documents alone, all of them at once, without the index of
identifiers: who holds what, what hangs together, and from that the persons by the pure function of
the model and their golden records.
"""

import random
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from crdtstore import limits
from crdtstore.engine.components import Component
from crdtstore.engine.identifiers import candidates
from crdtstore.engine.persons import STEWARD, Person
from crdtstore.errors import LimitExceeded, MergeRefused, PersonNotFound
from crdtstore.model.document import Document
from crdtstore.model.golden import resolve_all
from crdtstore.model.identity import ProfileIdentity, identity_of
from crdtstore.store import Store
from crdtstore.testing.simulation.history import Broken
from crdtstore.testing.simulation.stewards import IDENTIFIERS_DRAWN

MERGES_TRIED: Final = 3
"""Merges that are made and taken back at the end of a run."""


class Shown(NamedTuple):
    """What a reader is shown of a person."""

    id: str
    profiles: tuple[str, ...]
    record: dict[str, Any]
    dropped: tuple[tuple[str, ...], ...]


def check_persons(stores: Mapping[str, Store], documents: Mapping[str, Document]) -> int:
    """Check the persons of replicas that all have these documents; return how many have several."""
    living = {
        profile_id: document
        for profile_id, document in sorted(documents.items())
        if not (document.is_absent or document.is_erased)
    }
    identities = {each: identity_of(each, document.cells) for each, document in living.items()}
    persons = 0
    for name, store in stores.items():
        expected = expected_persons(store, living, identities)
        for profile_id in living:
            found = shown(store.persons.read(profile_id))
            if found != expected[profile_id]:
                raise Broken(
                    f"at {name} {profile_id} is of {found}; by the documents it is of "
                    f"{expected[profile_id]}"
                )
        _check_finding(name, store, identities)
        persons = len({each.id for each in expected.values() if len(each.profiles) > 1})
    return persons


def expected_persons(
    store: Store, living: Mapping[str, Document], identities: Mapping[str, ProfileIdentity]
) -> dict[str, Shown]:
    """Return the person of each profile, by the documents and the rules alone."""
    rules = store.schema.identity
    holders = {
        text: {each for each, identity in identities.items() if text in identity.identifiers}
        for text in {text for identity in identities.values() for text in identity.identifiers}
    }
    overloaded = {
        text
        for text, holding in holders.items()
        if len(holding) > limits.IDENTIFIER_PROFILES_MAX and not rules.is_blocked(text)
    }
    linking = {
        text: holding
        for text, holding in holders.items()
        if text not in overloaded and not rules.is_blocked(text)
    }
    found: dict[str, Shown] = {}
    for members in _components(identities, linking):
        component = Component(
            {each: identities[each] for each in members},
            frozenset(overloaded),
            is_too_large=len(members) > limits.COMPONENT_PROFILES_MAX,
        )
        for group in component.persons(rules):
            cells = [(each, living[each].cells) for each in group.profiles]
            record = dict(resolve_all(group.id, "", cells, store.schema, store.texts))
            person = Shown(group.id, group.profiles, record, group.dropped)
            found |= dict.fromkeys(group.profiles, person)
    return found


def _components(
    identities: Mapping[str, ProfileIdentity], linking: Mapping[str, Iterable[str]]
) -> Iterator[set[str]]:
    """Yield the profiles that hang together, by shared identifiers and by matches of both ends."""
    waiting = set(identities)
    while waiting:
        members, border = set[str](), {min(waiting)}
        while border:
            members |= border
            reached: set[str] = set()
            for each in border:
                identity = identities[each]
                for text in identity.identifiers:
                    reached |= set(linking.get(text, ()))
                reached |= {
                    other
                    for other in identity.match & identities.keys()
                    if each in identities[other].match
                }
            border = reached - members
        waiting -= members
        yield members


def shown(person: Person) -> Shown:
    """Return what a reader is shown of a person, but for its version."""
    return Shown(person.id, person.profiles, dict(person.record), person.dropped)


def _check_finding(name: str, store: Store, identities: Mapping[str, ProfileIdentity]) -> None:
    """Check that the index leads to every holder of an identifier, and a search to its person."""
    for text in IDENTIFIERS_DRAWN:
        holding = [each for each, identity in identities.items() if text in identity.identifiers]
        trace = store.commits.traces.of(text)
        led = set(candidates(store.storage, store.documents.fresh, trace))
        if not led >= set(holding):
            raise Broken(f"at {name} the index does not lead from {text} to {holding}, but {led}")
        try:
            persons = store.persons.find(*text.split(":", 1), limit=1_000)
        except PersonNotFound:
            persons = []
        is_linking = len(holding) <= limits.IDENTIFIER_PROFILES_MAX
        expected = set(holding) if is_linking and not store.schema.identity.is_blocked(text) else ()
        found = {each for person in persons for each in person.profiles}
        if not found >= set(expected) or (persons and not expected):
            raise Broken(f"at {name} {text} leads to {sorted(found)}, held by {sorted(holding)}")


def check_taking_back(store: Store, chance: random.Random) -> int:
    """Merge persons and take that back: all persons are as before; return how many were merged.

    Only persons are merged of which nobody said that they do not match: a merge takes that back.
    """
    may_decide = not store.schema.sources or STEWARD in store.schema.sources
    living = [profile.id for profile in store.profiles(limit=1_000)] if may_decide else []
    merged = 0
    for _ in range(MERGES_TRIED if len(living) > 1 else 0):
        one, other = chance.sample(living, 2)
        before = {each: shown(store.persons.read(each)) for each in living}
        if other in before[one].profiles or _are_declined(store, before[one], before[other]):
            continue
        try:
            person = store.persons.merge(one, other)
        except (MergeRefused, LimitExceeded):
            continue
        if not set(person.profiles) >= {*before[one].profiles, *before[other].profiles}:
            raise Broken(f"{one} and {other} were merged to {person.profiles}")
        store.persons.unmerge(one, other)
        after = {each: shown(store.persons.read(each)) for each in living}
        for each in living:
            if after[each] != before[each]:
                raise Broken(
                    f"{one} and {other} were merged and parted; {each} was of {before[each]}, "
                    f"is of {after[each]}"
                )
        merged += 1
    return merged


def _are_declined(store: Store, one: Shown, other: Shown) -> bool:
    said = {
        (each, str(candidate.value))
        for person in (one, other)
        for each in person.profiles
        for candidate in store.explain(each, "identity.not_match")
        if candidate.survives
    }
    pairs = {(each, far) for each in one.profiles for far in other.profiles}
    return any(pair in said or pair[::-1] in said for pair in pairs)
