"""Persons: which profiles are of one person, a pure function of what their documents say.

Profiles that hold the same identifier are linked, and so are two that a steward matched. Links are
taken one by one, and each unites two persons unless the rules forbid it:

1. identifiers by priority of their type, then in the order of time in which profiles took them;
2. matches of stewards, in the order of the profile ids: both profiles must hold the other's id, so
   removing it from either undoes them. A match unites persons as identifiers made them.

A link is dropped, and reported, if it would bring together two profiles of which either says that
it does not match the other; or more profiles or identifiers than a person may have; or more values
of a type than its limit. Since links of high priority come first, the link that goes is the one of
the lowest. A match of a steward may exceed limits of types, and nothing else. A profile is never
taken apart, even one that alone exceeds a limit. Blocked identifiers, and those that more profiles
hold than any person could, link nothing and count for nothing.

A window of a limit slides over the times at which the values were taken, by the timestamps of their
cells: no clock decides.

The result depends on the documents and the rules alone: not on the order in which anything arrived.
A person's id is the id of the profile that has held an identifier for longest.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from crdtstore import limits
from crdtstore.clock import wall_ms_of
from crdtstore.identity_rules import MATCH, IdentityRules, type_of
from crdtstore.model.identity import ProfileIdentity

_DAY_MS = 24 * 3600 * 1000
_BLOCKED = "blocked"
_NOT_MATCH = "not_match"


class DroppedLink(NamedTuple):
    """A link that does not hold: its identifier (or ``identity.match``), both profiles, and why.

    ``other_id`` is empty where the identifier links nobody at all.
    """

    identifier: str
    profile_id: str
    other_id: str
    reason: str

    @property
    def is_capped(self) -> bool:
        """Whether a limit or a cap is the reason, not a rule or a steward that means this link."""
        return self.reason not in (_BLOCKED, _NOT_MATCH)


class PersonGroup(NamedTuple):
    """The profiles of one person, in the order of their ids, and the links that were dropped."""

    id: str
    profiles: tuple[str, ...]
    dropped: tuple[DroppedLink, ...]


def persons_of(
    identities: Iterable[ProfileIdentity],
    rules: IdentityRules,
    overloaded: Collection[str] = frozenset(),
) -> list[PersonGroup]:
    """Return the persons of some profiles, by id; ``overloaded`` identifiers link nothing.

    With a profile must come all that hold an identifier of its own that is neither blocked nor
    overloaded, all whose ids it has in ``match``, and so on.
    """
    known = {identity.profile_id: identity for identity in identities}
    linking = _Linking(known, rules, overloaded)
    linking.link_identifiers()
    linking.link_matches()
    return linking.result()


class _Group:
    """Profiles that were united so far: what the rules ask of them."""

    __slots__ = ("count", "members", "not_match", "values")

    def __init__(self, identity: ProfileIdentity, usable: Mapping[str, int]) -> None:
        self.members = {identity.profile_id}
        self.not_match = set(identity.not_match)
        self.count = len(usable)
        self.values: dict[str, dict[str, int]] = {}
        for text, since in usable.items():
            self.values.setdefault(type_of(text), {})[text] = since

    def absorb(self, other: "_Group") -> None:
        """Take over all that another group is."""
        self.members |= other.members
        self.not_match |= other.not_match
        for kind, values in other.values.items():
            mine = self.values.setdefault(kind, {})
            for text, since in values.items():
                mine[text] = min(since, mine.get(text, since))
        self.count = sum(map(len, self.values.values()))


class _Linking:
    """The groups while links are taken, and the links that were dropped."""

    def __init__(
        self,
        known: Mapping[str, ProfileIdentity],
        rules: IdentityRules,
        overloaded: Collection[str],
    ) -> None:
        self._known = known
        self._rules = rules
        self._dropped: list[DroppedLink] = []
        self._usable: dict[str, dict[str, int]] = {}
        blocked: dict[str, bool] = {}
        for profile_id, identity in known.items():
            usable = self._usable[profile_id] = {}
            for text, since in identity.identifiers.items():
                if text not in blocked:
                    blocked[text] = rules.is_blocked(text)
                if blocked[text]:
                    self._dropped.append(DroppedLink(text, profile_id, "", _BLOCKED))
                elif text in overloaded:
                    reason = f"held by more than {limits.IDENTIFIER_PROFILES_MAX:,} profiles"
                    self._dropped.append(DroppedLink(text, profile_id, "", reason))
                else:
                    usable[text] = since
        self._home = {
            profile_id: _Group(identity, self._usable[profile_id])
            for profile_id, identity in known.items()
        }

    def link_identifiers(self) -> None:
        """Take the identifiers, by priority and time; a profile joins the first that it may."""
        entries = sorted(
            (self._rules.rank(text), since, text, profile_id)
            for profile_id, usable in self._usable.items()
            for text, since in usable.items()
        )
        anchors: dict[str, list[str]] = {}
        for _, _, text, profile_id in entries:
            earlier = anchors.setdefault(text, [])
            is_linked = any(self._link(text, profile_id, anchor) for anchor in earlier)
            if not is_linked and len(earlier) < limits.LINK_ATTEMPTS_MAX:
                earlier.append(profile_id)

    def link_matches(self) -> None:
        """Take the matches of stewards."""
        for profile_id in sorted(self._known):
            for other_id in sorted(self._known[profile_id].match):
                other = self._known.get(other_id)
                if other_id > profile_id and other is not None and profile_id in other.match:
                    self._link(MATCH, profile_id, other_id)

    def _link(self, identifier: str, profile_id: str, other_id: str) -> bool:
        """Unite the groups of two profiles if the rules allow it; return whether they are one."""
        one, other = self._home[profile_id], self._home[other_id]
        if one is other:
            return True
        reason = self._refusal(one, other, is_match=identifier == MATCH)
        if reason:
            self._dropped.append(DroppedLink(identifier, profile_id, other_id, reason))
            return False
        if len(one.members) < len(other.members):
            one, other = other, one
        one.absorb(other)
        for member in other.members:
            self._home[member] = one
        return True

    def _refusal(self, one: _Group, other: _Group, *, is_match: bool) -> str:
        """Return why two groups may not become one person, "" if they may."""
        rules = self._rules
        if not (
            one.not_match.isdisjoint(other.members) and other.not_match.isdisjoint(one.members)
        ):
            return _NOT_MATCH
        profiles = len(one.members) + len(other.members)
        if profiles > rules.profiles_max:
            return f"a person has at most {rules.profiles_max:,} profiles"
        shared = one.values.keys() & other.values.keys()
        common = sum(len(one.values[kind].keys() & other.values[kind].keys()) for kind in shared)
        if one.count + other.count - common > max(rules.identifiers_max, one.count, other.count):
            return f"a person has at most {rules.identifiers_max:,} identifiers"
        if not is_match:
            for kind in sorted(shared):
                reason = self._limit_refusal(kind, one.values[kind], other.values[kind])
                if reason:
                    return reason
        return ""

    def _limit_refusal(self, kind: str, one: Mapping[str, int], other: Mapping[str, int]) -> str:
        rules = self._rules.type_rules(kind)
        merged = {text: min(since, other.get(text, since)) for text, since in one.items()}
        merged = {**other, **merged}
        if len(merged) <= rules.limit:
            return ""
        if not rules.window_days:
            fits = len(merged) <= max(rules.limit, len(one), len(other))
            return "" if fits else f"a person has at most {rules.limit:,} values of {kind}"
        most = max(rules.limit, _most(one, rules.window_days), _most(other, rules.window_days))
        if _most(merged, rules.window_days) <= most:
            return ""
        return (
            f"a person has at most {rules.limit:,} values of {kind} in {rules.window_days:,} days"
        )

    def result(self) -> list[PersonGroup]:
        """Return the persons; a link that was dropped counts only if its ends stayed apart."""
        reports: dict[int, set[DroppedLink]] = {}
        for link in self._dropped:
            one, other = self._home[link.profile_id], self._home.get(link.other_id)
            if one is other:
                continue
            for group in (one, other):
                if group is not None:
                    reports.setdefault(id(group), set()).add(link)
        persons = []
        for group in {id(group): group for group in self._home.values()}.values():
            dropped = sorted(reports.get(id(group), ()))[: limits.DROPPED_LINKS_MAX]
            members = tuple(sorted(group.members))
            persons.append(PersonGroup(min(members, key=self._age), members, tuple(dropped)))
        return sorted(persons)

    def _age(self, profile_id: str) -> tuple[int, str]:
        identifiers = self._known[profile_id].identifiers
        return min(identifiers.values(), default=limits.TIMESTAMP_MAX), profile_id


def _most(values: Mapping[str, int], window_days: int) -> int:
    """Return how many values were taken within one window at the most."""
    window_ms, most, first = window_days * _DAY_MS, 0, 0
    times_ms = sorted(map(wall_ms_of, values.values()))
    for last, time_ms in enumerate(times_ms):
        while time_ms - times_ms[first] >= window_ms:
            first += 1
        most = max(most, last - first + 1)
    return most
