"""Survivorship: which of several sources' values for a field becomes the value of the profile.

A policy is a pure function that narrows claims to the best by its own measure; among those that
are left the newest survives. "Newest" is the total order of (timestamp, origin, source, packed
value, profile id), so a survivor depends on the claims alone: not on their order, their
repetition, a wall clock or the replica that asks.

| policy          | what is best                                                              |
|-----------------|---------------------------------------------------------------------------|
| recency         | all are alike: the newest survives                                        |
| source_priority | the source that the policy names first; sources it does not name come last |
| frequency       | the value that most sources assert; 1, 1.0 and true are three values      |
| oldest          | the smallest timestamp: the value that has stood unchanged for longest    |
| minimum         | the least value in the order of ``value_order``                           |
| maximum         | the greatest value in that order                                          |
| longest         | the greatest length: see ``length_of``                                    |
| trust_decay     | the greatest trust, which falls with age: see ``trust_of``                |
| fill_only       | sources that are no fillers; the fillers only where no other has a value  |

``oldest`` compares times and treats all sources alike; ``fill_only`` compares sources and looks
at times only among those of one class. A source that cleared its value makes no claim.

Source: the policies of master data systems, as in the documentation of Reltio (survivorship
rules) and Informatica MDM (trust and its linear decay).
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import msgpack

from crdtstore.clock import wall_ms_of
from crdtstore.model.values import CellValue, pack
from crdtstore.policy import Policy, Trust

Claim: TypeAlias = tuple[int, int, str, Any, str]
"""What a source asserts: (timestamp, origin, source, cell value, never None, profile id)."""

Claims: TypeAlias = Sequence[Claim]

_DAY_MS: Final = 24 * 3600 * 1000
_NO_TRUST: Final = Trust(start=0, floor=0, decay_days=1)

_ORDER_OF_TYPES: Final[Mapping[type, int]] = MappingProxyType(
    {bool: 0, int: 1, float: 1, str: 2, bytes: 3, datetime: 4, msgpack.ExtType: 5}
)


def survivor(claims: Claims, policy: Policy) -> Claim:
    """Return the claim that survives; there must be at least one."""
    if len(claims) == 1:
        return claims[0]
    return newest(POLICIES[policy.name](claims, policy))


def newest(claims: Claims) -> Claim:
    """Return the newest claim, in an order that no two different claims share."""
    best = claims[0]
    for claim in claims[1:]:
        if claim[0] > best[0] or (claim[0] == best[0] and claim_order(claim) > claim_order(best)):
            best = claim
    return best


def standing(claim: Claim, claims: Claims, policy: Policy) -> str:
    """Say how a claim stands among the others by a policy: the rule that ``explain`` shows."""
    if len(claims) == 1:
        return f"{policy.name}: the only candidate"
    if policy.choose is not None:
        return f"{policy.name}: own policy, version {policy.version}, among {len(claims)}"
    measure = _MEASURES[policy.name](claim, claims, policy)
    tied = POLICIES[policy.name](claims, policy)
    if policy.name == "recency" or len(tied) < 2 or claim not in tied:
        return f"{policy.name}: {measure}"
    return f"{policy.name}: {measure}; {_recency_measure(claim, tied, policy)} such"


def value_order(value: CellValue) -> tuple[int, Any]:
    """Return the place of a value in the order of values: first by type, then by value.

    The types ascend: booleans, numbers, text, bytes, datetimes, lists and maps. Numbers compare
    exactly as numbers, so 1 and 1.0 are alike, and so are 0.0 and -0.0; text compares by code
    point, bytes by byte, lists and maps by their packed bytes.
    """
    if isinstance(value, msgpack.ExtType):
        return 5, value.data
    return _ORDER_OF_TYPES[type(value)], value


def length_of(value: CellValue) -> int:
    """Return the length by which ``longest`` compares values.

    Text counts its characters, bytes their bytes, lists and maps their packed bytes; a number, a
    boolean or a datetime has no length, so any text but the empty one is longer.
    """
    if isinstance(value, msgpack.ExtType):
        return len(value.data)
    return len(value) if isinstance(value, (str, bytes)) else 0


def trust_of(claim: Claim, claims: Claims, policy: Policy) -> Fraction:
    """Return the trust in a claim, which falls linearly from start to floor in ``decay_days``.

    Its age is how much older it is than the newest claim to the field. Measured against a wall
    clock, trust would change while nothing is written: two replicas would show two survivors of
    the same cells, and a version would not stand for a profile.
    """
    trust = policy.trust.get(claim[2]) or policy.default or _NO_TRUST
    decay_ms = trust.decay_days * _DAY_MS
    age_ms = min(_age_ms(claim, claims), decay_ms)
    return trust.start - Fraction((trust.start - trust.floor) * age_ms, decay_ms)


def _age_ms(claim: Claim, claims: Claims) -> int:
    return wall_ms_of(max(other[0] for other in claims)) - wall_ms_of(claim[0])


def claim_order(claim: Claim) -> tuple[int, int, str, bytes, str]:
    """Return the place of a claim in the order of time, which no two different claims share."""
    return claim[0], claim[1], claim[2], pack(claim[3]), claim[4]


def _recency(claims: Claims, policy: Policy) -> Claims:
    return claims


def _source_priority(claims: Claims, policy: Policy) -> Claims:
    for source in policy.sources:
        chosen = [claim for claim in claims if claim[2] == source]
        if chosen:
            return chosen
    return claims


def _frequency(claims: Claims, policy: Policy) -> Claims:
    sources = _sources_by_value(claims)
    most = max(map(len, sources.values()))
    return [claim for claim in claims if len(sources[pack(claim[3])]) == most]


def _sources_by_value(claims: Claims) -> dict[bytes, set[tuple[str, str]]]:
    """Return who asserts each value; the records that a source has of a person count each."""
    sources: dict[bytes, set[tuple[str, str]]] = {}
    for claim in claims:
        sources.setdefault(pack(claim[3]), set()).add((claim[2], claim[4]))
    return sources


def _oldest(claims: Claims, policy: Policy) -> Claims:
    first = min(claim[0] for claim in claims)
    return [claim for claim in claims if claim[0] == first]


def _minimum(claims: Claims, policy: Policy) -> Claims:
    least = min(value_order(claim[3]) for claim in claims)
    return [claim for claim in claims if value_order(claim[3]) == least]


def _maximum(claims: Claims, policy: Policy) -> Claims:
    greatest = max(value_order(claim[3]) for claim in claims)
    return [claim for claim in claims if value_order(claim[3]) == greatest]


def _longest(claims: Claims, policy: Policy) -> Claims:
    greatest = max(length_of(claim[3]) for claim in claims)
    return [claim for claim in claims if length_of(claim[3]) == greatest]


def _trust_decay(claims: Claims, policy: Policy) -> Claims:
    trusts = [trust_of(claim, claims, policy) for claim in claims]
    greatest = max(trusts)
    return [claim for claim, trust in zip(claims, trusts, strict=True) if trust == greatest]


def _fill_only(claims: Claims, policy: Policy) -> Claims:
    return [claim for claim in claims if claim[2] not in policy.sources] or claims


POLICIES: Final[Mapping[str, Callable[[Claims, Policy], Claims]]] = MappingProxyType(
    {
        "recency": _recency,
        "source_priority": _source_priority,
        "frequency": _frequency,
        "oldest": _oldest,
        "minimum": _minimum,
        "maximum": _maximum,
        "longest": _longest,
        "trust_decay": _trust_decay,
        "fill_only": _fill_only,
    }
)
"""Every policy: a function from claims to the best of them, never to none."""


def _recency_measure(claim: Claim, claims: Claims, policy: Policy) -> str:
    newer = sum(claim_order(other) > claim_order(claim) for other in claims)
    return f"{_ordinal(newer + 1)}newest of {len(claims)}"


def _priority_measure(claim: Claim, claims: Claims, policy: Policy) -> str:
    if claim[2] not in policy.sources:
        return f"{claim[2]} is not listed"
    place = policy.sources.index(claim[2]) + 1
    return f"{claim[2]} is {_ordinal(place) or '1st '}of {len(policy.sources)}"


def _frequency_measure(claim: Claim, claims: Claims, policy: Policy) -> str:
    agreeing = len(_sources_by_value(claims)[pack(claim[3])])
    return f"asserted by {agreeing} of {len({(other[2], other[4]) for other in claims})} sources"


def _oldest_measure(claim: Claim, claims: Claims, policy: Policy) -> str:
    older = sum(other[0] < claim[0] for other in claims)
    return f"{_ordinal(older + 1)}oldest of {len(claims)}"


def _minimum_measure(claim: Claim, claims: Claims, policy: Policy) -> str:
    less = sum(value_order(other[3]) < value_order(claim[3]) for other in claims)
    return f"{_ordinal(less + 1)}least of {len(claims)}"


def _maximum_measure(claim: Claim, claims: Claims, policy: Policy) -> str:
    greater = sum(value_order(other[3]) > value_order(claim[3]) for other in claims)
    return f"{_ordinal(greater + 1)}greatest of {len(claims)}"


def _longest_measure(claim: Claim, claims: Claims, policy: Policy) -> str:
    longer = sum(length_of(other[3]) > length_of(claim[3]) for other in claims)
    return f"length {length_of(claim[3]):,}, {_ordinal(longer + 1)}longest of {len(claims)}"


def _trust_measure(claim: Claim, claims: Claims, policy: Policy) -> str:
    trust = float(trust_of(claim, claims, policy))
    days = _age_ms(claim, claims) / _DAY_MS
    return f"trust {trust:.1f} in {claim[2]}, {days:.1f} days older than the newest"


def _fill_measure(claim: Claim, claims: Claims, policy: Policy) -> str:
    if claim[2] not in policy.sources:
        return f"{claim[2]} is no filler"
    others = any(other[2] not in policy.sources for other in claims)
    return f"{claim[2]} is a filler, and {'another' if others else 'no other'} source has a value"


def _ordinal(place: int) -> str:
    """Return "" for the first place, and "2nd ", "3rd " … for the ones behind it."""
    if place == 1:
        return ""
    ending = "th" if 10 <= place % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    return f"{place}{ending} "


_MEASURES: Final[Mapping[str, Callable[[Claim, Claims, Policy], str]]] = MappingProxyType(
    {
        "recency": _recency_measure,
        "source_priority": _priority_measure,
        "frequency": _frequency_measure,
        "oldest": _oldest_measure,
        "minimum": _minimum_measure,
        "maximum": _maximum_measure,
        "longest": _longest_measure,
        "trust_decay": _trust_measure,
        "fill_only": _fill_measure,
    }
)
