"""The rules of identity as data: what they say, their defaults, and what is refused."""

import pickle
from typing import Any

import pytest

from crdtstore import Field, Group, IdentityRules, Schema, TypeRules
from crdtstore.errors import SchemaError

FULL = """
[identity]
phone_region = "DE"
priority = ["crm_id", "user_id"]
limit = 7
blocked_values = ["Shared@example.com", "email:role@example.com"]
blocked_patterns = ["phone:.*555.*"]
profiles_max = 50
identifiers_max = 200

[identity.types.device_id]
limit = 10
window_days = 30
"""


def test_a_table_says_all_rules() -> None:
    rules = Schema.from_toml(FULL).identity
    assert rules == IdentityRules(
        phone_region="DE",
        priority=("crm_id", "user_id"),
        limit=7,
        blocked_values=("shared@example.com", "email:role@example.com"),
        blocked_patterns=("phone:.*555.*",),
        profiles_max=50,
        identifiers_max=200,
        types={"device_id": TypeRules(10, 30)},
    )
    assert rules.type_rules("device_id") == TypeRules(10, 30)
    assert rules.type_rules("user_id") == TypeRules(1)
    assert rules.type_rules("email") == TypeRules(7)


def test_the_defaults_are_segments() -> None:
    rules = IdentityRules()
    assert rules.type_rules("user_id") == TypeRules(1)
    assert rules.type_rules("email") == rules.type_rules("anything") == TypeRules(5)
    texts = ["zeta_id:1", "email:a@b.c", "user_id:1", "alpha_id:1"]
    assert sorted(texts, key=rules.rank) == ["user_id:1", "email:a@b.c", "alpha_id:1", "zeta_id:1"]


@pytest.mark.parametrize(
    "text",
    [
        "user_id:null", "user_id:NULL", "anonymous_id:anonymous", "user_id:-1", "user_id:000-00",
        "user_id:0", "phone:+490000000", "email:no-reply@example.com", "email:NoReply@example.com",
        "email:do-not-reply@example.com", "device_id:00000000-0000-0000-0000-000000000000",
    ],
)  # fmt: skip
def test_what_is_blocked_by_default(text: str) -> None:
    assert IdentityRules().is_blocked(text)
    assert not IdentityRules(blocks_defaults=False).is_blocked(text)


@pytest.mark.parametrize(
    "text",
    ["user_id:10", "phone:+4930901820", "email:reply@example.com", "user_id:nullable", "x:10-0-1"],
)
def test_what_is_not(text: str) -> None:
    assert not IdentityRules().is_blocked(text)


def test_what_a_schema_blocks_is_added() -> None:
    rules = Schema.from_toml(FULL).identity
    assert rules.is_blocked("email:shared@example.com")
    assert rules.is_blocked("user_id:SHARED@example.com")
    assert rules.is_blocked("email:role@example.com")
    assert not rules.is_blocked("user_id:role@example.com")
    assert rules.is_blocked("phone:+15550123")
    assert rules.is_blocked("user_id:null")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("identity = 3", "is a table"),
        ("[identity]\nlimt = 3", "'limt' is unknown"),
        ("[identity]\nlimit = 0", "limit is a whole number from 1"),
        ("[identity]\nlimit = true", "limit is a whole number"),
        ("[identity]\nprofiles_max = 1001", "profiles_max is a whole number from 1 to 1,000"),
        ("[identity]\nphone_region = 'Germany'", "two capital letters"),
        ("[identity]\npriority = 'email'", "list of texts"),
        ("[identity]\npriority = ['email', 'email']", "twice"),
        ("[identity]\npriority = ['E-Mail']", "a type has small letters"),
        ("[identity]\nblocked_patterns = ['(']", "no regular expression"),
        ("[identity]\nblocked_values = [3]", "list of texts"),
        ("[identity]\nblocks_defaults = 1", "true or false"),
        ("[identity.types.email]\nwindow_days = 3", "limit is missing"),
        ("[identity.types.email]\nlimit = 3\nwindow = 3", "'window' is unknown"),
        ("[identity.types.Email]\nlimit = 3", "a type has small letters"),
        ("[identity]\ntypes.email = 3", "is a table"),
    ],
)
def test_what_is_refused(text: str, said: str) -> None:
    with pytest.raises(SchemaError, match=said):
        Schema.from_toml(text)


@pytest.mark.parametrize("types", [3, {"email": 3}, {"E": TypeRules(1)}])
def test_types_of_another_sort_are_refused(types: Any) -> None:
    with pytest.raises(SchemaError, match="identity: types"):
        IdentityRules(types=types)
    with pytest.raises(SchemaError, match="identity is an IdentityRules"):
        Schema(identity=types)


def test_the_reserved_fields_are_sets() -> None:
    assert Schema().kind_of("identifiers") == "set"
    assert Schema(fields={"identifiers": Field("set")}).kind_of("identifiers") == "set"
    with pytest.raises(SchemaError, match="'identifiers' is a set, not a register"):
        Schema(fields={"identifiers": Field()})
    with pytest.raises(SchemaError, match=r"'identity.match' is a set"):
        Schema(groups={"g": Group(("identity.match", "name"))})


def test_schemas_that_mean_the_same_have_one_digest() -> None:
    plain = Schema().digest
    assert Schema(identity=IdentityRules()).digest == plain
    assert Schema(identity=IdentityRules(types={"user_id": TypeRules(1)})).digest == plain
    assert Schema(identity=IdentityRules(limit=6)).digest != plain
    one = Schema(identity=IdentityRules(blocked_values=("a", "b"))).digest
    assert one == Schema(identity=IdentityRules(blocked_values=("b", "A"))).digest != plain


def test_rules_can_be_pickled() -> None:
    schema = Schema.from_toml(FULL)
    assert pickle.loads(pickle.dumps(schema)) == schema
    assert hash(schema.identity) == hash(pickle.loads(pickle.dumps(schema)).identity)
