"""What a deliberate bug is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bug:
    """One deliberate bug: in ``file``, the text ``before`` (there once) becomes ``after``.

    ``more`` are further edits that belong to it, each (file, before, after).
    """

    name: str
    breaks: str
    file: str
    before: str
    after: str
    more: tuple[tuple[str, str, str], ...] = ()

    @property
    def edits(self) -> tuple[tuple[str, str, str], ...]:
        """All edits of the bug."""
        return (self.file, self.before, self.after), *self.more
