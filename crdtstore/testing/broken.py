"""LawBroken: what the toolkit raises when something of yours does not keep a law."""


class LawBroken(AssertionError):
    """A law does not hold; the text says which one, by which example, and why it matters.

    ``program`` is the history that shows it, as a program to paste into a test, if there is one.
    """

    def __init__(self, *lines: str, program: str = "") -> None:
        super().__init__("\n".join(lines))
        self.program = program
        if program:
            self.add_note(program)

    def alone(self) -> "LawBroken":
        """Return the same error without the frames and notes of the search that found it."""
        broken = LawBroken(str(self))
        broken.program = self.program
        return broken
