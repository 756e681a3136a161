"""Candidates: what each source says about a field, as the public sees it, and own policies on them.

A policy of one's own (``crdtstore.schema.custom``) is a function from a tuple of candidates to one
of them. They are handed over newest first, so that a function which forgets that two candidates
may be equal by its measure, as ``max`` does, takes the newest of them on every replica.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from crdtstore.clock import datetime_of
from crdtstore.errors import PolicyFailed
from crdtstore.model.survivorship import Claim, claim_order
from crdtstore.model.values import CellValue, Value, from_cell_value
from crdtstore.policy import Policy


@dataclass(frozen=True, slots=True)
class Candidate:
    """One source's part in a field: what it says, since when, from which replica, and its fate.

    ``origin`` is the incarnation that wrote it and ``replica`` that one's name, empty if not
    known. ``rule`` says why it survives or does not. A set has a candidate for every source and
    origin of an element, whose ``timestamp`` is that of the last addition or removal. Before a
    policy of one's own, nothing is decided: ``replica`` and ``rule`` are empty, ``survives`` False.
    In a person, there is a candidate for every source of every profile.
    """

    field: str
    kind: str
    source: str
    value: Value
    timestamp: int
    origin: int
    replica: str
    survives: bool
    rule: str
    profile_id: str

    @property
    def at(self) -> datetime:
        """The time of writing, by the clock of the replica that took the write."""
        return datetime_of(self.timestamp)

    @property
    def recency(self) -> tuple[int, int, str, str]:
        """The place in the order of time, which no other candidate shares: it breaks every tie."""
        return self.timestamp, self.origin, self.source, self.profile_id


def own_survivor(
    claims: Sequence[Claim], policy: Policy, field: str, members: Sequence[str] = ()
) -> Claim:
    """Return the claim that a policy of one's own chooses; raises PolicyFailed if it does not.

    ``members`` are the fields of a group, ``field`` is then the group's name.
    """
    assert policy.choose is not None
    if len(claims) == 1:
        return claims[0]
    ordered = sorted(claims, key=claim_order, reverse=True)
    candidates = tuple(undecided(claim, field, members) for claim in ordered)
    try:
        chosen = policy.choose(candidates)
    except BaseException as error:
        error.add_note(f"in policy {policy.name!r}, for {_place(field, claims)}")
        raise
    for claim, candidate in zip(ordered, candidates, strict=True):
        if candidate is chosen:
            return claim
    raise PolicyFailed(
        f"policy {policy.name!r} returned {chosen!r} for {_place(field, claims)}; "
        "it returns one of the candidates that it was given"
    )


def _place(field: str, claims: Sequence[Claim]) -> str:
    """Say what was asked about; of the profiles of a person, the first by id stands for all."""
    profile_ids = sorted({claim[4] for claim in claims})
    others = f" and {len(profile_ids) - 1:,} more" if len(profile_ids) > 1 else ""
    return f"{field!r} of profile {profile_ids[0]!r}{others}"


def undecided(claim: Claim, field: str, members: Sequence[str] = ()) -> Candidate:
    """Return the candidate that a policy of one's own is shown for a claim."""
    timestamp, origin, source, value, profile_id = claim
    return Candidate(
        field=field,
        kind="register",
        source=source,
        value=_group_value(members, value) if members else from_cell_value(value),
        timestamp=timestamp,
        origin=origin,
        replica="",
        survives=False,
        rule="",
        profile_id=profile_id,
    )


def _group_value(members: Sequence[str], values: list[CellValue]) -> Value:
    return {
        member: from_cell_value(value)
        for member, value in zip(members, values, strict=True)
        if value is not None
    }
