"""The golden record, by example: kinds, policies, groups, conflicts."""

import pickle
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from crdtstore.model.cells import (
    counter_key,
    denial_key,
    encode_element,
    grant_key,
    register_key,
    set_key,
)
from crdtstore.model.document import Document
from crdtstore.model.golden import explain, resolve
from crdtstore.model.profile import FieldConflict
from crdtstore.model.values import to_cell_value
from crdtstore.schema import (
    Field,
    Group,
    Schema,
    Trust,
    fill_only,
    frequency,
    longest,
    maximum,
    minimum,
    oldest,
    recency,
    source_priority,
    trust_decay,
)

DAY = 86_400_000 << 16
EU, US = 0x11, 0x22


def registers(**fields):
    """Return the cells of {field: {source: (timestamp, value)}}, written at EU."""
    return {
        register_key(field, source): (timestamp, EU, to_cell_value(value, field))
        for field, claims in fields.items()
        for source, (timestamp, value) in claims.items()
    }


def profile_of(cells, schema=None):
    return resolve("p-1", Document(0, cells), schema or Schema())


def accounts(cells, schema=None, field=None):
    names = {EU: "eu"}
    return explain("p-1", Document(0, cells), schema or Schema(), names, field)


def with_policy(policy):
    return Schema(fields={"title": Field(policy=policy)})


# --- registers ---------------------------------------------------------------------------------


def test_the_newest_candidate_survives_by_default():
    cells = registers(email={"crm": (5, "new@x"), "cdp": (3, "old@x")}, name={"cdp": (1, "Ada")})
    assert profile_of(cells) == {"email": "new@x", "name": "Ada"}


@pytest.mark.parametrize(
    ("policy", "survivor"),
    [
        (recency(), "Engineer"),
        (source_priority("steward", "crm"), "VP"),
        (source_priority("cdp"), "Engineer"),
        (source_priority("unheard-of"), "Engineer"),
        (frequency(), "CTO"),
        (oldest(), "CTO"),
        (minimum(), "CTO"),
        (maximum(), "VP"),
        (longest(), "Engineer"),
        (fill_only("cdp"), "VP"),
        (fill_only("cdp", "crm", "erp"), "CTO"),
        (fill_only("cdp", "crm", "erp", "web"), "Engineer"),
    ],
    ids=lambda case: repr(case)[:60],
)
def test_each_policy_chooses_by_its_own_measure(policy, survivor):
    cells = registers(
        title={"web": (1, "CTO"), "erp": (2, "CTO"), "crm": (3, "VP"), "cdp": (4, "Engineer")}
    )
    assert profile_of(cells, with_policy(policy)) == {"title": survivor}


def test_cleared_values_never_survive():
    cells = registers(title={"crm": (9, None), "cdp": (1, "CTO")}, name={"crm": (1, None)})
    for policy in (recency(), source_priority("crm"), maximum(), frequency()):
        assert profile_of(cells, with_policy(policy)) == {"title": "CTO"}


def test_trust_falls_in_a_straight_line_and_stops_at_the_floor():
    trust = {"crm": Trust(start=90, floor=40, decay_days=100), "cdp": Trust(60, 60, 1)}
    schema = with_policy(trust_decay(trust))
    for age_days, survivor in ((0, "crm"), (59, "crm"), (61, "cdp"), (5000, "cdp")):
        cells = registers(title={"crm": (DAY, "crm"), "cdp": (DAY * (1 + age_days), "cdp")})
        assert profile_of(cells, schema) == {"title": survivor}


def test_equal_trust_is_decided_exactly_and_then_by_recency():
    trust = {"crm": Trust(90, 40, 100), "cdp": Trust(60, 60, 1)}
    cells = registers(title={"crm": (DAY, "crm"), "cdp": (DAY * 61, "cdp")})
    assert profile_of(cells, with_policy(trust_decay(trust))) == {"title": "cdp"}
    one_ms_younger = registers(title={"crm": (DAY + (1 << 16), "crm"), "cdp": (DAY * 61, "cdp")})
    assert profile_of(one_ms_younger, with_policy(trust_decay(trust))) == {"title": "crm"}


def test_a_source_without_trust_takes_the_default_or_has_none():
    cells = registers(title={"crm": (DAY, "crm"), "web": (2 * DAY, "web")})
    trust = {"crm": Trust(10, 10, 1)}
    assert profile_of(cells, with_policy(trust_decay(trust))) == {"title": "crm"}
    default = trust_decay(trust, default=Trust(20, 20, 1))
    assert profile_of(cells, with_policy(default)) == {"title": "web"}


def test_frequency_counts_values_of_two_types_apart():
    cells = registers(title={"a": (9, True), "b": (1, 1), "c": (2, 1), "d": (8, 1.0)})
    assert repr(profile_of(cells, with_policy(frequency()))["title"]) == "1"


def test_mixed_types_have_an_order():
    values = [False, True, -5, 2.5, 3, "", "a", b"", datetime(2026, 1, 1, tzinfo=UTC), [1], {}]
    claims = {f"s{place}": (1 + place, value) for place, value in enumerate(values)}
    cells = registers(title=claims)
    assert profile_of(cells, with_policy(minimum()))["title"] is False
    assert profile_of(cells, with_policy(maximum()))["title"] == [1]
    assert [one.value for one in reversed(accounts(cells))] == values


def test_large_numbers_are_compared_exactly():
    cells = registers(title={"a": (9, 2.0**53), "b": (1, 2**53 + 1)})
    assert profile_of(cells, with_policy(maximum()))["title"] == 2**53 + 1


@pytest.mark.parametrize("policy", [minimum(), maximum()])
def test_equal_numbers_are_decided_by_recency(policy):
    for older, newer in ((1, 1.0), (1.0, 1), (0.0, -0.0), (-0.0, 0.0)):
        cells = registers(title={"a": (1, older), "b": (2, newer)})
        assert repr(profile_of(cells, with_policy(policy))["title"]) == repr(newer)


def test_longest_counts_characters_not_bytes():
    cells = registers(title={"a": (1, "abc"), "b": (2, "éé"), "c": (3, 1234567)})
    assert profile_of(cells, with_policy(longest())) == {"title": "abc"}


def test_equal_timestamps_are_decided_by_origin_then_by_source():
    cells = {
        register_key("title", "a"): (7, US, "us"),
        register_key("title", "z"): (7, EU, "eu"),
    }
    assert profile_of(cells) == {"title": "us"}
    cells[register_key("title", "b")] = (7, US, "us too")
    assert profile_of(cells) == {"title": "us too"}


# --- groups ------------------------------------------------------------------------------------

ADDRESS = Group(("city", "street", "zip"), source_priority("crm", "cdp"))


def test_a_group_survives_from_one_source_whole():
    cells = registers(
        city={"crm": (1, "Bonn"), "cdp": (9, "Köln")},
        street={"crm": (1, None), "cdp": (9, "Ring 1")},
        zip={"cdp": (9, "50667")},
        name={"cdp": (1, "Ada")},
    )
    schema = Schema(groups={"address": ADDRESS})
    assert profile_of(cells, schema) == {"city": "Bonn", "name": "Ada"}
    by_recency = Schema(groups={"address": Group(ADDRESS.fields, recency())})
    assert profile_of(cells, by_recency) == {
        "city": "Köln", "street": "Ring 1", "zip": "50667", "name": "Ada",
    }  # fmt: skip


def test_a_source_that_cleared_every_member_does_not_win_a_group():
    cells = registers(
        city={"crm": (9, None), "cdp": (1, "Köln")}, street={"crm": (9, None), "cdp": (1, "Ring")}
    )
    assert profile_of(cells, Schema(groups={"a": ADDRESS})) == {"city": "Köln", "street": "Ring"}


def test_a_group_without_any_value_is_absent():
    cells = registers(city={"crm": (9, None)})
    assert profile_of(cells, Schema(groups={"a": ADDRESS})) == {}


def test_frequency_in_a_group_counts_the_values_of_all_members_together():
    cells = registers(
        city={"a": (1, "Bonn"), "b": (2, "Bonn"), "c": (9, "Bonn")},
        street={"a": (1, "Ring"), "b": (2, "Ring"), "c": (9, "Gasse")},
    )
    schema = Schema(groups={"address": Group(("city", "street"), frequency())})
    assert profile_of(cells, schema) == {"city": "Bonn", "street": "Ring"}


# --- counters, sets, consent -------------------------------------------------------------------


def counter(*parts):
    return {
        counter_key("visits", source, origin): (9, origin, part) for source, origin, part in parts
    }


@pytest.mark.parametrize(
    ("parts", "total"),
    [
        ([5], 5),
        ([5, -5], 0),
        ([2**63 - 1, 2**63 - 1], 2**64 - 2),
        ([0.1] * 10, 1.0),
        ([1e16, 1, -1e16], 1.0),
        ([2, 0.5], 2.5),
        ([1e308, 1e308, -1e308], 1e308),
        ([1e308, 1e308], 1.7976931348623157e308),
        ([-1e308, -1e308], -1.7976931348623157e308),
    ],
    ids=repr,
)
def test_a_counter_is_the_sum_of_its_parts_in_every_order(parts, total):
    for order in (parts, parts[::-1], sorted(parts), parts[1:] + parts[:1]):
        cells = counter(*(("cdp", number, part) for number, part in enumerate(order, 1)))
        value = profile_of(cells)["visits"]
        assert repr(value) == repr(total)


def tag(element, added, removed, source="cdp", origin=EU):
    return {set_key("tags", source, origin, encode_element(element)): (added, removed)}


def test_an_element_is_in_a_set_while_any_addition_stands():
    cells = tag("vip", 1, 5) | tag("vip", 3, 0, origin=US) | tag("gone", 1, 2) | tag(7, 1, 0)
    assert profile_of(cells) == {"tags": [7, "vip"]}
    again = profile_of(dict(reversed(cells.items())))
    assert again["tags"] == [7, "vip"]


def test_an_element_removed_at_the_time_of_its_addition_is_out():
    assert profile_of(tag("a", 4, 4)) == {}


def test_an_emptied_set_is_absent():
    assert "tags" not in profile_of(tag("a", 1, 2))


def grant(timestamp, source="web"):
    return {grant_key("mail", source): (timestamp, EU, True)}


def denial(added, removed, source="web", origin=EU):
    return {denial_key("mail", source, origin): (added, removed)}


@pytest.mark.parametrize(
    ("cells", "value"),
    [
        (grant(1), True),
        (denial(1, 0), False),
        (grant(9) | denial(1, 0), False),
        (grant(9) | denial(1, 1), True),
        (grant(9) | denial(1, 9) | denial(2, 0, "crm"), False),
        (denial(1, 1), None),
    ],
)
def test_consent_is_denied_while_any_denial_stands(cells, value):
    assert profile_of(cells) == ({} if value is None else {"mail": value})


# --- conflicts ---------------------------------------------------------------------------------


def test_cells_of_two_kinds_without_a_schema_are_left_out_and_reported():
    cells = registers(visits={"crm": (1, "many")}, name={"crm": (1, "Ada")})
    cells |= counter(("cdp", EU, 2))
    profile = profile_of(cells)
    assert profile == {"name": "Ada"}
    assert profile.conflicts == (FieldConflict("visits", ("counter", "register"), None),)
    rules = {(one.kind, one.survives, one.rule) for one in accounts(cells, field="visits")}
    rule = "kind conflict: counter and register, undeclared"
    assert rules == {("counter", False, rule), ("register", False, rule)}


def test_a_cleared_register_is_still_a_cell_of_its_kind():
    cells = registers(visits={"crm": (1, None)}) | counter(("cdp", EU, 2))
    assert profile_of(cells) == {}
    assert [one.field for one in profile_of(cells).conflicts] == ["visits"]


@pytest.mark.parametrize(("kind", "value"), [("counter", 2), ("register", "many")])
def test_the_declared_kind_decides_and_the_rest_is_reported(kind, value):
    cells = registers(visits={"crm": (1, "many")}) | counter(("cdp", EU, 2))
    schema = Schema(fields={"visits": Field(kind)})
    profile = profile_of(cells, schema)
    assert profile == {"visits": value}
    assert profile.conflicts == (FieldConflict("visits", ("counter", "register"), kind),)
    fates = {one.kind: (one.survives, one.rule) for one in accounts(cells, schema)}
    other = "register" if kind == "counter" else "counter"
    assert fates[kind][0]
    assert fates[other] == (False, f"kind conflict: the schema declares a {kind}")


@pytest.mark.parametrize("declared", ["counter", "set", "consent"])
def test_a_register_in_a_field_of_another_kind_is_reported(declared):
    schema = Schema(fields={"visits": Field(declared)})
    profile = profile_of(registers(visits={"crm": (1, "many")}), schema)
    assert profile == {}
    assert profile.conflicts == (FieldConflict("visits", ("register",), declared),)


def test_a_counter_in_a_member_of_a_group_is_reported():
    cells = counter(("cdp", EU, 2)) | registers(city={"crm": (1, "Bonn")})
    schema = Schema(groups={"a": Group(("city", "visits"))})
    profile = profile_of(cells, schema)
    assert profile == {"city": "Bonn"}
    assert profile.conflicts == (FieldConflict("visits", ("counter",), "register"),)


def test_an_undeclared_field_takes_the_kind_of_its_cells():
    cells = counter(("cdp", EU, 2)) | tag("vip", 1, 0) | grant(1)
    profile = profile_of(cells)
    assert profile == {"mail": True, "tags": ["vip"], "visits": 2}
    assert profile.conflicts == ()


# --- the profile as a mapping ------------------------------------------------------------------


def test_a_profile_is_a_mapping_that_cannot_be_written():
    profile = profile_of(registers(b={"crm": (1, 1)}, a={"crm": (1, 2)}))
    assert isinstance(profile, Mapping)
    assert list(profile) == ["a", "b"]
    assert len(profile) == 2
    assert profile.get("c") is None
    assert dict(profile) == {"a": 2, "b": 1}
    with pytest.raises(KeyError):
        profile["c"]
    with pytest.raises(TypeError):
        profile["a"] = 3
    with pytest.raises(AttributeError):
        profile.version = "x"


def test_readers_cannot_change_what_others_read():
    cells = registers(data={"crm": (1, {"tags": ["a"]})}) | tag("vip", 1, 0)
    profile = profile_of(cells)
    profile["data"]["tags"].append("b")
    profile["tags"].append("b")
    assert profile == {"data": {"tags": ["a"]}, "tags": ["vip"]}
    accounts(cells, field="data")[0].value["tags"].append("b")
    assert accounts(cells, field="data")[0].value == {"tags": ["a"]}


def test_a_profile_tells_its_id_and_version_and_shows_itself():
    document = Document(0, registers(name={"crm": (1, "Ada")}))
    profile = resolve("p-1", document, Schema())
    assert profile.id == "p-1"
    assert profile.version == document.version
    assert repr(profile) == f"Profile('p-1', {document.version!r}, {{'name': 'Ada'}})"
    assert pickle.loads(pickle.dumps(profile)) == profile


def test_an_erased_profile_has_nothing():
    assert resolve("p-1", Document(1), Schema()) == {}
    assert explain("p-1", Document(1), Schema(), {}) == []
