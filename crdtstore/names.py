"""Names: the one rule for profile ids and the names of fields, sources, replicas and spaces.

A name is Unicode text of 1 to so many UTF-8 bytes, not only of white space, with no control
character in it: names are parts of keys, of log lines and of web addresses.
"""

from typing import Final

from crdtstore import limits
from crdtstore.errors import InvalidName

OWN_IDS: Final = "!crdtstore/"
"""Beginning of the ids of documents that are no profiles: crdtstore keeps its own things there."""


def is_name(text: object, bytes_max: int) -> bool:
    """Say whether this is text that may be a name of at most ``bytes_max`` UTF-8 bytes."""
    if type(text) is not str or not text or text.isspace():
        return False
    if text.isascii():
        return len(text) <= bytes_max and text.isprintable()
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return False
    return size <= bytes_max and not _has_control_character(text)


def check_name(text: object, what: str, bytes_max: int) -> None:
    """Check a name; raises InvalidName. ``what`` names it in the error ("a field name")."""
    if not is_name(text, bytes_max):
        raise InvalidName(f"{what} {_fault_of(text, bytes_max)}")


def is_profile_id(profile_id: object) -> bool:
    """Say whether this may be a profile id: a name of at most 255 UTF-8 bytes."""
    return is_name(profile_id, limits.PROFILE_ID_BYTES_MAX)


def check_profile_id(profile_id: object) -> None:
    """Check a profile id; raises InvalidName."""
    check_name(profile_id, "a profile id", limits.PROFILE_ID_BYTES_MAX)
    if str(profile_id).startswith(OWN_IDS):
        raise InvalidName(f"a profile id does not begin with {OWN_IDS}, which crdtstore keeps")


def check_field_name(field: object) -> None:
    """Check a field name; raises InvalidName."""
    check_name(field, "a field name", limits.FIELD_NAME_BYTES_MAX)


def check_source_name(source: object) -> None:
    """Check a source name; raises InvalidName."""
    check_name(source, "a source name", limits.SOURCE_NAME_BYTES_MAX)


def check_policy_name(name: object) -> None:
    """Check the name of a survivorship policy; raises InvalidName."""
    check_name(name, "a policy name", limits.FIELD_NAME_BYTES_MAX)


def _has_control_character(text: str) -> bool:
    return any(character < " " or "\x7f" <= character <= "\x9f" for character in text)


def _fault_of(text: object, bytes_max: int) -> str:
    """Return what is wrong with a name that is none."""
    if type(text) is not str:
        return f"is text, not a {type(text).__name__}"
    if not text or text.isspace():
        return f"has at least one visible character, not {text!r}"
    if _has_control_character(text):
        return f"has no control characters, as in {text[:40]!r}"
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return f"is Unicode text, which has no lone surrogate as in {text[:40]!r}"
    return f"has at most {bytes_max} UTF-8 bytes, not {size:,}"
