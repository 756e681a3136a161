"""The packaged records and schema of the demo."""

from crdtstore.demo.records import first_persons, number_of, read_side, schema_text
from crdtstore.schema import Schema

FIELDS = {
    "given_name",
    "surname",
    "street_number",
    "address_1",
    "address_2",
    "suburb",
    "postcode",
    "state",
    "date_of_birth",
    "soc_sec_id",
}


def test_both_sides_have_the_same_five_thousand_persons():
    originals, duplicates = read_side("a"), read_side("b")
    assert len(originals) == len(duplicates) == 5_000
    numbers = {record.number for record in originals}
    assert len(numbers) == 5_000
    assert numbers == {record.number for record in duplicates}
    ids = {record.profile_id for record in (*originals, *duplicates)}
    assert len(ids) == 10_000
    assert {"crm-1070", "cdp-1070"} <= ids
    assert number_of("crm-1070") == 1070


def test_fields_are_as_in_the_file_and_empty_ones_are_absent():
    record = read_side("a")[0]
    assert record.profile_id == "crm-1070"
    assert record.identifiers == ["soc_sec_id:5304218"]
    assert record.fields == {
        "given_name": "michaela",
        "surname": "neumann",
        "street_number": "8",
        "address_1": "stanley street",
        "address_2": "miami",
        "suburb": "winston hills",
        "postcode": "4223",
        "state": "nsw",
        "date_of_birth": "19151111",
        "soc_sec_id": "5304218",
    }
    record = read_side("b")[0]
    assert record.profile_id == "cdp-561"
    assert "surname" not in record.fields
    for side in "ab":
        for record in read_side(side):
            assert set(record.fields) <= FIELDS
            assert all(value and value == value.strip() for value in record.fields.values())


def test_the_sides_disagree():
    others = {record.number: record.fields for record in read_side("b")}
    differing = sum(record.fields != others[record.number] for record in read_side("a"))
    assert differing > 4_000


def test_fewer_persons_are_the_same_ones_on_both_sides():
    originals = first_persons(read_side("a"), 200)
    duplicates = first_persons(read_side("b"), 200)
    assert {record.number for record in originals} == set(range(200))
    assert {record.number for record in duplicates} == set(range(200))


def test_the_schema_names_every_field_and_shows_variety():
    schema = Schema.from_toml(schema_text())
    assert schema.sources == ("crm", "cdp", "steward", "editor")
    assert schema.identity.priority == ("soc_sec_id",)
    assert all(schema.kind_of(field) == "register" for field in FIELDS)
    assert schema.kind_of("tags") == "set"
    assert schema.kind_of("logins") == "counter"
    assert schema.kind_of("marketing") == "consent"
    assert schema.kind_of("note") == "text"
    policies = {schema.policy_of(field).name for field in FIELDS}
    assert policies >= {"source_priority", "recency", "longest", "fill_only"}
