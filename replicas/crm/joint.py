"""The commit in which what is done for records becomes durable, as this service sees it."""

from collections.abc import Mapping
from typing import Any, Protocol

from crdtstore import WriteResult


class Joint(Protocol):
    """Changes that become durable together: what ``replica.notes.commit()`` gives."""

    def write(self, profile_id: str, fields: Mapping[str, Any], *, source: str) -> WriteResult:
        """Write what a source says about a profile."""
        ...

    def erase(self, profile_id: str) -> WriteResult:
        """Erase a profile for good."""
        ...

    def merge(self, profile_id: str, other_id: str, *, source: str) -> None:
        """Say that two profiles are of one person."""
        ...

    def note(self, name: str, value: bytes | None) -> None:
        """Change a note, None removes it."""
        ...

    def move_cursor(self, name: str, value: str) -> None:
        """Move a durable cursor."""
        ...
