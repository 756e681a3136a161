"""What records that went had said, kept aside for a while: a merge may be told after all.

A record that goes takes back what it said, its identifiers too. If it went because it was merged
into another one, they stay with the person. But vendors tell in any order: a record may be read as
deleted before its merge is told. So its identifiers are kept aside, on this replica only, for as
long as vendors tell of an event late, and the merge gives them back.

What an erasure forbids is neither given back nor kept.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgpack

from crdtstore import Replica
from replicas.crm import limits
from replicas.crm.joint import Joint

_pack: Callable[[Any], bytes] = msgpack.Packer().pack

_KEPT_MS: Final = limits.WITHDRAWN_S * 1000


class Withdrawn:
    """The identifiers that records which went had said, by the profile of each."""

    def __init__(self, replica: Replica, prefix: str) -> None:
        self._replica = replica
        self._prefix = f"{prefix}withdrawn/"

    def keep(self, commit: Joint, profile_id: str, identifiers: Iterable[str], now_ms: int) -> None:
        """Keep aside what a record says no more."""
        kept = sorted(identifiers)[: limits.WITHDRAWN_IDENTIFIERS_MAX]
        if kept:
            commit.note(self._prefix + profile_id, _pack([now_ms + _KEPT_MS, kept]))

    def of(self, profile_id: str) -> list[str]:
        """Return what is kept aside of a profile."""
        packed = self._replica.notes.get(self._prefix + profile_id)
        if packed is None:
            return []
        refuses = self._replica.erasures.refuses
        return [one for one in msgpack.unpackb(packed)[1] if not refuses(profile_id, one)]

    def drop(self, commit: Joint, profile_id: str) -> None:
        """Forget what is kept aside of a profile, if anything is."""
        if self._replica.notes.get(self._prefix + profile_id) is not None:
            commit.note(self._prefix + profile_id, None)

    def stale(self, now_ms: int) -> list[str]:
        """Return the profiles of which nothing may be kept aside any longer."""
        refuses = self._replica.erasures.refuses
        found = []
        for name, packed in self._replica.notes.starting_with(self._prefix).items():
            profile_id = name.removeprefix(self._prefix)
            until_ms, identifiers = msgpack.unpackb(packed)
            if until_ms <= now_ms or refuses(profile_id, *identifiers):
                found.append(profile_id)
        return found
