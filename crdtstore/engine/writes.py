"""Writes and what they did, as the library's callers see them."""

from collections.abc import Mapping
from typing import Any, NamedTuple


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
