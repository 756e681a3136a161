"""Persons in the change feed: which persons a change may have touched, as they are now.

Nothing is stored for it. A change names the profile that was written; from there its persons are
found among the profiles that hang together with it, and with what it ever said of identifiers and
edges: who was parted from it is told too. Persons are told as they are when the feed is read, so
who handles every change in order ends with the persons that there are.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from crdtstore import limits
from crdtstore.engine.components import Exploration, person_version
from crdtstore.engine.documents import Documents
from crdtstore.engine.feed import Change, TouchedPerson
from crdtstore.identity_rules import IDENTIFIERS, MATCH, NOT_MATCH, IdentityRules
from crdtstore.model.identity import mentioned_in
from crdtstore.model.persons import PersonGroup

_IDENTITY_FIELDS = frozenset({IDENTIFIERS, MATCH, NOT_MATCH})


@dataclass(slots=True)
class _Found:
    """The persons that a change may have touched, and whether they are all."""

    groups: list[PersonGroup]
    is_complete: bool


class PersonFeed:
    """One page of the feed with its persons: each profile that is met is looked at once."""

    def __init__(
        self, exploration: Exploration, documents: Documents, rules: IdentityRules
    ) -> None:
        self._exploration = exploration
        self._documents = documents
        self._rules = rules
        self._groups: dict[str, list[PersonGroup]] = {}
        self._too_large: set[str] = set()

    def page(self, changes: Iterable[Change]) -> Iterator[Change]:
        """Yield changes with their persons, until so many profiles were looked at."""
        for change in changes:
            found = self._touched(change)
            persons = tuple(
                TouchedPerson(
                    group.id, group.profiles, person_version(self._documents, group.profiles)
                )
                for group in found.groups
            )
            yield replace(change, persons=persons, persons_complete=found.is_complete)
            if len(self._groups) >= limits.FEED_PERSON_PROFILES:
                return

    def _touched(self, change: Change) -> _Found:
        if change.fields and _IDENTITY_FIELDS.isdisjoint(change.fields):
            groups = self._groups_around(change.id)
            return _Found([group for group in groups if change.id in group.profiles], True)
        mentioned, others = mentioned_in(self._documents.get(change.id).cells)
        seeds = [change.id, *sorted(others)]
        is_complete = True
        for text in sorted(mentioned):
            if self._rules.is_blocked(text):
                continue
            holders = self._exploration.holders(text)
            is_complete &= holders is not None
            seeds += holders or ()
        found: dict[str, PersonGroup] = {}
        for seed in seeds:
            for group in self._groups_around(seed):
                found[group.id] = group
            is_complete &= seed not in self._too_large
        return _Found([found[person_id] for person_id in sorted(found)], is_complete)

    def _groups_around(self, profile_id: str) -> list[PersonGroup]:
        """Return the persons of all that hangs together with a profile; none if it is gone."""
        groups = self._groups.get(profile_id)
        if groups is None:
            component = self._exploration.component([profile_id])
            groups = component.persons(self._rules) if component.identities else []
            members = {*component.identities, profile_id}
            self._groups.update(dict.fromkeys(members, groups))
            self._too_large |= members if component.is_too_large else set()
        return groups
