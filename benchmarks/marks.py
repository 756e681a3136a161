"""Marks: what stands between two comments of a text is written by a program, by nobody's hand."""

import re
from pathlib import Path
from typing import NamedTuple


class Marks(NamedTuple):
    """The comments before and after what is written."""

    begin: str
    end: str

    def present(self, path: Path) -> str:
        """Return what stands between the marks in a file now."""
        pattern = f"{re.escape(self.begin)}\n\n(.*?)\n\n{re.escape(self.end)}"
        match = re.search(pattern, path.read_text("utf-8"), re.DOTALL)
        assert match is not None, f"{path.name} has lost its marks"
        return match[1]

    def update(self, path: Path, section: str) -> None:
        """Write between the marks of a file."""
        old = f"{self.begin}\n\n{self.present(path)}\n\n{self.end}"
        new = f"{self.begin}\n\n{section}\n\n{self.end}"
        path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
