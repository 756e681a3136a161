"""Watches: who follows a text is told its durable updates, in the order of their commits.

A watch is a bounded queue that its owner empties. It is told of an update when the commit that
keeps it is durable, whoever wrote it. If it lags too far, or a repair brought the text as a whole,
it is told that something is missing: its owner then asks for what it lacks by state vector.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from crdtstore import limits
from crdtstore.model.cells import Cell, text_name

TextNotice = tuple[str, str, bytes | None]
"""Profile, text, and the update: None if it is not known; the text "" stands for all."""

_EVERY_TEXT: Final = ""


@dataclass(slots=True)
class TextWatch:
    """What happened to one text since its owner looked.

    ``is_behind`` says that ``updates`` are not all. ``has_ended`` says that the profile was erased,
    or begun anew: nothing follows, and nothing that the owner has may come back.
    """

    profile_id: str
    name: str
    updates: list[bytes] = field(default_factory=list)
    is_behind: bool = False
    has_ended: bool = False
    bytes_held: int = 0

    def take(self) -> tuple[list[bytes], bool]:
        """Return the updates since the last call, and whether others are missing."""
        updates, is_behind = self.updates, self.is_behind
        self.updates, self.is_behind, self.bytes_held = [], False, 0
        return updates, is_behind

    def tell(self, update: bytes | None) -> None:
        """Add an update; None says that something happened that no update tells of."""
        self.bytes_held += len(update or b"")
        if update is None or self.bytes_held > limits.TEXT_WATCH_BYTES_MAX:
            self.updates, self.is_behind, self.bytes_held = [], True, 0
        elif not self.is_behind:
            self.updates.append(update)


class TextWatches:
    """All watches of one store."""

    def __init__(self) -> None:
        self._by_profile: dict[str, list[TextWatch]] = {}

    def open(self, profile_id: str, name: str) -> TextWatch:
        """Begin to watch a text, by its letter and field."""
        watch = TextWatch(profile_id, name)
        self._by_profile.setdefault(profile_id, []).append(watch)
        return watch

    def close(self, watch: TextWatch) -> None:
        """End a watch; a second call does nothing."""
        watches = self._by_profile.get(watch.profile_id, [])
        watches[:] = [other for other in watches if other is not watch]
        if not watches:
            self._by_profile.pop(watch.profile_id, None)

    def is_watched(self, profile_id: str) -> bool:
        """Say whether somebody watches a text of a profile."""
        return profile_id in self._by_profile

    def notices(
        self, profile_id: str, cells: Mapping[str, Cell], is_new_epoch: bool
    ) -> list[TextNotice]:
        """Return what watches must be told when a change that was joined now is durable."""
        if is_new_epoch:
            return [(profile_id, _EVERY_TEXT, None)]
        return [
            (profile_id, text_name(key), None if len(cell) > 5 else cell[3])
            for key, cell in cells.items()
            if len(cell) > 3
        ]

    def tell(self, notices: list[TextNotice]) -> None:
        """Tell watches what is durable."""
        for profile_id, name, update in notices:
            for watch in self._by_profile.get(profile_id, ()):
                if name == _EVERY_TEXT:
                    watch.has_ended = True
                elif name == watch.name:
                    watch.tell(update)
