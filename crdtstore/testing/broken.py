"""LawBroken: what the toolkit raises when something of yours does not keep a law."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crdtstore.testing.trial import Trial


class LawBroken(AssertionError):
    """A law does not hold; the text says which one, by which example, and why it matters.

    ``program`` is the history that shows it, as a program to paste into a test, if there is one;
    ``trial`` is the trial that it makes.
    """

    def __init__(self, *lines: str, trial: "Trial | None" = None) -> None:
        super().__init__("\n".join(lines))
        self.trial = trial
        self.program = "" if trial is None else trial.program
        if self.program:
            self.add_note(self.program)
