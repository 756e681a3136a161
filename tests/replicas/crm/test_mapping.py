"""Mappings and forms: both ways, and every mistake is found at the start."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtstore import Field, Schema
from crdtstore.errors import ConfigurationError
from replicas.crm.forms import FORMS, FormError, datetime_from, ms_from, text_from_ms
from replicas.crm.mapping import CrmMapping, FieldMapping, ObjectMapping, mapping_of

TABLE: dict[str, Any] = {
    "name": "Contact",
    "key": "Key__c",
    "required": ["LastName"],
    "fields": {
        "email": {"property": "Email", "identifier": "email"},
        "last_name": {"property": "LastName"},
        "vip": {"property": "Vip__c", "form": "boolean"},
        "tier": {"property": "Tier__c", "values": {"Gold": "1", "Silver": "2"}},
    },
}


def changed(**changes: Any) -> dict[str, Any]:
    return {**TABLE, **changes}


def test_a_mapping_is_read_whole() -> None:
    mapping = mapping_of([TABLE], identifier="salesforce_id")
    contact = mapping.by_name["Contact"]
    assert mapping.created is contact
    assert contact.identifier == "salesforce_id"
    assert contact.properties == ("Email", "LastName", "Vip__c", "Tier__c")
    assert contact.by_property["Tier__c"].from_vendor("Gold") == "1"
    assert contact.by_property["Tier__c"].to_vendor("2") == "Silver"
    assert contact.by_property["Vip__c"].from_vendor("true") is True


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (changed(name=""), "name and key are needed"),
        (changed(fields={}), "no field is mapped"),
        (changed(wrong=1), "'wrong' is unknown"),
        (changed(creates="yes"), "creates is a bool"),
        (changed(erasure="now"), "erasure 'now' is none of"),
        (changed(required=["Phone"]), "required 'Phone' is not mapped"),
        (changed(required=["LastName", 1]), "required is a list of texts"),
        (changed(key="Email"), "the key 'Email' is mapped"),
        (changed(fields={"a": {"property": "P"}, "b": {"property": "P"}}), "mapped twice"),
        (changed(fields={"a": {}}), "property is missing"),
        (changed(fields={"a": {"property": "P", "form": "colour"}}), "form 'colour' is none of"),
        (changed(fields={"a": {"property": "P", "direction": "in"}}), "direction 'in' is none of"),
        (changed(fields={"a": {"property": "P", "clear": "?"}}), "clear"),
        (changed(fields={"a": {"property": "P", "values": {"x": "1", "y": "1"}}}), "become one"),
        (changed(fields={"a": {"property": "P", "values": {"x": 1}}}), "values are texts"),
        (
            changed(fields={"a": {"property": "P", "form": "number", "identifier": "email"}}),
            "an identifier is plain text",
        ),
    ],
)
def test_a_mapping_that_is_not_clear_both_ways_is_refused(table: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        mapping_of([table], identifier="x")


def test_two_objects_that_make_records_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="creates"):
        mapping_of([TABLE, changed(name="Lead")], identifier="x")
    with pytest.raises(ConfigurationError, match="twice"):
        mapping_of([TABLE, changed(creates=False)], identifier="x")
    with pytest.raises(ConfigurationError, match="list of tables"):
        mapping_of({"name": "Contact"}, identifier="x")


def test_fields_must_be_of_a_kind_that_a_crm_can_hold() -> None:
    mapping = mapping_of([TABLE], identifier="x")
    mapping.check_against(Schema({"vip": Field(kind="consent")}))
    with pytest.raises(ConfigurationError, match="email"):
        mapping.check_against(Schema({"email": Field(kind="set")}))
    with pytest.raises(ConfigurationError, match="last_name"):
        mapping.check_against(Schema({"last_name": Field(kind="consent")}))


def test_what_is_computed_and_sets_can_only_be_pushed() -> None:
    fields = {
        "orders": {"property": "O", "form": "number", "direction": "push"},
        "segments": {"property": "S", "form": "list", "direction": "push"},
    }
    schema = Schema({"orders": Field("trait"), "segments": Field("set")})
    mapping_of([changed(fields=fields, required=[])], identifier="x").check_against(schema)
    pulled = changed(fields={"orders": {"property": "O", "form": "number"}}, required=[])
    with pytest.raises(ConfigurationError, match="orders"):
        mapping_of([pulled], identifier="x").check_against(schema)
    with pytest.raises(ConfigurationError, match="sent only"):
        mapping_of([changed(fields={"segments": {"property": "S", "form": "list"}})], identifier="")
    segments = FieldMapping("segments", "S", "list", "push")
    assert segments.to_vendor([]) is None
    for wrong in (["a;b"], "a", [1]):
        with pytest.raises(FormError):
            segments.to_vendor(wrong)


VALUES = {
    "text": st.text(min_size=1, max_size=20),
    "lower": st.sampled_from(["ann@example.com", "x"]),
    "number": st.integers(-(2**52), 2**52) | st.floats(-1e9, 1e9).filter(lambda n: n % 1 != 0),
    "boolean": st.booleans(),
    "date": st.dates().map(lambda day: day.isoformat()),
    "datetime": st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)).map(
        lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC)
    ),
    "list": st.sets(st.sampled_from(["buyers", "vip", "x y"]), min_size=1).map(sorted),
}


@given(st.data())
def test_what_goes_to_a_vendor_comes_back_the_same(data: st.DataObject) -> None:
    """Whether the vendor keeps types, or everything as text."""
    form = data.draw(st.sampled_from(sorted(FORMS)))
    value = data.draw(VALUES[form])
    mapped = FieldMapping("f", "P", form, "push")
    there = mapped.to_vendor(value)
    assert mapped.from_vendor(there) == value
    assert type(mapped.from_vendor(there)) is type(value)
    as_text = str(there).lower() if type(there) is bool else str(there)
    assert mapped.from_vendor(as_text) == value


def test_empty_is_empty_both_ways() -> None:
    mapped = FieldMapping("f", "P")
    assert [mapped.from_vendor(raw) for raw in (None, "")] == [None, None]
    assert [mapped.to_vendor(value) for value in (None, "")] == [None, None]


@pytest.mark.parametrize(
    ("form", "raw"),
    [("number", "x"), ("number", True), ("number", "nan"), ("boolean", "yes"), ("date", "21.11."),
     ("datetime", "2026-11-21T08:00:00"), ("datetime", []), ("text", {}), ("text", True)],
)  # fmt: skip
def test_what_is_not_of_the_form_is_an_error(form: str, raw: Any) -> None:
    with pytest.raises(FormError):
        FieldMapping("f", "P", form).from_vendor(raw)


def test_times_of_both_vendors_are_read() -> None:
    texts = ("2026-11-21T08:00:00.123+0000", "2026-11-21T08:00:00.123Z", "1795248000123")
    assert {ms_from(text) for text in texts} == {1_795_248_000_123}
    assert text_from_ms(1_795_248_000_123) == "2026-11-21T08:00:00.123Z"
    assert datetime_from("2026-11-21T10:00:00+02:00") == datetime(2026, 11, 21, 8, tzinfo=UTC)


def test_objects_and_mappings_need_something() -> None:
    with pytest.raises(ConfigurationError, match="at least one object"):
        CrmMapping(())
    with pytest.raises(ConfigurationError, match="no field"):
        ObjectMapping("Contact", "Key", ())
