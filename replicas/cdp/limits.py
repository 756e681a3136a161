"""Every bound of the CDP replica: each with its unit and the reason for its size.

Bounds that an operator may want to move are settings: these are their defaults.
"""

from typing import Final

# --- the event log -------------------------------------------------------------------------------

EVENTS_PER_BLOCK_MAX: Final = 256
"""Events in one record of the log: reading a single event skips over the others, at 0.1 µs each."""

SEGMENT_BYTES_MAX: Final = 128 * 1024 * 1024
"""Bytes after which a new file of the log begins: retention and erasures work file by file."""

SEGMENT_AGE_DIVISOR: Final = 16
"""A file of the log holds events of at most this part of the retention, however few they are."""

SEGMENT_SPARE_BYTES: Final = 256 * 1024 * 1024
"""Address space beyond a file's size that its map takes: one append may exceed the size."""

LOG_BYTES_MAX: Final = 20 * 1024 * 1024 * 1024
"""Bytes of the log: about forty million events of 500 bytes."""

LOG_AGE_S_MAX: Final = 90 * 86_400.0
"""Seconds that an event is kept: ninety days, the longest look-back of common segments."""

SEEN_COUNT_MAX: Final = 4_000_000
"""Message ids that are remembered, in 8 bytes each: a day at 46 events a second."""

SEEN_AGE_S_MAX: Final = 86_400.0
"""Seconds for which a message id is remembered at least, as far as the count allows: clients try
again for up to twelve hours."""

SEEN_RUNS_MAX: Final = 16
"""Sorted runs that a full window has, by count and by age: each new id is looked for in each, at
0.1 µs, and the oldest run is forgotten whole."""

TIMELINE_MAX: Final = 1_000
"""Events of a profile in one answer."""

READ_MAX: Final = 10_000
"""Events that one round of a follower reads: ten milliseconds of decoding."""
