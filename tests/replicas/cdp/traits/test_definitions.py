"""Definitions of traits: read whole, refused with what is wrong and where; and what they match."""

from typing import Any

import pytest

from crdtstore import Field, Schema
from replicas.cdp.errors import DefinitionInvalid
from replicas.cdp.events import Event
from replicas.cdp.traits.conditions import condition_of, getter_of
from replicas.cdp.traits.definitions import TraitDefinitions
from replicas.cdp.traits.matching import Rules
from tests.replicas.cdp.traits.plain import TOML

DAY_MS = 86_400_000


def one(body: str) -> Any:
    """Return the definition of a trait with a body."""
    return TraitDefinitions.parse(f"[traits.t]\n{body}").by_name["t"]


@pytest.mark.parametrize(
    ("body", "fold", "options"),
    [
        ('fold = "count"', "count", []),
        ('fold = "sum"\nproperty = "x"', "sum", [6]),
        ('fold = "sum"\nproperty = "x"\ndecimals = 2', "sum", [2]),
        ('fold = "most_frequent"\nproperty = "x"', "most_frequent", [2]),
        ('fold = "sessions"', "sessions", [1_800_000]),
        ('fold = "unique_count"\nproperty = "x"', "unique_count", [10]),
        ('fold = "quantiles"\nproperty = "x"', "quantiles", [10, 5_000, 9_000, 9_900]),
        (
            'fold = "quantiles"\nproperty = "x"\naccuracy = 0.5\nranks = [99.9]',
            "quantiles", [5, 9_990],
        ),
        ('fold = "count"\nwindow = "30d"', "windows", [DAY_MS, 30, "count", []]),
        ('fold = "count"\nwindow = "1d"\nbucket = "1d"', "windows", [DAY_MS, 1, "count", []]),
        (
            'fold = "unique_count"\nproperty = "x"\nwindow = "60m"\nbucket = "10m"',
            "windows", [600_000, 6, "unique_count", [7]],
        ),
    ],
)  # fmt: skip
def test_a_definition_becomes_fold_and_options(body: str, fold: str, options: list[Any]) -> None:
    definition = one(body)
    assert (definition.fold, definition.options) == (fold, options)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[traits.t]\nfold = 'median'", r"traits\.t: fold is one of count"),
        ("[traits.t]\nfold = 'windows'", "fold is one of"),
        ("[traits.t]\n", "fold is one of"),
        ("[traits.Orders]\nfold = 'count'", "snake_case"),
        ("[traits]\nt = 1", "is a table"),
        ("[trait.t]\nfold = 'count'", r"tables \[traits.NAME\]"),
        ("x", "not TOML"),
        ("[traits.t]\nfold = 'count'\nfolds = 1", "'folds' is unknown; a trait takes fold"),
        ("[traits.t]\nfold = 'sum'", "sum needs a property"),
        ("[traits.t]\nfold = 'count'\nproperty = 'x'", "count takes no property"),
        ("[traits.t]\nfold = 'sum'\nproperty = 'a..b'", "no property"),
        ("[traits.t]\nfold = 'sum'\nproperty = '@when'", "no property"),
        ("[traits.t]\nfold = 'count'\ndecimals = 2", "decimals goes with sum"),
        ("[traits.t]\nfold = 'sum'\nproperty = 'x'\ndecimals = 10", "decimals is a whole number"),
        ("[traits.t]\nfold = 'sum'\nproperty = 'x'\ndecimals = true", "decimals is a int"),
        ("[traits.t]\nfold = 'count'\nkind = 'click'", "kind is one of identify"),
        ("[traits.t]\nfold = 'count'\nevent = ['']", "event is a name"),
        ("[traits.t]\nfold = 'count'\nversion = 0", "version begins with 1"),
        ("[traits.t]\nfold = 'count'\nwindow = '30 days'", "window is a duration"),
        ("[traits.t]\nfold = 'count'\nwindow = '0d'", "longer than nothing"),
        ("[traits.t]\nfold = 'count'\nbucket = '1d'", "bucket goes with window"),
        ("[traits.t]\nfold = 'count'\nwindow = '7d'\nbucket = '2d'", "whole number of buckets"),
        ("[traits.t]\nfold = 'count'\nwindow = '401d'\nbucket = '1d'", "how many buckets"),
        ("[traits.t]\nfold = 'sessions'\nwindow = '1d'", "window goes with"),
        ("[traits.t]\nfold = 'quantiles'\nproperty = 'x'\nranks = [101]", "ranks"),
        ("[traits.t]\nfold = 'quantiles'\nproperty = 'x'\nranks = ['a']", "a percentage"),
        ("[traits.t]\nfold = 'count'\nwhere = { x = [] }", r"where\.x"),
        ("[traits.t]\nfold = 'count'\nwhere = { x = { like = 'a' } }", "no comparison"),
        ("[traits.t]\nfold = 'count'\nwhere = { x = { gt = true } }", "no comparison"),
    ],
)
def test_a_definition_that_is_wrong_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(DefinitionInvalid, match=complaint):
        TraitDefinitions.parse(text)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Any) -> None:
    with pytest.raises(DefinitionInvalid, match=r"absent\.toml"):
        TraitDefinitions.load(tmp_path / "absent.toml")
    (tmp_path / "bad.toml").write_text("[traits.t]\nfold = 1")
    with pytest.raises(DefinitionInvalid, match=r"bad.toml: traits\.t: fold is a str"):
        TraitDefinitions.load(tmp_path / "bad.toml")


def test_the_digest_tells_what_decides_values_from_what_does_not() -> None:
    body = 'fold = "sum"\nproperty = "x"\n'
    same = one(body + 'unit = "EUR"\ndescription = "…"\nversion = 7')
    assert one(body).digest == same.digest
    for more in ("decimals = 3", 'event = "E"', "where = { a = 1 }", 'window = "1d"'):
        assert one(body).digest != one(body + more).digest


def test_a_schema_declares_the_traits_too() -> None:
    definitions = TraitDefinitions.parse(TOML)
    schema = definitions.declared(Schema(fields={"email": Field(), "orders": Field("trait")}))
    assert schema.kind_of("orders") == schema.kind_of("visits") == "trait"
    assert schema.kind_of("email") == "register"
    with pytest.raises(DefinitionInvalid, match="declares a counter"):
        definitions.declared(Schema(fields={"orders": Field("counter")}))


def event(name: str = "E", kind: str = "track", **properties: Any) -> Event:
    return Event(kind, "m", "p", name, properties=properties, context={"page": {"path": "/a"}},
                 timestamp_ms=7)  # fmt: skip


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("x", 1), ("y", None), ("deep.er.est", "yes"), ("deep.er.no", None), ("x.er", None),
        ("context.page.path", "/a"), ("@timestamp", 7), ("@name", "E"),
    ],
)  # fmt: skip
def test_a_path_leads_to_a_property(path: str, value: Any) -> None:
    assert getter_of(path)(event(x=1, deep={"er": {"est": "yes"}})) == value


@pytest.mark.parametrize(
    ("where", "holds"),
    [
        ({"x": 5}, True),
        ({"x": 5.0}, True),
        ({"x": "5"}, False),
        ({"x": True}, False),
        ({"one": True}, True),
        ({"one": 1}, False),
        ({"x": [4, 5]}, True),
        ({"x": [4]}, False),
        ({"x": {"gt": 4, "le": 5}}, True),
        ({"x": {"gt": 5}}, False),
        ({"x": {"gt": "4"}}, False),
        ({"x": {"ne": 4}, "s": "text"}, True),
        ({"x": {"ne": 4}, "s": "other"}, False),
        ({"s": {"contains": "ex"}}, True),
        ({"none": {"ne": 1}}, True),
        ({"none": {"exists": False}}, True),
        ({"none": {"ge": 0}}, False),
        ({"x": {"exists": True}}, True),
        ({"context.page.path": "/a"}, True),
    ],
)
def test_conditions(where: dict[str, Any], holds: bool) -> None:
    condition = condition_of(where)
    assert condition is not None
    assert condition(event(x=5, one=True, s="text")) is holds


def test_definitions_are_found_by_kind_and_name() -> None:
    text = """
    [traits.a]
    event = ["E", "F"]
    fold = "count"
    [traits.b]
    fold = "count"
    [traits.c]
    kind = "page"
    fold = "count"
    """
    rules = Rules(TraitDefinitions.parse(text).by_name.values())

    def names(one: Event) -> set[str]:
        return {rule.name for rule in rules.of(one)}

    assert names(event("E")) == names(event("F")) == {"a", "b"}
    assert names(event("G")) == {"b"}
    assert names(event("E", "page")) == {"c"}
    assert names(event("", "identify")) == set()
