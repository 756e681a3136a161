"""Writes and what they did, as the library's callers see them, and what a document must allow."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from crdtstore.errors import ProfileErased, VersionMismatch
from crdtstore.model.document import Document


class Write(NamedTuple):
    """One write of a batch: what a source says about a profile."""

    id: str
    source: str
    fields: Mapping[str, Any]
    if_version: str | None = None


class WriteResult(NamedTuple):
    """What a write did: the profile's version after it, and the fields that it changed."""

    id: str
    version: str
    changed: tuple[str, ...]


def check_writable(profile_id: str, document: Document, if_version: str | None) -> None:
    """Check that a document takes a write; raises ProfileErased or VersionMismatch."""
    if document.is_erased:
        raise ProfileErased(profile_id)
    if if_version is not None:
        check_version(profile_id, document, if_version)


def check_version(profile_id: str, document: Document, if_version: str) -> None:
    """Check that a document is there, at a version; raises VersionMismatch."""
    actual = None if document.is_absent else document.version
    if actual != if_version:
        raise VersionMismatch(profile_id, if_version, actual)
