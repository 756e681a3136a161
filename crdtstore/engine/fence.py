"""The fence: a store that found another history under its identity takes no more writes.

What it would write could be in no other replica's history. The next opening of its data directory
takes a new incarnation, as that of a restored backup does.
"""

from crdtstore.engine.drafting import Drafting
from crdtstore.engine.identity import RESTORED


class Fence:
    """``reason`` is "" while there is no fence."""

    def __init__(self, drafting: Drafting) -> None:
        self.reason = ""
        self._drafting = drafting

    def put_up(self, reason: str) -> None:
        """Refuse writes from now on, and have the next opening take a new incarnation."""
        if not self.reason:
            self.reason = reason
            self._drafting.draft.meta[RESTORED] = b"1"
