"""The laws of a survivorship policy, and the proof that one keeps them.

Replicas converge when they show the same profile for the same cells. A policy stands between the
two, so it has to be a function of the set of candidates, which may be of several profiles of one
person. Each law is one way in which it is not:

| law        | demands                                                                       |
|------------|-------------------------------------------------------------------------------|
| choice     | it returns one of its candidates, for all values that the field may hold      |
| outside    | it asks no clock and no chance                                                |
| order      | another order of the candidates gives the same survivor                       |
| repetition | so do candidates that are told twice                                          |
| memory     | asked again, also after other questions, it gives the same survivor           |
| storage    | candidates that were packed and unpacked give the same survivor               |
| process    | another process, whose hashes of text differ, gives the same survivor         |

Not demanded, because replicas converge without it: that a loser's going away changes nothing
(``frequency`` counts losers), or that the survivor stays when a worse candidate comes.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import msgpack
from hypothesis import settings as Settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from crdtstore.model.candidates import Candidate, undecided
from crdtstore.model.survivorship import Claim, survivor
from crdtstore.model.values import CellValue, Value, from_cell_value, pack, to_cell_value
from crdtstore.policy import Policy, custom
from crdtstore.testing import strategies
from crdtstore.testing.broken import LawBroken
from crdtstore.testing.laws import prove
from crdtstore.testing.other_process import survivors_elsewhere
from crdtstore.testing.outside import watched

Claims: TypeAlias = Sequence[Claim]
OwnFunction: TypeAlias = Callable[[tuple[Candidate, ...]], Candidate]

_ELSEWHERE_MOST: Final = 100
_FIELD: Final = "field"


def check_policy(
    policy: Policy | OwnFunction | SearchStrategy[Policy],
    *,
    values: SearchStrategy[Any] | None = None,
    sources: Sequence[str] = (),
    settings: Settings | None = None,
) -> None:
    """Prove the laws of a survivorship policy; raises LawBroken with the smallest example.

    ``policy`` is a Policy, a function for ``crdtstore.schema.custom``, or a strategy of policies.
    ``values`` draws what the field may hold (for a group: maps of its members), any value by
    default; ``sources`` are names that the function treats specially.
    """
    __tracebackhide__ = True
    if not isinstance(policy, Policy | SearchStrategy):
        policy = custom(getattr(policy, "__name__", "own"), policy)
    policies = st.just(policy) if isinstance(policy, Policy) else policy
    asked: dict[bytes, tuple[list[Claim], bytes]] = {}

    def law(data: st.DataObject) -> None:
        drawn = data.draw(policies)
        claims = data.draw(_claims(drawn, values, sources))
        chosen = _check_choice(drawn, claims)
        _check_order(drawn, claims, chosen, data)
        _check_memory(drawn, claims, chosen, data.draw(_claims(drawn, values, sources)))
        _check_storage(drawn, claims, chosen)
        if len(asked) < _ELSEWHERE_MOST:
            asked[pack(claims)] = claims, pack(chosen)

    prove(law, settings)
    if isinstance(policy, Policy) and policy.choose is not None and asked:
        _check_process(policy, list(asked.values()))


def _claims(
    policy: Policy, values: SearchStrategy[Any] | None, sources: Sequence[str]
) -> SearchStrategy[list[Claim]]:
    """Return two or more claims to a field, the sources of the policy among theirs."""
    names = dict.fromkeys([*sources, *policy.sources, *policy.trust, *strategies.SOURCES])
    present = None if values is None else values.map(_cell_value).filter(_stands)
    return strategies.rival_claims(tuple(names), present)


def _stands(value: CellValue) -> bool:
    return value is not None


def _cell_value(value: Value) -> CellValue:
    return to_cell_value(value, "an example")


# --- the laws ------------------------------------------------------------------------------------


def _check_choice(policy: Policy, claims: Claims) -> Claim:
    with watched() as asked:
        chosen = _chosen(policy, claims)
    if asked:
        raise LawBroken(
            f"policy {policy.name!r} breaks the law of outside: it asks {asked[0]}",
            f"  of {_list(claims)}",
            "Two replicas that read at two moments would show two survivors of the same cells.",
        )
    return chosen


def _check_order(policy: Policy, claims: Claims, chosen: Claim, data: st.DataObject) -> None:
    other = data.draw(st.permutations(claims))
    _check_alike(policy, "order", claims, chosen, other, "let `candidate.recency` break ties")
    repeated = data.draw(st.lists(st.sampled_from(claims), max_size=2))
    other = data.draw(st.permutations([*claims, *repeated]))
    _check_alike(policy, "repetition", claims, chosen, other, "count sources, not candidates")


def _check_alike(
    policy: Policy, law: str, claims: Claims, chosen: Claim, other: Claims, advice: str
) -> None:
    other_chosen = _chosen(policy, other)
    if pack(other_chosen) != pack(chosen):
        raise LawBroken(
            f"policy {policy.name!r} breaks the law of {law}: it changes the survivor",
            f"  of {_list(claims)} it keeps {_say(chosen)}",
            f"  of {_list(other)} it keeps {_say(other_chosen)}",
            f"A survivor depends on the set of candidates alone: {advice}.",
        )


def _check_memory(policy: Policy, claims: Claims, chosen: Claim, others: Claims) -> None:
    for question in ("again", "after another question"):
        if question != "again":
            _chosen(policy, others)
        other = _chosen(policy, claims)
        if pack(other) != pack(chosen):
            raise LawBroken(
                f"policy {policy.name!r} breaks the law of memory: asked {question}, it changes",
                f"  of {_list(claims)} it keeps {_say(chosen)}, then {_say(other)}",
                "Two replicas are asked different questions, and would show different survivors.",
            )


def _check_storage(policy: Policy, claims: Claims, chosen: Claim) -> None:
    stored = [unpack_claim(pack(claim)) for claim in claims]
    other = _chosen(policy, stored)
    if pack(other) != pack(chosen):
        raise LawBroken(
            f"policy {policy.name!r} breaks the law of storage: packed and unpacked, it changes",
            f"  of {_list(claims)} it keeps {_say(chosen)}, then {_say(other)}",
            "A replica that was restarted would show another survivor than before.",
        )


def _check_process(policy: Policy, asked: Sequence[tuple[list[Claim], bytes]]) -> None:
    __tracebackhide__ = True
    assert policy.choose is not None
    answers = survivors_elsewhere(policy.choose, [claims for claims, _ in asked])
    wrong = [
        (claims, unpack_claim(chosen), claims[place])
        for (claims, chosen), place in zip(asked, answers, strict=False)  # none, if not askable
        if pack(claims[place]) != chosen
    ]
    if wrong:
        claims, chosen, other = min(wrong, key=lambda case: len(_list(case[0])))
        raise LawBroken(
            f"policy {policy.name!r} breaks the law of process: another process chooses otherwise",
            f"  of {_list(claims)} it keeps {_say(chosen)}, elsewhere {_say(other)}",
            "Hashes of text differ between processes, and with them the order of a set.",
        )


# --- asking --------------------------------------------------------------------------------------


def _chosen(policy: Policy, claims: Claims) -> Claim:
    """Return the claim that a policy chooses, with its candidates in just this order."""
    if policy.choose is None:
        return survivor(claims, policy)
    candidates = tuple(undecided(claim, _FIELD) for claim in claims)
    try:
        chosen = policy.choose(candidates)
    except BaseException as error:
        error.add_note(
            f"policy {policy.name!r} breaks the law of choice: it does not choose\n"
            f"  of {_list(claims)}\n"
            "If the field never holds such values, say what it holds: check_policy(values=...)."
        )
        raise
    for claim, candidate in zip(claims, candidates, strict=True):
        if candidate is chosen:
            return claim
    raise LawBroken(
        f"policy {policy.name!r} breaks the law of choice: it returns {chosen!r}",
        f"  of {_list(claims)}",
        "It returns one of the candidates that it was given, never a new value.",
    )


def unpack_claim(packed: bytes) -> Claim:
    """Return a claim from the bytes that ``pack`` made of it."""
    timestamp, origin, source, value, profile_id = msgpack.unpackb(packed, timestamp=3)
    return timestamp, origin, source, value, profile_id


def _say(claim: Claim) -> str:
    return f"{claim[2]} of {claim[4]}: {from_cell_value(claim[3])!r} at {claim[0]}"


def _list(claims: Claims) -> str:
    return "[" + ", ".join(map(_say, claims)) + "]"
