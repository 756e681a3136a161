"""Normal forms of identifiers, their errors, and the ids that are made of them."""

import sys
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtstore import IdentityRules, Schema, add, identifier, remove
from crdtstore.errors import ConfigurationError, InvalidInput, InvalidValue, LimitExceeded
from crdtstore.model.identifiers import _normalised, normalised, profile_id_for
from tests.engine.stores import open_store

TYPES = ("email", "phone", "device_id", "salesforce_id", "user_id", "loyalty.card")


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("email", " Ann@Example.com ", "email:ann@example.com"),
        ("email", "ann+news@example.com", "email:ann+news@example.com"),
        ("email", "JÖRG@München.DE.", "email:jörg@xn--mnchen-3ya.de"),
        ("email", "o\u0308@example.com", "email:ö@example.com"),
        ("phone", "+49 (0)30 901820", "phone:+4930901820"),
        ("phone", "tel:+1-212-555-0123", "phone:+12125550123"),
        ("device_id", "{6D92078A-8246-4BA4-AE5B-76104861E7DC}",
         "device_id:6d92078a-8246-4ba4-ae5b-76104861e7dc"),
        ("device_id", "6d92078a82464ba4ae5b76104861e7dc",
         "device_id:6d92078a-8246-4ba4-ae5b-76104861e7dc"),
        ("device_id", "Pixel-7", "device_id:Pixel-7"),
        ("salesforce_id", "0015g00000ABcDe", "salesforce_id:0015g00000ABcDeAAL"),
        ("salesforce_id", "0015g00000ABcDeAAL", "salesforce_id:0015g00000ABcDeAAL"),
        ("user_id", "  U:7 ", "user_id:U:7"),
        ("loyalty.card", "X-1", "loyalty.card:X-1"),
    ],
)  # fmt: skip
def test_the_normal_form(kind: str, value: str, expected: str) -> None:
    assert identifier(kind, value) == expected
    assert normalised(expected) == expected
    assert normalised(f"{kind}:{value}") == expected


def test_a_number_of_a_country_needs_its_region() -> None:
    assert identifier("phone", "030 901820", region="DE") == "phone:+4930901820"
    with pytest.raises(InvalidValue, match="needs a region"):
        identifier("phone", "030 901820")


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("email", "ann", "no address"),
        ("email", "@example.com", "no address"),
        ("email", "Ann <ann@example.com>", "no address"),
        ("email", "ann@", "no host name"),
        ("email", "ann@-example.com", "no host name"),
        ("email", "ann@exa mple.com", "no host name"),
        ("email", "ann@a..b", "no host name"),
        ("email", "ann@ü..b", "no host name"),
        ("phone", "call me", "no telephone number"),
        ("phone", "+1212", "too few or too many"),
        ("phone", "+49 30 901820 ext. 7", "extension"),
        ("salesforce_id", "0015g", "15 or 18"),
        ("salesforce_id", "0015g00000ABcDeAAA", "check characters AAL"),
        ("user_id", "  ", "is empty"),
        ("user_id", "a\u200bb", "cannot be seen"),
        ("user_id", "a\nb", "cannot be seen"),
        ("User", "7", "small letters"),
        ("", "7", "small letters"),
        ("user_id", 7, "is text, not a int"),
    ],
)
def test_what_is_none_is_refused(kind: str, value: Any, said: str) -> None:
    with pytest.raises(InvalidValue, match=said):
        identifier(kind, value)


def test_a_long_one_is_refused() -> None:
    with pytest.raises(LimitExceeded, match="limit is 320"):
        identifier("user_id", "x" * 320)
    with pytest.raises(LimitExceeded, match="limit is 64"):
        identifier("email", "x" * 65 + "@example.com")
    longest = "m" * 64 + "@" + ".".join(["h" * 63, "h" * 63, "h" * 61])
    assert len(longest) == 254
    assert identifier("email", longest) == f"email:{longest}"


@given(st.sampled_from(TYPES), st.text(max_size=24) | st.emails(domains=st.just("Example.com")))
def test_a_normal_form_is_its_own(kind: str, value: str) -> None:
    try:
        text = identifier(kind, value, region="DE")
    except InvalidInput:
        return
    assert normalised(text) == text


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    _normalised.cache_clear()
    for library, kind, value in (
        ("phonenumbers", "phone", "+4930901820"),
        ("idna", "email", "a@ü.de"),
    ):
        monkeypatch.setitem(sys.modules, library, None)
        with pytest.raises(ConfigurationError, match=r"crdtstore\[identity\]"):
            identifier(kind, value)
    assert identifier("email", "a@example.com") == "email:a@example.com"


# --- profile ids ---------------------------------------------------------------------------------

RULES = IdentityRules(phone_region="DE")


def test_a_profile_id_is_of_the_highest_priority_whatever_the_order() -> None:
    one = profile_id_for("eu", ["email:Ann@example.com", "user_id:7", "phone:030 901820"], RULES)
    assert one == profile_id_for("eu", ["phone:+4930901820", "user_id:7"], RULES)
    assert one == str(uuid.UUID(one))
    assert uuid.UUID(one).version == 5
    assert one != profile_id_for("us", ["user_id:7"], RULES)
    assert one != profile_id_for("eu", ["email:ann@example.com"], RULES)
    unlisted = profile_id_for("eu", ["b_id:1", "a_id:2"], RULES)
    assert unlisted == profile_id_for("eu", ["a_id:2"], RULES)


def test_a_blocked_identifier_makes_no_profile_id() -> None:
    with pytest.raises(InvalidValue, match="not blocked"):
        profile_id_for("eu", ["user_id:null", "email:noreply@example.com"], RULES)
    one = profile_id_for("eu", ["user_id:null", "email:ann@example.com"], RULES)
    assert one == profile_id_for("eu", ["email:ann@example.com"], RULES)


# --- in a write ----------------------------------------------------------------------------------


def test_a_write_normalises_what_it_adds_and_removes() -> None:
    schema = Schema(identity=RULES)
    with open_store(schema=schema) as store:
        store.write("p", {"identifiers": add("email: Ann@Example.com", "user_id:7")}, source="crm")
        store.write("p", {"identifiers": add("phone:030 901820")}, source="crm")
        assert store.read("p")["identifiers"] == [
            "email:ann@example.com", "phone:+4930901820", "user_id:7",
        ]  # fmt: skip
        store.write("p", {"identifiers": remove("email:ANN@example.com")}, source="cdp")
        assert store.read("p")["identifiers"] == ["phone:+4930901820", "user_id:7"]
        again = store.write("p", {"identifiers": add("phone:+49 30 901820")}, source="crm")
        assert again.changed == ()


@pytest.mark.parametrize("element", ["ann", "email:ann", 7, True])
def test_a_write_refuses_what_is_no_identifier(element: Any) -> None:
    with open_store() as store:
        with pytest.raises(InvalidValue):
            store.write("p", {"identifiers": add("user_id:7", element)}, source="crm")
        with pytest.raises(InvalidInput, match="declared as a set"):
            store.write("p", {"identifiers": "email:ann@example.com"}, source="crm")
        assert store.profile_count == 0


def test_what_is_no_identifier_here_can_be_removed() -> None:
    with open_store() as store:
        store.write("p", {"identifiers": remove("ann")}, source="crm")
        assert store.profile_count == 0
