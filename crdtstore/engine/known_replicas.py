"""Known replicas: whom this replica has had links with, and what each of them has made durable.

The journal is kept for them: what one of them has not acknowledged, it may still ask for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgpack

from crdtstore import limits
from crdtstore.engine.drafting import Drafting
from crdtstore.storage.contract import Storage
from crdtstore.sync.vector import Vector

_PREFIX: Final = "replica/"

_pack: Callable[[Any], bytes] = msgpack.Packer().pack


@dataclass(slots=True)
class KnownReplica:
    """A replica that had a link with this one: its origin then, and what it had made durable.

    ``heard_ms`` is our wall clock when it was heard last, ``noted_ms`` when that was written down.
    """

    name: str
    origin: int
    acknowledged: Vector
    heard_ms: int
    noted_ms: int = 0

    def pack(self) -> bytes:
        """Return the bytes in which storage keeps what is known."""
        return _pack([self.origin, self.heard_ms, sorted(self.acknowledged.items())])

    @classmethod
    def unpack(cls, name: str, packed: bytes) -> "KnownReplica":
        """Return what storage keeps of a replica."""
        origin, heard_ms, pairs = msgpack.unpackb(packed, use_list=False)
        return cls(name, origin, dict(pairs), heard_ms, heard_ms)


class KnownReplicas:
    """The replicas that this one knows from links, by name.

    A new one is made durable at once, what it acknowledges later with other commits: a crash
    forgets some of it, and the journal is kept a little longer for it.
    """

    def __init__(self, storage: Storage, drafting: Drafting) -> None:
        self._drafting = drafting
        self._known = {
            key.removeprefix(_PREFIX): KnownReplica.unpack(key.removeprefix(_PREFIX), packed)
            for key, packed in storage.metas(_PREFIX).items()
        }
        self._waits_for: tuple[str, int] | None = None

    def present(self) -> list[KnownReplica]:
        """Return all that are known, by name."""
        return [known for _, known in sorted(self._known.items())]

    def heard(self, name: str, origin: int, claimed: Vector, now_ms: int) -> None:
        """Take note of what a replica says that it has made durable.

        It replaces what it said before: a replica that was rolled back has less.
        """
        known = self._known.get(name)
        if known is not None and known.origin == origin:
            known.acknowledged, known.heard_ms = claimed, now_ms
            return
        if known is None and len(self._known) >= limits.KNOWN_REPLICAS_MAX:
            self.forget(min(self._known.values(), key=lambda known: known.heard_ms).name)
        known = self._known[name] = KnownReplica(name, origin, claimed, now_ms, now_ms)
        self._drafting.draft.meta[_PREFIX + name] = known.pack()

    def forget(self, name: str) -> None:
        """Wait for nothing from a replica any more."""
        if self._known.pop(name, None) is not None:
            self._drafting.draft.meta[_PREFIX + name] = None

    def have(self, needed: Mapping[int, int]) -> bool:
        """Say whether every known replica has acknowledged these sequences of these origins.

        What a replica itself wrote it has, whether it found the time to say so or not.
        """
        if self._waits_for is not None:
            name, origin = self._waits_for
            known = self._known.get(name)
            if known is not None and known.acknowledged.get(origin, 0) < needed.get(origin, 0):
                return False  # what was missing is missing still: no need to look at all
        self._waits_for = None
        for known in self._known.values():
            for origin, sequence in needed.items():
                if origin != known.origin and known.acknowledged.get(origin, 0) < sequence:
                    self._waits_for = known.name, origin
                    return False
        return True

    def take_news(self, now_ms: int, *, whole: bool) -> dict[str, bytes | None]:
        """Return the records to be written with a commit: those that are due, or all news."""
        news: dict[str, bytes | None] = {}
        for name, known in self._known.items():
            age_ms = now_ms - known.noted_ms
            is_due = whole or age_ms >= limits.KNOWN_REPLICA_NOTE_MS
            if known.heard_ms != known.noted_ms and is_due:
                known.noted_ms = known.heard_ms
                news[_PREFIX + name] = known.pack()
        return news

    def commit_failed(self) -> None:
        """Take note that what was taken for a commit was not kept: it goes with a later one."""
        for known in self._known.values():
            known.noted_ms = 0
