"""A survivor depends on the claims alone, and each policy keeps what its name promises."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crdtstore.model.golden import explain, resolve
from crdtstore.model.survivorship import (
    POLICIES,
    length_of,
    newest,
    standing,
    survivor,
    trust_of,
    value_order,
)
from crdtstore.model.values import from_cell_value, pack
from crdtstore.policy import POLICY_OPTIONS
from crdtstore.schema import Schema, frequency
from crdtstore.testing import check_policy, strategies

every_policy = pytest.mark.parametrize("name", sorted(POLICIES))


def test_the_policies_of_the_schema_are_the_policies_there_are():
    assert set(POLICIES) == set(POLICY_OPTIONS)


@every_policy
def test_a_policy_with_any_options_keeps_every_law(name):
    check_policy(strategies.policies([name]))


@every_policy
@settings(max_examples=40)
@given(data=st.data())
def test_a_claim_that_does_not_survive_can_go_without_consequence_unless_it_was_counted(name, data):
    claims = data.draw(strategies.claims())
    policy = data.draw(strategies.policies([name]))
    chosen = survivor(claims, policy)
    others = [claim for claim in claims if claim is not chosen]
    if name in ("frequency", "trust_decay") or not others:
        return
    dropped = data.draw(st.sampled_from(others))
    kept = [claim for claim in claims if claim is not dropped]
    assert pack(survivor(kept, policy)) == pack(chosen)


@every_policy
@settings(max_examples=40)
@given(data=st.data())
def test_every_claim_has_a_standing_that_names_the_policy(name, data):
    claims = data.draw(strategies.claims())
    policy = data.draw(strategies.policies([name]))
    for claim in claims:
        assert standing(claim, claims, policy).startswith(f"{name}: ")


@given(strategies.claims(), strategies.policies(["recency"]))
def test_recency_keeps_the_greatest_timestamp_then_origin_then_source(claims, policy):
    assert survivor(claims, policy)[:3] == max(claim[:3] for claim in claims)


@given(strategies.claims(), strategies.policies(["source_priority"]))
def test_source_priority_keeps_the_best_source_and_its_newest_value(claims, policy):
    def rank(claim):
        return policy.sources.index(claim[2]) if claim[2] in policy.sources else 1_000

    chosen = survivor(claims, policy)
    assert rank(chosen) == min(rank(claim) for claim in claims)
    alike = [claim for claim in claims if rank(claim) == rank(chosen)]
    assert pack(chosen) == pack(newest(alike))


@given(strategies.claims(), strategies.policies(["frequency"]))
def test_frequency_keeps_a_value_that_no_other_is_asserted_by_more_sources_than(claims, policy):
    def sources_of(claim):
        return len({(other[2], other[4]) for other in claims if pack(other[3]) == pack(claim[3])})

    chosen = survivor(claims, policy)
    assert sources_of(chosen) == max(sources_of(claim) for claim in claims)


def test_frequency_counts_types_apart():
    claims = [
        (9, 1, "cdp", True, "p"),
        (8, 1, "hubspot", 1.0, "p"),
        (1, 1, "salesforce", 1, "p"),
        (2, 1, "steward", 1, "p"),
    ]
    assert survivor(claims, frequency()) is claims[3]


@given(strategies.claims(), strategies.policies(["oldest"]))
def test_oldest_keeps_the_smallest_timestamp(claims, policy):
    assert survivor(claims, policy)[0] == min(claim[0] for claim in claims)


@given(strategies.claims(), strategies.policies(["minimum"]))
def test_minimum_keeps_a_value_that_none_is_below(claims, policy):
    chosen = value_order(survivor(claims, policy)[3])
    assert not any(value_order(claim[3]) < chosen for claim in claims)


@given(strategies.claims(), strategies.policies(["maximum"]))
def test_maximum_keeps_a_value_that_none_is_above(claims, policy):
    chosen = value_order(survivor(claims, policy)[3])
    assert not any(value_order(claim[3]) > chosen for claim in claims)


@given(strategies.cell_values(), strategies.cell_values(), strategies.cell_values())
def test_any_two_values_have_an_order_and_it_is_transitive(one, two, three):
    if None in (one, two, three):
        return
    orders = sorted(value_order(value) for value in (one, two, three))
    assert orders[0] <= orders[1] <= orders[2]
    assert orders[0] <= orders[2]


@given(strategies.claims(), strategies.policies(["longest"]))
def test_longest_keeps_a_value_that_none_is_longer_than(claims, policy):
    longest = max(length_of(claim[3]) for claim in claims)
    assert length_of(survivor(claims, policy)[3]) == longest


@given(strategies.claims(), strategies.policies(["trust_decay"]))
def test_trust_decay_keeps_a_claim_that_none_is_trusted_more_than(claims, policy):
    trusts = [trust_of(claim, claims, policy) for claim in claims]
    assert trust_of(survivor(claims, policy), claims, policy) == max(trusts)
    assert all(type(trust) is Fraction and 0 <= trust <= 100 for trust in trusts)


@given(strategies.claims(), strategies.policies(["trust_decay"]), st.integers(1, 1000))
def test_trust_does_not_depend_on_when_it_is_asked(claims, policy, days):
    later = [(claim[0] + (days * 86_400_000 << 16), *claim[1:]) for claim in claims]
    for claim, same in zip(claims, later, strict=True):
        assert trust_of(claim, claims, policy) == trust_of(same, later, policy)


@given(strategies.claims(), strategies.policies(["fill_only"]))
def test_fill_only_keeps_a_filler_only_where_no_other_source_has_a_value(claims, policy):
    chosen = survivor(claims, policy)
    others = [claim for claim in claims if claim[2] not in policy.sources]
    assert pack(chosen) == pack(newest(others or claims))


@given(strategies.documents(), strategies.schemas(), st.data())
def test_a_profile_does_not_depend_on_the_order_of_its_cells(document, schema, data):
    before = resolve("p", document, schema), explain("p", document, schema, {})
    order = data.draw(st.permutations(list(document.cells)))
    document.cells = {key: document.cells[key] for key in order}
    profile, candidates = resolve("p", document, schema), explain("p", document, schema, {})
    assert repr((profile, candidates)) == repr(before)


@given(strategies.documents(), strategies.schemas())
def test_explain_accounts_for_every_cell_and_agrees_with_the_profile(document, schema):
    profile = resolve("p", document, schema)
    candidates = explain("p", document, schema, {})
    assert len(candidates) == len(document.cells)
    for field in {candidate.field for candidate in candidates}:
        mine = [candidate for candidate in candidates if candidate.field == field]
        assert mine == explain("p", document, schema, {}, field=field)
        survivors = [candidate for candidate in mine if candidate.survives]
        assert [*survivors, *(one for one in mine if not one.survives)] == mine
        assert bool(survivors) is (field in profile)
        if survivors and survivors[0].kind == "register":
            assert [repr(candidate.value) for candidate in survivors] == [repr(profile[field])]
        if survivors and survivors[0].kind == "set":
            assert {repr(one.value) for one in survivors} == set(map(repr, profile[field]))


@given(strategies.documents())
def test_without_a_schema_every_lone_value_is_the_profiles(document):
    profile = resolve("p", document, Schema())
    by_field = {}
    for key, cell in document.cells.items():
        by_field.setdefault(key.split("\x1f")[0][1:], []).append((key, cell))
    for field, cells in by_field.items():
        if len(cells) == 1 and cells[0][0].startswith("r"):
            assert repr(profile.get(field)) == repr(from_cell_value(cells[0][1][2]))
