"""Schemas: what they mean, and that every contradiction is refused with place and remedy."""

import dataclasses
import pickle

import pytest
from hypothesis import given

from crdtstore import limits
from crdtstore.errors import SchemaError, UnknownSource
from crdtstore.schema import (
    GROUP_POLICIES,
    KINDS,
    Field,
    Group,
    Policy,
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
from crdtstore.testing import strategies

TEXT = """
sources = ["salesforce", "cdp", "steward"]

[fields.email]
policy = "source_priority"
sources = ["salesforce", "cdp"]

[fields."address.city"]

[fields.title]
policy = "trust_decay"
trust.salesforce = { start = 90, floor = 40, decay_days = 365 }
default = { start = 50, floor = 10, decay_days = 90 }

[fields.score]
policy = "maximum"

[fields.phone]
policy = "fill_only"
sources = ["cdp"]

[fields.visits]
kind = "counter"

[fields.tags]
kind = "set"

[fields.newsletter]
kind = "consent"

[groups.address]
fields = ["address.city", "address.street"]
policy = "source_priority"
sources = ["steward"]
"""

IN_PYTHON = Schema(
    sources=("salesforce", "cdp", "steward"),
    fields={
        "email": Field(policy=source_priority("salesforce", "cdp")),
        "address.city": Field(),
        "title": Field(
            policy=trust_decay({"salesforce": Trust(90, 40, 365)}, default=Trust(50, 10, 90))
        ),
        "score": Field(policy=maximum()),
        "phone": Field(policy=fill_only("cdp")),
        "visits": Field("counter"),
        "tags": Field("set"),
        "newsletter": Field("consent"),
    },
    groups={"address": Group(("address.city", "address.street"), source_priority("steward"))},
)


def test_toml_and_python_describe_the_same_schema():
    schema = Schema.from_toml(TEXT)
    assert schema == IN_PYTHON
    assert schema.digest == IN_PYTHON.digest


def test_the_kind_of_a_field_is_declared_or_unknown():
    assert IN_PYTHON.kind_of("email") == "register"
    assert IN_PYTHON.kind_of("visits") == "counter"
    assert IN_PYTHON.kind_of("newsletter") == "consent"
    assert IN_PYTHON.kind_of("address.street") == "register"
    assert IN_PYTHON.kind_of("nickname") is None


def test_the_policy_of_a_field_is_its_own_its_groups_or_recency():
    assert IN_PYTHON.policy_of("score") == maximum()
    assert IN_PYTHON.policy_of("address.city") == source_priority("steward")
    assert IN_PYTHON.policy_of("nickname") == recency()
    assert Schema(fields={"a": Field()}).policy_of("a") == recency()
    assert dict(IN_PYTHON.group_of_field) == {
        "address.city": "address",
        "address.street": "address",
    }


def test_an_empty_schema_allows_any_field_and_source():
    for schema in (Schema(), Schema.from_toml("")):
        assert schema.kind_of("anything") is None
        schema.check_source("anybody")
    assert Schema() == Schema.from_toml("")


def test_an_undeclared_source_is_refused_and_the_declared_ones_named():
    IN_PYTHON.check_source("cdp")
    with pytest.raises(UnknownSource, match=r"'hubspot'.*salesforce, cdp, steward"):
        IN_PYTHON.check_source("hubspot")


# --- digest ------------------------------------------------------------------------------------


def test_the_digest_is_the_same_in_every_version_of_this_library():
    assert Schema().digest == "b327b77d5b964ee736bf1d587db47be7"
    assert IN_PYTHON.digest == "0547e5a420a99c6d0ea29a8a28f4d412"


def test_the_digest_does_not_depend_on_the_order_of_writing():
    turned = Schema(
        groups={"address": Group(("address.street", "address.city"), source_priority("steward"))},
        fields=dict(reversed(IN_PYTHON.fields.items())),
        sources=("steward", "cdp", "salesforce"),
    )
    assert turned.digest == IN_PYTHON.digest


def test_what_means_the_same_has_the_same_digest():
    assert (
        Schema(fields={"a": Field()}).digest == Schema(fields={"a": Field(policy=recency())}).digest
    )
    group = {"g": Group(("a", "b"))}
    assert Schema(groups=group).digest == Schema(fields={"a": Field()}, groups=group).digest
    fillers = [Schema(fields={"a": Field(policy=fill_only(*order))}) for order in ("xy", "yx")]
    assert fillers[0].digest == fillers[1].digest


def test_what_means_something_else_has_another_digest():
    trust = Trust(90, 40, 365)
    schemas = [
        Schema(),
        Schema(sources=("a",)),
        Schema(sources=("a", "b")),
        Schema(fields={"a": Field()}),
        Schema(fields={"b": Field()}),
        Schema(groups={"g": Group(("a", "b"))}),
        Schema(groups={"h": Group(("a", "b"))}),
        Schema(groups={"g": Group(("a", "b"), oldest())}),
        Schema(fields={"a": Field(), "b": Field()}),
        *(Schema(fields={"a": Field(kind)}) for kind in KINDS if kind != "register"),
        *(
            Schema(fields={"a": Field(policy=policy)})
            for policy in (
                source_priority("a", "b"),
                source_priority("b", "a"),
                fill_only("a", "b"),
                frequency(),
                oldest(),
                minimum(),
                maximum(),
                longest(),
                trust_decay({"a": trust}),
                trust_decay({"b": trust}),
                trust_decay({"a": trust}, default=trust),
                trust_decay({"a": Trust(90, 40, 366)}),
            )
        ),
    ]
    assert len({schema.digest for schema in schemas}) == len(schemas)


@given(strategies.schemas())
def test_a_schema_survives_pickling_and_is_a_value(schema):
    copy = pickle.loads(pickle.dumps(schema))
    assert copy == schema
    assert hash(copy) == hash(schema)
    assert copy.digest == schema.digest


# --- immutability ------------------------------------------------------------------------------


def test_a_schema_cannot_be_changed():
    fields = {"a": Field()}
    schema = Schema(fields=fields)
    fields["b"] = Field()
    assert "b" not in schema.fields
    with pytest.raises(TypeError):
        schema.fields["b"] = Field()
    with pytest.raises(dataclasses.FrozenInstanceError):
        schema.fields = {}
    with pytest.raises(TypeError):
        trust_decay({"a": Trust(1, 1, 1)}).trust["b"] = Trust(1, 1, 1)


# --- contradictions in TOML --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fields = [", "schema: this is not TOML"),
        ("field = 1", "'field' is unknown; schema takes sources, fields, groups"),
        ("fields = 1", "schema: fields: is a table, not 1"),
        ("[fields]\na = 1", r"schema: fields\.a: its body: is a table, not 1"),
        ("[fields.a]\nkinds = 'set'", r"schema: fields\.a: 'kinds' is unknown; a field takes kind"),
        ("[fields.address.city]", r"quote a name with a dot, as in \[fields\.\"address\.city\"\]"),
        ("[fields.a]\nkind = 'map'", "fields.a: 'map' is no kind of field; there are register"),
        ("[fields.a]\nkind = 3", "3 is no kind of field"),
        (
            "[fields.a]\npolicy = 'newest'",
            "fields.a: 'newest' is no survivorship policy; .*recency",
        ),
        ("[fields.a]\npolicy = 3", "3 is no survivorship policy"),
        ("[fields.a]\nsources = ['x']", "the option 'sources' needs a policy that takes it"),
        ("[fields.a]\npolicy = 'oldest'\nsources = ['x']", "oldest: takes no option 'sources'"),
        (
            "[fields.a]\npolicy = 'source_priority'\nsources = ['x']\n"
            "default = { start = 1, floor = 1, decay_days = 1 }",
            "source_priority: takes no option 'default'",
        ),
        ("[fields.a]\npolicy = 'source_priority'", "'sources' names at least one source"),
        ("[fields.a]\npolicy = 'fill_only'\nsources = []", "'sources' names at least one source"),
        ("[fields.a]\npolicy = 'fill_only'\nsources = 'x'", "is a list of names, not 'x'"),
        ("[fields.a]\npolicy = 'fill_only'\nsources = 3", "is a list of names, not 3"),
        ("[fields.a]\npolicy = 'fill_only'\nsources = ['x', 'x']", "'x' stands there twice"),
        ("[fields.a]\npolicy = 'fill_only'\nsources = ['']", "visible character"),
        ("[fields.a]\npolicy = 'fill_only'\nsources = [['x']]", "is text, not a list"),
        ("[fields.a]\npolicy = 'trust_decay'", "'trust' names at least one source"),
        ("[fields.a]\npolicy = 'trust_decay'\ntrust = 3", "fields.a: trust: is a table, not 3"),
        (
            "[fields.a]\npolicy = 'trust_decay'\ntrust.x = { start = 1, floor = 1 }",
            "decay_days is missing",
        ),
        (
            "[fields.a]\npolicy = 'trust_decay'\n"
            "trust.x = { start = 1, floor = 1, decay_days = 1, shape = 'linear' }",
            "'shape' is unknown; trust takes start, floor, decay_days",
        ),
        (
            "[fields.a]\npolicy = 'trust_decay'\n"
            "trust.x = { start = 0.5, floor = 0, decay_days = 1 }",
            "start is a whole number",
        ),
        (
            "[fields.a]\npolicy = 'trust_decay'\n"
            "trust.x = { start = true, floor = 0, decay_days = 1 }",
            "start is a whole number",
        ),
        ("[fields.a]\nkind = 'set'\npolicy = 'recency'", "a set takes no policy"),
        ('[fields."a\\n"]\n', "no control characters"),
        ('[fields.""]\n', "visible character"),
        ("sources = []", "names none; leave it out to allow any"),
        ("sources = 'crm'", "schema: sources: is a list of names, not 'crm'"),
        ("sources = ['crm', 'crm']", "'crm' stands there twice"),
        ("sources = [1]", "is text, not a int"),
        (
            "sources = ['crm']\n[fields.a]\npolicy = 'fill_only'\nsources = ['cdp']",
            r"schema: fields\.a: the policy names the source 'cdp'; declared are crm",
        ),
        (
            "sources = ['crm']\n[fields.a]\npolicy = 'trust_decay'\n"
            "trust.cdp = { start = 1, floor = 1, decay_days = 1 }",
            "names the source 'cdp'; declared are crm",
        ),
        (
            "sources = ['crm']\n[groups.g]\nfields = ['a', 'b']\n"
            "policy = 'source_priority'\nsources = ['cdp']",
            r"schema: groups\.g: the policy names the source 'cdp'; declared are crm",
        ),
        ("[groups.g]\nfields = ['a']", r"schema: groups\.g: a group has at least two fields"),
        ("[groups.g]", "a group has at least two fields"),
        ("[groups.g]\nfields = ['a', 'a']", "'a' stands there twice"),
        ("[groups.g]\nfields = 'ab'", "fields: is a list of names, not 'ab'"),
        ("[groups.g]\nfields = ['a', 'b']\nkind = 'set'", "'kind' is unknown; a group takes"),
        (
            "[groups.g]\nfields = ['a', 'b']\npolicy = 'longest'",
            "'longest' orders values, and a group has many; a group takes recency",
        ),
        (
            "[fields.a]\nkind = 'set'\n[groups.g]\nfields = ['a', 'b']",
            r"groups\.g: field 'a' is a set; a group holds registers",
        ),
        (
            "[fields.a]\npolicy = 'recency'\n[groups.g]\nfields = ['a', 'b']",
            r"groups\.g: field 'a' has a policy of its own",
        ),
        (
            "[groups.g]\nfields = ['a', 'b']\n[groups.h]\nfields = ['b', 'c']",
            r"groups\.h: field 'b' is in group 'g' already",
        ),
    ],
)
def test_a_contradiction_is_refused_with_place_and_remedy(text, message):
    with pytest.raises(SchemaError, match=message):
        Schema.from_toml(text)


# --- contradictions in Python ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Schema(fields=["a"]), "schema: fields maps names to a Field each"),
        (lambda: Schema(fields={"a": "register"}), r"fields\.a: is not a Field"),
        (lambda: Schema(fields={1: Field()}), "is text, not a int"),
        (lambda: Schema(groups={"g": Field()}), r"groups\.g: is not a Group"),
        (lambda: Schema(sources="crm"), "is a list of names, not 'crm'"),
        (lambda: Field("map"), "'map' is no kind of field"),
        (lambda: Field(["set"]), "is no kind of field"),
        (lambda: Field(policy="recency"), r"a policy is a Policy, such as recency\(\)"),
        (lambda: Field("counter", recency()), "a counter takes no policy"),
        (lambda: Group(("a", "b"), "recency"), "a policy is a Policy"),
        (lambda: Group(("a", "b"), minimum()), "a group takes recency"),
        (lambda: Group("ab"), "is a list of names"),
        (lambda: Policy("newest"), "'newest' is no survivorship policy"),
        (lambda: Policy("recency", sources=("a",)), "takes no option 'sources'"),
        (lambda: Policy("recency", trust={"a": Trust(1, 1, 1)}), "takes no option 'trust'"),
        (lambda: Policy("recency", default=Trust(1, 1, 1)), "takes no option 'default'"),
        (lambda: source_priority(), "names at least one source"),
        (lambda: source_priority("a", "a"), "'a' stands there twice"),
        (lambda: source_priority("\ud800"), "lone surrogate"),
        (lambda: trust_decay({}), "names at least one source"),
        (lambda: trust_decay([("a", Trust(1, 1, 1))]), "trust maps sources to their trust"),
        (lambda: trust_decay({"a": 90}), "the trust of 'a' is not a Trust"),
        (lambda: trust_decay({"": Trust(1, 1, 1)}), "visible character"),
        (lambda: trust_decay({"a": Trust(1, 1, 1)}, default=5), "the default is not a Trust"),
        (lambda: Trust(101, 0, 1), "between 0 and 100"),
        (lambda: Trust(50, -1, 1), "between 0 and 100"),
        (lambda: Trust(40, 50, 1), "the floor not above the start"),
        (lambda: Trust(50, 40, 0), "decay_days is 1 to 36,500, not 0"),
        (lambda: Trust(50, 40, 36_501), "decay_days is 1 to 36,500"),
    ],
)
def test_a_schema_in_python_is_checked_too(build, message):
    with pytest.raises(SchemaError, match=message):
        build()


@pytest.mark.parametrize("name", GROUP_POLICIES)
def test_every_policy_of_a_group_is_accepted(name):
    options = {
        "source_priority": {"sources": ("crm",)},
        "fill_only": {"sources": ("crm",)},
        "trust_decay": {"trust": {"crm": Trust(1, 1, 1)}},
    }
    assert Group(("a", "b"), Policy(name, **options.get(name, {}))).policy.name == name


# --- files -------------------------------------------------------------------------------------


def test_a_schema_is_loaded_from_a_file(tmp_path):
    path = tmp_path / "schema.toml"
    path.write_text(TEXT, encoding="utf-8")
    assert Schema.load(path) == IN_PYTHON
    assert Schema.load(str(path)) == IN_PYTHON


def test_a_file_that_is_no_schema_is_refused_by_its_name(tmp_path):
    path = tmp_path / "schema.toml"
    with pytest.raises(SchemaError, match=r"schema\.toml: cannot be read"):
        Schema.load(path)
    path.write_bytes(b"\xff")
    with pytest.raises(SchemaError, match=r"schema\.toml: is not UTF-8"):
        Schema.load(path)
    path.write_text("[fields.a]\nkind = 'x'")
    with pytest.raises(SchemaError, match=r"schema\.toml: schema: fields\.a: 'x' is no kind"):
        Schema.load(path)


def test_a_field_may_be_indexed_which_no_other_replica_needs_to_know() -> None:
    indexed = Schema.from_toml("[fields.age]\nindexed = true\n")
    assert indexed.fields["age"] == Field(indexed=True)
    assert indexed.digest == Schema(fields={"age": Field()}).digest
    with pytest.raises(SchemaError, match="true or false"):
        Schema.from_toml("[fields.age]\nindexed = 1\n")
    with pytest.raises(SchemaError, match="golden record"):
        Schema(fields={"identity.match": Field("set", indexed=True)})
    with pytest.raises(SchemaError, match="no index"):
        Schema.from_toml('[fields.notes]\nkind = "text"\nindexed = true\n')
    most = limits.INDEXED_FIELDS_MAX
    Schema(fields={f"f{number}": Field(indexed=True) for number in range(most)})
    with pytest.raises(SchemaError, match=str(most)):
        Schema(fields={f"f{number}": Field(indexed=True) for number in range(most + 1)})
