"""What stewards choose by hand: values that are pinned, and candidates that are left out."""

import pytest

from crdtstore import increment
from crdtstore.errors import InvalidInput, KindConflict
from tests.engine.families import SCHEMA, family, seen
from tests.engine.stores import open_store


def test_a_pin_goes_before_every_policy_until_it_is_taken_away() -> None:
    with family(schema=SCHEMA) as store:
        before = seen(store, "a1")
        assert store.persons.pin("a2", "name", "Anna").record["name"] == "Anna"
        assert store.read("a2")["name"] == "Anna"
        assert store.read("a1")["name"] == "Ann"
        store.write("a1", {"name": "Annie"}, source="crm")
        assert store.persons.read("a1").record["name"] == "Anna"
        rules = {c.source: (c.survives, c.rule) for c in store.persons.explain("a1", "name")}
        assert rules["steward"] == (True, "pinned: a steward chose this value")
        assert rules["crm"][0] is False
        assert rules["crm"][1].endswith("; another value is pinned")
        store.persons.pin("a1", "name", "Ann-Marie")
        assert store.persons.read("a1").record["name"] == "Ann-Marie"
        store.write("a1", {"name": "Ann"}, source="crm")
        store.persons.pin("a1", "name", None)
        assert seen(store, "a1") == before


def test_a_pin_fills_a_field_that_no_source_knows() -> None:
    with family(schema=SCHEMA) as store:
        assert store.persons.pin("a1", "city", "Bonn").record["city"] == "Bonn"
        assert [c.source for c in store.persons.explain("a1", "city")] == ["steward"]
        for field in ("visits", "identifiers", "identity.pin.name"):
            with pytest.raises(KindConflict, match="only a register"):
                store.persons.pin("a1", field, 3)
        store.write("a1", {"loose": increment()}, source="crm")
        with pytest.raises(KindConflict):
            store.persons.pin("a1", "loose", 3)


def test_an_ignored_candidate_is_out_until_its_source_says_something_else() -> None:
    with family(schema=SCHEMA) as store:
        assert store.persons.ignore("a1", "name", "crm").record["name"] == "A."
        assert store.read("a1").get("name") is None
        (out,) = [c for c in store.persons.explain("a1", "name") if c.profile_id == "a1"]
        assert (out.survives, out.rule) == (False, "ignored: a steward left this value out")
        assert store.persons.read("a1").record["name"] == "A."
        store.write("a1", {"name": "Annie"}, source="crm")
        assert store.persons.read("a1").record["name"] == "Annie"
        store.write("a1", {"name": "Ann"}, source="crm")
        assert store.persons.read("a1").record["name"] == "A."
        assert store.persons.regard("a1", "name", "crm").record["name"] == "Ann"
        assert store.persons.regard("a1", "name", "crm").record["name"] == "Ann"
        with pytest.raises(InvalidInput, match="has no value"):
            store.persons.ignore("a1", "name", "cdp")


def test_an_ignored_value_of_a_group_counts_as_cleared() -> None:
    with open_store(schema=SCHEMA) as store:
        store.write("a", {"city": "Bonn", "street": "A 1"}, source="crm")
        store.write("a", {"city": "Berlin"}, source="cdp")
        assert dict(store.read("a")) == {"city": "Berlin"}
        store.persons.ignore("a", "city", "cdp")
        assert dict(store.read("a")) == {"city": "Bonn", "street": "A 1"}
