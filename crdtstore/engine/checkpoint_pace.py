"""Checkpoint pace: how many documents come to rest at a time."""

from crdtstore import limits


def slice_of(dirty: int, elapsed_ms: int) -> int:
    """Return how many documents a commit of ordinary size brings to rest.

    A checkpoint takes about as long whether commits are quick and many or slow and few. If more are
    dirty than it waits for, they come in faster than they rest.
    """
    hurried = hurried_slice_of(dirty)
    if hurried:
        return hurried
    paced = dirty * min(elapsed_ms, limits.CHECKPOINT_PACE_MS_MAX) // limits.CHECKPOINT_MS
    return max(limits.CHECKPOINT_SLICE_DOCUMENTS, paced)


def hurried_slice_of(dirty: int) -> int:
    """Return how many that is when a quarter more are dirty than start a checkpoint, 0 before."""
    excess = dirty - limits.CHECKPOINT_DOCUMENTS * 5 // 4
    if excess <= 0:
        return 0
    return min(max(excess, limits.HURRIED_SLICE_DOCUMENTS), limits.HURRIED_SLICE_DOCUMENTS_MAX)
