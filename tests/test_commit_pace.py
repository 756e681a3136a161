"""Commit pace: the event loop makes a commit itself only where it is small, alone and quick."""

import pytest

from crdtstore import limits
from crdtstore.commit_pace import CommitPace
from crdtstore.storage.contract import Batch

SMALL = Batch(journal=[(1, bytes(200))])
LARGE = Batch(journal=[(1, bytes(limits.LOOP_COMMIT_BYTES_MAX))])


def quick_pace():
    pace = CommitPace()
    for _ in range(limits.QUICK_COMMITS_MIN):
        assert not pace.is_for_the_loop(SMALL, 1), "nothing is known of the disk yet"
        pace.note(SMALL, limits.QUICK_COMMIT_S / 2)
    return pace


def test_a_lone_small_commit_on_a_quick_disk_is_for_the_loop():
    assert quick_pace().is_for_the_loop(SMALL, 1)


@pytest.mark.parametrize(
    ("batch", "waiting_writers"),
    [
        (LARGE, 1),
        (SMALL, 0),
        (SMALL, 2),
        (Batch(documents=[(b"ann", b"")]), 1),
        (Batch(trim_before=2), 1),
    ],
)
def test_any_other_commit_is_for_the_thread(batch, waiting_writers):
    assert not quick_pace().is_for_the_loop(batch, waiting_writers)


def test_one_slow_commit_gives_all_back_to_the_thread_for_long():
    pace = quick_pace()
    pace.note(SMALL, 2 * limits.QUICK_COMMIT_S)
    for _ in range(limits.QUICK_COMMITS_MIN):
        assert not pace.is_for_the_loop(SMALL, 1)
        pace.note(SMALL, 0.0)
    assert pace.is_for_the_loop(SMALL, 1)


def test_a_large_commit_says_nothing_of_the_disk():
    pace = quick_pace()
    pace.note(LARGE, 9.0)
    assert pace.is_for_the_loop(SMALL, 1)
