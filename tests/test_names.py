"""Names: what may be one, and what the error says when something may not."""

import pytest

from crdtstore.errors import InvalidName
from crdtstore.names import (
    check_field_name,
    check_name,
    check_profile_id,
    check_source_name,
    is_name,
    is_profile_id,
)


@pytest.mark.parametrize(
    "text", ["a", "address.city", "größe", "名前", "a b", " a", "x" * 64, "😀"]
)
def test_a_text_with_something_visible_is_a_name(text):
    check_name(text, "a field name", 64)
    assert is_name(text, 64)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "visible character"),
        (" \t ", "visible character"),
        ("\u2003", "visible character"),
        ("a\nb", "control characters"),
        ("a\x00", "control characters"),
        ("a\x7f", "control characters"),
        ("ä\x85b", "control characters"),
        ("ä\x1f", "control characters"),
        ("\ud800", "lone surrogate"),
        ("x" * 65, "64 UTF-8 bytes, not 65"),
        ("é" * 33, "64 UTF-8 bytes, not 66"),
        (None, "is text, not a NoneType"),
        (b"a", "is text, not a bytes"),
    ],
)
def test_what_is_no_name_is_refused_with_its_fault(text, fault):
    assert not is_name(text, 64)
    with pytest.raises(InvalidName, match=fault) as caught:
        check_name(text, "a source name", 64)
    assert str(caught.value).startswith("a source name ")


def test_the_limit_counts_bytes_of_utf8():
    assert is_name("é" * 32, 64)
    assert not is_name("é" * 32 + "a", 64)


def test_each_kind_of_name_has_its_own_limit():
    check_profile_id("x" * 255)
    check_field_name("x" * 128)
    check_source_name("x" * 64)
    assert is_profile_id("x" * 255)
    assert not is_profile_id("x" * 256)
    for check, size in ((check_profile_id, 256), (check_field_name, 129), (check_source_name, 65)):
        with pytest.raises(InvalidName, match="UTF-8 bytes"):
            check("x" * size)
