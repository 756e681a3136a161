"""Writes and what they did, as the library's callers see them."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from crdtstore.errors import CrdtstoreError, InvalidInput, Refused, StorageCorrupt


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


def apply_each(
    write: Callable[..., WriteResult], writes: Iterable[Write]
) -> list[WriteResult | CrdtstoreError]:
    """Apply writes one by one; return a result or an error for each: a refusal stops no other."""
    results: list[WriteResult | CrdtstoreError] = []
    for profile_id, source, fields, if_version in writes:
        try:
            results.append(write(profile_id, fields, source=source, if_version=if_version))
        except (InvalidInput, Refused, StorageCorrupt) as error:
            results.append(error)
    return results
