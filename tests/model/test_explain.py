"""The account of a profile: who said what, when and where, and why it survives or not."""

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
from crdtstore.model.golden import explain
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
ADDRESS = Group(("city", "street", "zip"), source_priority("crm", "cdp"))


def registers(**fields):
    """Return the cells of {field: {source: (timestamp, value)}}, written at EU."""
    return {
        register_key(field, source): (timestamp, EU, to_cell_value(value, field))
        for field, claims in fields.items()
        for source, (timestamp, value) in claims.items()
    }


def accounts(cells, schema=None, field=None):
    names = {EU: "eu"}
    return explain("p-1", Document(0, cells), schema or Schema(), names, field)


def with_policy(policy):
    return Schema(fields={"title": Field(policy=policy)})


def counter(*parts):
    return {
        counter_key("visits", source, origin): (9, origin, part) for source, origin, part in parts
    }


def tag(element, added, removed, source="cdp", origin=EU):
    return {set_key("tags", source, origin, encode_element(element)): (added, removed)}


def grant(timestamp, source="web"):
    return {grant_key("mail", source): (timestamp, EU, True)}


def denial(added, removed, source="web", origin=EU):
    return {denial_key("mail", source, origin): (added, removed)}


def test_the_account_of_a_group_names_it():
    cells = registers(city={"crm": (1, "Bonn"), "cdp": (9, "Köln")}, street={"cdp": (9, "Ring")})
    candidates = accounts(cells, Schema(groups={"address": ADDRESS}))
    assert [(one.field, one.source, one.survives, one.rule) for one in candidates] == [
        ("city", "crm", True, "group address: source_priority: crm is 1st of 2"),
        ("city", "cdp", False, "group address: source_priority: cdp is 2nd of 2"),
        ("street", "cdp", False, "group address: source_priority: cdp is 2nd of 2"),
    ]


def test_the_account_of_a_counter_has_every_part():
    cells = counter(("cdp", EU, 2), ("cdp", US, 3), ("crm", US, -1))
    found = [(one.source, one.origin, one.value, one.survives) for one in accounts(cells)]
    assert sorted(found) == [
        ("cdp", EU, 2, True),
        ("cdp", US, 3, True),
        ("crm", US, -1, True),
    ]


def test_the_account_of_a_set_has_removed_elements_too():
    cells = tag("vip", 3, 0) | tag("gone", 1, 9, source="crm")
    assert [
        (one.value, one.source, one.timestamp, one.survives, one.rule) for one in accounts(cells)
    ] == [("vip", "cdp", 3, True, "added"), ("gone", "crm", 9, False, "removed")]


def test_the_account_of_consent_tells_denials_and_grants():
    cells = grant(9) | denial(4, 0, "crm") | denial(1, 2)
    assert [(one.source, one.value, one.survives, one.rule) for one in accounts(cells)] == [
        ("crm", False, True, "denied: a revocation that no grant has seen stands"),
        ("web", True, False, "overruled: a revocation stands"),
        ("web", False, False, "lifted: a grant has seen this revocation"),
    ]
    assert accounts(grant(9))[0].rule == "granted: no revocation stands"


def test_a_candidate_tells_who_when_and_where():
    timestamp = 1_790_000_000_123 << 16 | 5
    cells = {
        register_key("name", "crm"): (timestamp, EU, "Ada"),
        register_key("name", "cdp"): (timestamp - 1, US, None),
    }
    ada, cleared = accounts(cells)
    assert (ada.field, ada.kind, ada.source, ada.value) == ("name", "register", "crm", "Ada")
    assert (ada.timestamp, ada.origin, ada.replica) == (timestamp, EU, "eu")
    assert ada.at == datetime(2026, 9, 21, 14, 13, 20, 123000, UTC)
    assert ada.survives
    assert ada.rule == "recency: the only candidate"
    assert ada.profile_id == "p-1"
    assert (cleared.value, cleared.replica, cleared.survives) == (None, "", False)
    assert cleared.rule == "cleared: the source withdrew its value"


def test_an_account_may_be_of_one_field():
    cells = registers(a={"crm": (1, 1)}, b={"crm": (1, 2)})
    assert [one.field for one in accounts(cells)] == ["a", "b"]
    assert [one.field for one in accounts(cells, field="b")] == ["b"]
    assert accounts(cells, field="unknown") == []


@pytest.mark.parametrize(
    ("policy", "rules"),
    [
        (recency(), ["newest of 3", "2nd newest of 3", "3rd newest of 3"]),
        (
            source_priority("crm", "erp", "web"),
            ["crm is 1st of 3", "cdp is not listed", "web is 3rd of 3"],
        ),
        (
            frequency(),
            ["asserted by 2 of 3 sources; newest of 2 such",
             "asserted by 2 of 3 sources; 2nd newest of 2 such",
             "asserted by 1 of 3 sources"],
        ),
        (oldest(), ["oldest of 3", "3rd oldest of 3", "2nd oldest of 3"]),
        (minimum(), ["least of 3; newest of 2 such", "least of 3; 2nd newest of 2 such",
                     "3rd least of 3"]),
        (maximum(), ["greatest of 3", "2nd greatest of 3", "2nd greatest of 3"]),
        (longest(), ["length 3, longest of 3; newest of 2 such",
                     "length 3, longest of 3; 2nd newest of 2 such", "length 2, 3rd longest of 3"]),
        (
            trust_decay({"crm": Trust(90, 40, 4)}),
            ["trust 65.0 in crm, 2.0 days older than the newest",
             "trust 0.0 in cdp, 0.0 days older than the newest",
             "trust 0.0 in web, 1.0 days older than the newest"],
        ),
        (
            fill_only("cdp", "web"),
            ["crm is no filler", "cdp is a filler, and another source has a value",
             "web is a filler, and another source has a value"],
        ),
    ],
    ids=lambda case: case.name if hasattr(case, "name") else "",
)  # fmt: skip
def test_rules_tell_how_each_candidate_stood(policy, rules):
    cells = registers(title={"crm": (DAY, "VP"), "web": (2 * DAY, "CTO"), "cdp": (3 * DAY, "CTO")})
    candidates = accounts(cells, with_policy(policy))
    assert [one.rule for one in candidates] == [f"{policy.name}: {rule}" for rule in rules]
    assert [one.survives for one in candidates] == [True, False, False]


def test_a_filler_alone_says_so():
    cells = registers(title={"web": (1, "CTO"), "cdp": (2, "VP")})
    rules = [one.rule for one in accounts(cells, with_policy(fill_only("web", "cdp")))]
    assert rules == [
        "fill_only: cdp is a filler, and no other source has a value; newest of 2 such",
        "fill_only: web is a filler, and no other source has a value; 2nd newest of 2 such",
    ]
