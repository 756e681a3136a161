"""Survivors, worked out in the plainest way: what each policy promises, written a second time.

It is made from the documented meaning of the policies, to be compared with what the store says.
"""

import json
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from crdtstore.schema import Policy


class Said(NamedTuple):
    """What one source says: when, at which incarnation, and what."""

    timestamp: int
    origin: int
    source: str
    value: Any


def survivor_of(said: Sequence[Said], policy: Policy) -> Said:
    """Return the one that survives among what the sources say; none of them is None."""
    best = max(_rank(one, said, policy) for one in said)
    return max((one for one in said if _rank(one, said, policy) == best), key=_newest)


def group_survivor(by_source: dict[str, dict[str, Said]], fields: list[str], policy: Policy) -> str:
    """Return the source that survives for a group: its claim is as new as its newest value."""
    claims = []
    for source, members in by_source.items():
        newest = max(members.values(), key=_newest)
        together = [members[name].value if name in members else None for name in sorted(fields)]
        claims.append(Said(newest.timestamp, newest.origin, source, together))
    return survivor_of(claims, policy).source


def _newest(one: Said) -> tuple[int, int]:
    return one.timestamp, one.origin


def _rank(one: Said, said: Sequence[Said], policy: Policy) -> Any:
    """Return what a policy measures, the greater the better."""
    match policy.name:
        case "recency":
            return 0
        case "source_priority":
            is_listed = one.source in policy.sources
            return -policy.sources.index(one.source) if is_listed else -len(policy.sources)
        case "frequency":
            return sum(_same(one.value, other.value) for other in said)
        case "oldest":
            return -one.timestamp
        case "maximum":
            return _ordered(one.value)
        case "minimum":
            return -sum(_ordered(one.value) > _ordered(other.value) for other in said)
        case "longest":
            return len(one.value) if isinstance(one.value, str | bytes) else 0
        case "trust_decay":
            trust = policy.trust.get(one.source) or policy.default
            if trust is None:
                return Fraction(0)
            newest_ms = max(other.timestamp for other in said) >> 16
            days = Fraction(newest_ms - (one.timestamp >> 16), 86_400_000)
            spent = min(days / trust.decay_days, Fraction(1))
            return trust.start - (trust.start - trust.floor) * spent
        case "fill_only":
            return one.source not in policy.sources
    raise AssertionError(policy.name)


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and json.dumps(one) == json.dumps(other)


def _ordered(value: Any) -> tuple[int, Any]:
    if isinstance(value, bool):
        return 0, value
    return (1, value) if isinstance(value, int | float) else (2, str(value))
