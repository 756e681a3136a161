"""Commit pace: how long small commits took lately, and so where the next one is made.

To hand a commit over to a thread and back takes as long as the sync itself on a fast disk. So a
small one for which a single writer waits is made by the event loop itself; but only while the last
ones were all quick, for the loop does nothing else meanwhile. One slow sync, and the thread has
them again until so many in a row were quick.
"""

from crdtstore import limits
from crdtstore.storage.contract import Batch


class CommitPace:
    """How quick the disk is. It starts as if it were slow."""

    def __init__(self) -> None:
        self._quick_in_a_row = 0

    def is_for_the_loop(self, batch: Batch, waiting_writers: int) -> bool:
        """Say whether the event loop itself should make this commit."""
        return (
            waiting_writers == 1
            and self._quick_in_a_row >= limits.QUICK_COMMITS_MIN
            and not batch.documents
            and not batch.trim_before
            and batch.size_bytes() <= limits.LOOP_COMMIT_BYTES_MAX
        )

    def note(self, batch: Batch, elapsed_s: float) -> None:
        """Take note how long a commit took; large ones say nothing."""
        if batch.size_bytes() > limits.LOOP_COMMIT_BYTES_MAX:
            return
        is_quick = elapsed_s <= limits.QUICK_COMMIT_S
        self._quick_in_a_row = self._quick_in_a_row + 1 if is_quick else 0
