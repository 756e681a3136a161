"""What to write so that a person stands in the segments that it belongs to.

The segments of a profile are a set field, and a golden record unites those of all its profiles. So
it is enough that one profile of the person has each; which one is left as it is, so that nothing is
written when persons merge who were in the same segments. One too many goes, for a segment counts
the profiles that stand in it.

Two regions that do this at once never undo one another for good: the profile with the least id
among those that have a segment is nobody's to clear, however much or little each of them sees.
"""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MembershipEdit:
    """What changes for one profile: the segments that it gains, and those that it loses."""

    profile_id: str
    add: tuple[str, ...]
    remove: tuple[str, ...]


def planned_edits(
    person_id: str,
    present: Mapping[str, Set[str]],
    wanted: Set[str],
    managed: Iterable[str],
) -> list[MembershipEdit]:
    """Return the edits that bring a person into the segments wanted, and out of all others.

    ``present`` are the segments of each of its profiles. Only segments that are ``managed`` are
    touched: others are somebody else's.
    """
    adds: dict[str, list[str]] = {}
    removes: dict[str, list[str]] = {}
    for segment in sorted(managed):
        holders = sorted(profile for profile, segments in present.items() if segment in segments)
        if segment in wanted and not holders:
            adds.setdefault(person_id, []).append(segment)
        for holder in holders[1:] if segment in wanted else holders:
            removes.setdefault(holder, []).append(segment)
    return [
        MembershipEdit(profile, tuple(adds.get(profile, ())), tuple(removes.get(profile, ())))
        for profile in sorted(adds.keys() | removes.keys())
    ]
