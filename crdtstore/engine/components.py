"""Components: the profiles to which one is linked, and so on, found by the index of identifiers.

It costs what is linked, however large the store is. Two bounds keep it so, and both depend on the
documents alone: an identifier that more than ``IDENTIFIER_PROFILES_MAX`` profiles hold links
nobody, and of more than ``COMPONENT_PROFILES_MAX`` profiles that hang together each is a person of
its own.
"""

import hashlib
from collections.abc import Collection, Iterable
from typing import NamedTuple

from crdtstore import limits
from crdtstore.engine.documents import Documents
from crdtstore.engine.identifiers import candidates
from crdtstore.identity_rules import IdentityRules
from crdtstore.model.identity import ProfileIdentity, identity_of
from crdtstore.model.persons import DroppedLink, PersonGroup, persons_of
from crdtstore.storage.contract import Storage


class Component(NamedTuple):
    """Profiles that hang together, and the identifiers among theirs that link nobody."""

    identities: dict[str, ProfileIdentity]
    overloaded: frozenset[str]
    is_too_large: bool

    def persons(self, rules: IdentityRules) -> list[PersonGroup]:
        """Return the persons that these profiles are of."""
        if not self.is_too_large:
            return persons_of(self.identities.values(), rules, self.overloaded)
        reason = f"more than {limits.COMPONENT_PROFILES_MAX:,} profiles hang together"
        return [
            PersonGroup(profile_id, (profile_id,), (DroppedLink("", profile_id, "", reason),))
            for profile_id in sorted(self.identities)
        ]

    def person(self, profile_id: str, rules: IdentityRules) -> PersonGroup:
        """Return the person of one of these profiles."""
        return next(group for group in self.persons(rules) if profile_id in group.profiles)


def person_version(documents: Documents, profile_ids: Collection[str]) -> str:
    """Return the version of a person of these profiles: it changes with each of theirs."""
    state = hashlib.blake2b(digest_size=8, person=b"crdtstore.person")
    for profile_id in profile_ids:
        state.update(f"{profile_id}\x1f{documents.get(profile_id).version}\x1f".encode())
    return f"{len(profile_ids):x}-{state.hexdigest()}"


class Exploration:
    """What one question reads: each document once, each identifier once."""

    def __init__(self, storage: Storage, documents: Documents, rules: IdentityRules) -> None:
        self._storage = storage
        self._documents = documents
        self._rules = rules
        self._identities: dict[str, ProfileIdentity | None] = {}
        self._holders: dict[str, list[str] | None] = {}

    def identity(self, profile_id: str) -> ProfileIdentity | None:
        """Return what a profile says of itself, None if it is erased or was never written."""
        if profile_id not in self._identities:
            document = self._documents.get(profile_id)
            is_living = not (document.is_absent or document.is_erased)
            self._identities[profile_id] = (
                identity_of(profile_id, document.cells) if is_living else None
            )
        return self._identities[profile_id]

    def holders(self, identifier: str) -> list[str] | None:
        """Return the profiles that hold an identifier; None if they are too many to be one."""
        if identifier not in self._holders:
            found = self._find(identifier)
            is_one = len(found) <= limits.IDENTIFIER_PROFILES_MAX
            self._holders[identifier] = found if is_one else None
        return self._holders[identifier]

    def _find(self, identifier: str) -> list[str]:
        found: list[str] = []
        for profile_id in candidates(self._storage, self._documents.fresh, identifier):
            identity = self.identity(profile_id)
            if identity is not None and identifier in identity.identifiers:
                found.append(profile_id)
                if len(found) > limits.IDENTIFIER_PROFILES_MAX:
                    break
        return found

    def since(self, profile_id: str, identifier: str) -> tuple[int, str]:
        """Return since when a holder has held an identifier, and its id: an order of holders."""
        identity = self.identity(profile_id)
        assert identity is not None
        return identity.identifiers[identifier], profile_id

    def component(self, profile_ids: Iterable[str]) -> Component:
        """Return what hangs together with some profiles; those that are not there are left out."""
        reached: dict[str, ProfileIdentity] = {}
        asked: set[str] = set()
        overloaded: set[str] = set()
        border = list(profile_ids)
        while border:
            profile_id = border.pop()
            identity = self.identity(profile_id)
            if identity is None or profile_id in reached:
                continue
            if len(reached) >= limits.COMPONENT_PROFILES_MAX:
                return Component(reached, frozenset(overloaded), is_too_large=True)
            reached[profile_id] = identity
            for other_id in identity.match:
                other = self.identity(other_id)
                if other is not None and profile_id in other.match:
                    border.append(other_id)
            for text in identity.identifiers.keys() - asked:
                asked.add(text)
                if self._rules.is_blocked(text):
                    continue
                holders = self.holders(text)
                if holders is None:
                    overloaded.add(text)
                else:
                    border.extend(other for other in holders if other not in reached)
        return Component(reached, frozenset(overloaded), is_too_large=False)
