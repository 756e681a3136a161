"""Position: how far a target is, as it says itself, written together with its rows.

Because it stands in the target it is always as old as the rows: a target that lost its data has
none, and one that went back to an older copy has the one of that copy, from where it goes on.
"""

import json
from dataclasses import asdict, dataclass
from typing import Final

LOADING: Final = "loading"
FOLLOWING: Final = "following"


@dataclass(frozen=True, slots=True)
class Position:
    """Whose rows these are, and how far they are.

    ``replica`` and ``origin`` say whose journal ``cursor`` is of, ``schema`` by which schema golden
    records were read, ``generation`` when they were built from zero. While ``state`` is loading,
    ``after`` is the last profile that was looked at, and ``done`` the number of them.
    """

    replica: str
    origin: str
    schema: str
    generation: str
    state: str
    cursor: str
    after: str = ""
    done: int = 0

    def packed(self) -> str:
        """Return it as a text."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def unpacked(cls, text: str | None) -> "Position | None":
        """Return the position of a text, None for what is none."""
        try:
            return None if text is None else cls(**json.loads(text))
        except (ValueError, TypeError):
            return None
