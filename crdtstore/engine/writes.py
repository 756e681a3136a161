"""Writes and what they did, as the library's callers see them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from crdtstore import limits
from crdtstore.errors import (
    CrdtstoreError,
    InvalidInput,
    LimitExceeded,
    Refused,
    StorageCorrupt,
)


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
    """Apply writes one by one; return a result or an error for each: a refusal stops no other.

    Raises LimitExceeded, with nothing written, if there are too many.
    """
    batch = writes if isinstance(writes, Sequence) else list(writes)
    if len(batch) > limits.WRITES_PER_BATCH_MAX:
        raise LimitExceeded("the batch", len(batch), limits.WRITES_PER_BATCH_MAX, "writes")
    results: list[WriteResult | CrdtstoreError] = []
    for profile_id, source, fields, if_version in batch:
        try:
            results.append(write(profile_id, fields, source=source, if_version=if_version))
        except (InvalidInput, Refused, StorageCorrupt) as error:
            results.append(error)
    return results
