"""Refusals: errors of the store on their way to a client, and back into the same errors there."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from crdtstore import person_errors
from crdtstore.errors import CrdtstoreError, NotUnderstood
from crdtstore.stream import bounds

_MEMBERS: Final = frozenset(
    {"profile_id", "expected", "actual", "subject", "size", "limit", "unit", "kind"}
)


def refusal_of(error: CrdtstoreError) -> tuple[str, str, dict[str, Any]]:
    """Return code, text and members of an error, as they travel."""
    members = {
        name: _printable(value) if type(value) is str else value
        for name, value in vars(error).items()
        if name in _MEMBERS
    }
    return error.code, _printable(str(error)), members


def error_of(code: str, text: str, members: Mapping[str, Any]) -> CrdtstoreError:
    """Return the error that a refusal tells of; one of an unknown code is a NotUnderstood."""
    kind = _KINDS.get(code)
    if kind is None:
        return NotUnderstood(f"{code}: {text}")
    error = kind.__new__(kind)
    error.args = (text,)
    for name in _MEMBERS & members.keys():
        setattr(error, name, members[name])
    return error


def _printable(text: str) -> str:
    """Return a text that UTF-8 can carry, and not too long: what was refused may be quoted."""
    return text[: bounds.REFUSAL_TEXT_MAX].encode("utf-8", "backslashreplace").decode()


def _below(kind: type[CrdtstoreError]) -> Iterator[type[CrdtstoreError]]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)


_KINDS: Final = {
    kind.code: kind
    for kind in _below(CrdtstoreError)
    if kind.__module__ in (CrdtstoreError.__module__, person_errors.__name__)
}
