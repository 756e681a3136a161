"""What the segments remember of profiles: relatives, and when they are due by time.

| Note                               | Holds                                             |
|------------------------------------|---------------------------------------------------|
| cdp/segments/profile/ID            | the minute it is due, the other profiles of its person |
| cdp/segments/due/MINUTE/ID         | nothing: that this profile is due in this minute  |
| cdp/segments/definitions           | digest and names of the definitions evaluated last |

A person is due once at most: one that is due earlier than need be is evaluated, and then due anew.
So who is active every day moves no note. Relatives are remembered because nothing tells of whose
person a profile was that is erased.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgpack

from crdtstore import Replica
from replicas.cdp import limits

MINUTE_MS: Final = 60_000
_PREFIX: Final = "cdp/segments/"
_MINUTES_COUNTED: Final = 10_000


class Commit(Protocol):
    """What a commit of the replica's notes takes."""

    def write(self, profile_id: str, fields: Mapping[str, Any], *, source: str) -> object:
        """Write what a source says about a profile."""
        ...

    def move_cursor(self, name: str, value: str) -> None:
        """Move a durable cursor."""
        ...

    def note(self, name: str, value: bytes | None) -> None:
        """Change a note, None removes it."""
        ...


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is remembered of a profile; ``minute`` is 0 if it is not due."""

    minute: int = 0
    relatives: tuple[str, ...] = ()


class Memory:
    """The notes of one service. What is changed goes with a commit."""

    def __init__(self, replica: Replica) -> None:
        self._notes = replica.notes
        self._counts: OrderedDict[int, int] = OrderedDict()

    def profile(self, profile_id: str) -> Remembered:
        """Return what is remembered of a profile."""
        packed = self._notes.get(f"{_PREFIX}profile/{profile_id}")
        if packed is None:
            return Remembered()
        minute, relatives = msgpack.unpackb(packed)
        return Remembered(minute, tuple(relatives))

    def keep(
        self, commit: Commit, profile_id: str, relatives: Sequence[str], due_ms: int | None
    ) -> None:
        """Remember the other profiles of a profile's person, and until when to look again."""
        old = self.profile(profile_id)
        minute = old.minute
        if due_ms is not None:
            wanted = due_ms // MINUTE_MS + 1
            if not minute or wanted < minute:
                self._forget_due(commit, profile_id, minute)
                minute = self._with_room(wanted)
                commit.note(_due_name(minute, profile_id), b"")
        new = Remembered(minute, tuple(relatives[: limits.RELATIVES_MAX]))
        if new != old:
            self._put(commit, profile_id, new)

    def settle(self, commit: Commit, minute: int, profile_id: str) -> None:
        """Take note that a profile which was due is looked at now."""
        commit.note(_due_name(minute, profile_id), None)
        old = self.profile(profile_id)
        if old.minute == minute:
            self._put(commit, profile_id, Remembered(0, old.relatives))

    def forget(self, commit: Commit, profile_id: str) -> None:
        """Forget a profile that is gone."""
        self._forget_due(commit, profile_id, self.profile(profile_id).minute)
        self._put(commit, profile_id, Remembered())

    def due(self, minute: int) -> list[str]:
        """Return the profiles that are due in a minute."""
        prefix = _due_name(minute, "")
        return [name.removeprefix(prefix) for name in self._notes.starting_with(prefix)]

    def definitions(self) -> tuple[str, list[str]]:
        """Return digest and names of the definitions that were evaluated last."""
        packed = self._notes.get(f"{_PREFIX}definitions")
        if packed is None:
            return "", []
        digest, names = msgpack.unpackb(packed)
        return digest, names

    def keep_definitions(self, commit: Commit, digest: str, names: Sequence[str]) -> None:
        """Remember which definitions are being evaluated."""
        commit.note(f"{_PREFIX}definitions", msgpack.packb((digest, list(names))))

    def _with_room(self, minute: int) -> int:
        """Return a minute from one on in which not too many are due."""
        while self._counts.get(minute, 0) >= limits.DUE_PER_MINUTE_MAX:
            minute += 1
        self._counts[minute] = self._counts.get(minute, 0) + 1
        if len(self._counts) > _MINUTES_COUNTED:
            self._counts.popitem(last=False)
        return minute

    def _forget_due(self, commit: Commit, profile_id: str, minute: int) -> None:
        if minute:
            commit.note(_due_name(minute, profile_id), None)

    def _put(self, commit: Commit, profile_id: str, remembered: Remembered) -> None:
        is_empty = remembered == Remembered()
        packed = None if is_empty else msgpack.packb((remembered.minute, remembered.relatives))
        commit.note(f"{_PREFIX}profile/{profile_id}", packed)


def _due_name(minute: int, profile_id: str) -> str:
    return f"{_PREFIX}due/{minute:010d}/{profile_id}"
