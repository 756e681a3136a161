"""Sessions: events that follow each other by no more than a gap.

A payload is ``[[sessions, events, ms] of those that are settled, [[start, end, events], ...]]``,
times in milliseconds. Two replicas may each have seen a part of one session: their sessions are
joined where the gap between them is small enough. The oldest ones of many are settled: counted, and
joined no more.
"""

from typing import Any

from crdtstore import limits
from crdtstore.errors import InvalidValue
from crdtstore.model.amounts import added, check_amount, check_count, check_list
from crdtstore.model.values import Value


def check(payload: Any, gap_ms: int) -> None:
    """Check a payload from elsewhere; raises InvalidValue."""
    check_list(payload, 2, "sessions")
    settled, open_ones = payload
    check_list(settled, 3, "settled sessions")
    for number in settled:
        check_count(number)
    if type(open_ones) is not list or len(open_ones) > limits.TRAIT_SESSIONS_MAX:
        raise InvalidValue(f"more than {limits.TRAIT_SESSIONS_MAX} sessions, or no list of them")
    before = None
    for session in open_ones:
        check_list(session, 3, "a session")
        start_ms, end_ms, events = session
        check_amount(start_ms)
        check_amount(end_ms)
        check_count(events, 1)
        if start_ms > end_ms or (before is not None and start_ms - before <= gap_ms):
            raise InvalidValue("sessions are out of order, or are one")
        before = end_ms


def united(one: Any, other: Any, gap_ms: int) -> Any:
    """Return the sessions of both."""
    settled = one[0]
    if any(other[0]):
        settled = [added(mine, theirs) for mine, theirs in zip(one[0], other[0], strict=True)]
    joined: list[list[int]] = []
    for start_ms, end_ms, events in sorted(one[1] + other[1]):
        if joined and start_ms - joined[-1][1] <= gap_ms:
            last = joined[-1]
            joined[-1] = [last[0], max(last[1], end_ms), added(last[2], events)]
        else:
            joined.append([start_ms, end_ms, events])
    return [settled, joined]


def bounded(payload: Any) -> Any:
    """Return a payload with the oldest sessions settled, if there are too many."""
    settled, open_ones = payload
    beyond = len(open_ones) - limits.TRAIT_SESSIONS_MAX
    if beyond <= 0:
        return payload
    old = open_ones[:beyond]
    more = [beyond, sum(each[2] for each in old), sum(each[1] - each[0] for each in old)]
    sums = [added(mine, theirs) for mine, theirs in zip(settled, more, strict=True)]
    return [sums, open_ones[beyond:]]


def value(payload: Any) -> Value:
    """Return how many sessions and events there were, how long, and when the last one was."""
    (count, events, total_ms), open_ones = payload
    record: dict[str, Value] = {
        "sessions": count + len(open_ones),
        "events": events + sum(each[2] for each in open_ones),
        "duration_ms": total_ms + sum(each[1] - each[0] for each in open_ones),
    }
    if open_ones:
        record |= {"last_started_ms": open_ones[-1][0], "last_ended_ms": open_ones[-1][1]}
    return record
