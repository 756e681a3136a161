"""Delivering: documents on their way to a peer, which are sent when they are durable."""

from collections import deque
from typing import Final

from crdtstore import limits
from crdtstore.engine.healing import Healing
from crdtstore.engine.snapshots import packed_entries
from crdtstore.sync.repair_messages import LAST, MORE, PUSHED, Documents
from crdtstore.sync.session import Session

_ENTRIES_BYTES: Final = limits.FRAME_BYTES_MAX - 16 * limits.KIBIBYTE


class Durability:
    """A wait for what was written and joined so far to be durable."""

    def __init__(self, healing: Healing) -> None:
        self._healing = healing
        self._state = "drafted" if healing.is_drafted else "committing"

    @property
    def is_reached(self) -> bool:
        """Whether all of it is durable."""
        return self._state == "durable" or self._healing.is_durable

    @property
    def needs_commit(self) -> bool:
        """Whether a commit has yet to begin."""
        return self._state == "drafted" and not self._healing.is_durable

    def commit_begun(self) -> None:
        """Take note that a commit has begun, of all that was drafted."""
        if self._state == "drafted":
            self._state = "committing"

    def commit_finished(self) -> None:
        """Take note that the commit under way is durable."""
        if self._state == "committing":
            self._state = "durable"


class Delivery:
    """Documents to be sent, read when their turn comes."""

    def __init__(self, healing: Healing, profile_ids: list[str]) -> None:
        self._healing = healing
        self._profile_ids = deque(profile_ids)
        self._entries: deque[bytes] = deque()

    @property
    def is_empty(self) -> bool:
        """Whether all was sent."""
        return not (self._profile_ids or self._entries)

    def send(self, session: Session, role: int) -> int:
        """Send the next of them as one message; return its bytes."""
        taken: list[bytes] = []
        size = 0
        while not self.is_empty:
            if not self._entries:
                profile_id = self._profile_ids.popleft()
                self._entries.extend(self._healing.entries_at_rest(profile_id))
                continue
            if taken and size + len(self._entries[0]) > _ENTRIES_BYTES:
                break
            size += len(self._entries[0])
            taken.append(self._entries.popleft())
        if role != PUSHED:
            role = LAST if self.is_empty else MORE
        message = Documents(role, self._healing.latest_timestamp, packed_entries(taken))
        return session.send_chunk(message)
