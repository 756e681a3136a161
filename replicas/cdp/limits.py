"""Every bound of the CDP replica: each with its unit and the reason for its size.

Bounds that an operator may want to move are settings: these are their defaults.
"""

from typing import Final

# --- segments ------------------------------------------------------------------------------------

SEGMENTS_MAX: Final = 500
"""Segments of one service: each change of a person costs all of them."""

SEGMENT_NAME_CHARACTERS_MAX: Final = 100
"""Characters of a segment's name: it is an element of a set, and part of a key in Redis."""

SEGMENT_CONDITIONS_MAX: Final = 200
"""Conditions of one segment: what a person can still read."""

SEGMENT_DEPTH_MAX: Final = 16
"""Groups of conditions inside one another: a definition is checked by recursion."""

SEGMENT_VALUES_MAX: Final = 1_000
"""Values of one ``in``: a longer list belongs into a field."""

SEGMENT_WINDOW_DAYS_MAX: Final = 3_660
"""Days that a condition looks back or ahead: ten years."""

SEGMENTS_FILE_BYTES_MAX: Final = 1024 * 1024
"""Bytes of a file of definitions: 500 of 2 KiB each."""

EVALUATED_MAX: Final = 25
"""Persons that are evaluated in one go: at 0.2 ms each, requests wait no longer than 5 ms."""

SEGMENT_FEED_PAGE_MAX: Final = 1_000
"""Changes of the feed that one round looks at: what a crash makes it look at again."""

SEGMENT_SCAN_PAGE_MAX: Final = 500
"""Profiles that one round of a re-evaluation of all looks at: what a crash makes it repeat."""

DUE_PER_MINUTE_MAX: Final = 5_000
"""Persons that come due by time in one minute, the others a minute later each: a load of a million
people on one day must not come due in one go a month later."""

DUE_MINUTES_MAX: Final = 1_000
"""Minutes that one round goes through after a standstill: at 5 µs for an empty one."""

RESCAN_S: Final = 3_600.0
"""Seconds between two re-evaluations of all for changes that concern more persons than the feed can
name: such changes come in floods."""

SEGMENT_RECHECK_S: Final = 300.0
"""Seconds after which a person is evaluated again of whom another region says otherwise: mostly it
has learned by then what we know. Regions with different definitions contradict no more often."""

RELATIVES_MAX: Final = 200
"""Other profiles of a person that are remembered for each, to look at them when it is erased."""

SAMPLE_MAX: Final = 100
"""Persons of a sample: it is for looking at."""

PREVIEWS_MAX: Final = 4
"""Previews under way: each takes a part of the processor."""

PREVIEW_BYTES_MAX: Final = 256 * 1024
"""Bytes of a definition to preview."""

PREVIEW_REMEMBERED_MAX: Final = 200_000
"""Persons of several profiles that a preview by an index remembers, at 100 bytes each, to count
nobody twice. Beyond it the preview starts anew, and looks at all profiles."""

PREVIEW_SHOWN_S: Final = 0.25
"""Seconds between two lines that tell how far a preview is."""

PREVIEW_PAGE_MAX: Final = 100
"""Profiles of one page of a preview."""

# --- projections ---------------------------------------------------------------------------------

PROJECTED_CHANGES_MAX: Final = 500
"""Changes of the feed in one transaction of a projection."""

PROJECTED_PROFILES_MAX: Final = 200
"""Profiles in one transaction while a projection is loaded."""

PROJECTED_IN_ONE_GO_MAX: Final = 25
"""Persons that are read in one go: at 0.1 ms each, requests wait no longer than 3 ms."""

PROJECTED_EVENTS_MAX: Final = 5_000
"""Events in one transaction: 2.5 MB of 500 bytes."""

PROJECTION_LOOK_S: Final = 1.0
"""Seconds between two looks whether a target still has what was written to it."""

PROJECTION_EVENTS_LOOK_S: Final = 0.25
"""Seconds between two looks into the event log when it had nothing new."""

PROJECTION_BACKOFF_MIN_S: Final = 0.1
"""Seconds before the first new attempt; each later one waits twice as long, with jitter."""

PROJECTION_BACKOFF_MAX_S: Final = 30.0
"""Seconds at most between two attempts to reach a target."""

PROJECTION_TIMEOUT_S: Final = 30.0
"""Seconds for one request to a target: a transaction of 500 persons takes some milliseconds."""

PROJECTION_CONNECT_TIMEOUT_S: Final = 5.0
"""Seconds for a connection to a target."""

TARGET_URL_CHARACTERS_MAX: Final = 4_096
"""Characters of a file that holds the address of a target."""

CLEARED_KEYS_MAX: Final = 1_000
"""Keys that are removed from Redis in one request while it is cleared."""
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

RECENT_EVENTS_MAX: Final = 4_000
"""Newest events that are kept as objects, for those who follow the log: what comes in 80 ms at
50,000/s. With more, they are no longer in the cache of the processor, and cost what they save."""

RECENT_BYTES_MAX: Final = 32 * 1024 * 1024
"""Bytes of these in the log: what bounds the memory, if events are large."""

READ_MAX: Final = 10_000
"""Events that one round of a follower reads: ten milliseconds of decoding."""

# --- collecting events ---------------------------------------------------------------------------

EVENT_BYTES_MAX: Final = 32 * 1024
"""Bytes of one event: the specification's limit."""

BATCH_BYTES_MAX: Final = 500 * 1024
"""Bytes of one request, and of what it is when unpacked: the specification's limit."""

BATCH_EVENTS_MAX: Final = 2_500
"""Events in one request: the specification's limit."""

MESSAGE_ID_CHARACTERS_MAX: Final = 100
"""Characters of a message id: the specification's limit."""

GROUP_ID_CHARACTERS_MAX: Final = 500
"""Characters of a group id: the specification's limit."""

NAME_CHARACTERS_MAX: Final = 1_000
"""Characters of the name of an event, a page or a screen."""

TRAITS_MAX: Final = 300
"""Traits in one identify: the specification's limit, beyond which others drop them silently."""

CONSENT_CATEGORIES_MAX: Final = 50
"""Categories of consent in one event: each is two fields of the profile."""

CONSENT_CATEGORY_BYTES_MAX: Final = 64
"""Bytes of the name of a category: with what stands before it, it is the name of a field."""

DEPTH_MAX: Final = 32
"""Levels of nesting within an event: no decoder on the way must run out of its stack."""

WAITING_EVENTS_MAX: Final = 50_000
"""Events that wait to become durable before more are refused for the moment: a second's work."""

WAITING_BYTES_MAX: Final = 64 * 1024 * 1024
"""Bytes of events that wait to become durable: what bounds the memory, if events are large."""

GROUP_EVENTS_MAX: Final = 10_000
"""Events that become durable together, with one wait for the disk: usually 5 MB."""

GROUP_BYTES_MAX: Final = 16 * 1024 * 1024
"""Bytes that become durable together, and one request more: far less than a file's spare room."""

PACKED_GROWTH_MAX: Final = 4
"""How many times the bytes of a request its events may have when they are kept: numbers grow a
little, and a context that is given once for the batch is kept with each event."""

BEHIND_EVENTS_MAX: Final = 5_000_000
"""Events that the profiles may be behind the log before more are refused for the moment."""

TRAITS_BEHIND_S_MAX: Final = 30.0
"""Seconds that traits may be behind the log before more events are refused for the moment: far more
than a busy second needs, and what the processor cannot do in that time will not be done later."""

ROOM_LOOK_S: Final = 0.1
"""Seconds between two looks at how far traits are behind."""

RETRY_AFTER_S: Final = 2
"""Seconds after which a client that was refused for the moment tries again."""

PROFILE_IDS_CACHED_MAX: Final = 200_000
"""Profile ids that are remembered by the ids of users: 40 MB, and 5 µs less for each event."""

# --- several processes --------------------------------------------------------------------------

PROCESSES_MAX: Final = 32
"""Processes of one service: each is linked to all others, and keeps all profiles."""

NEIGHBOUR_AGAIN_S: Final = 0.1
"""Seconds between two attempts to be linked to another process that is away."""

HANDED_OVER_MAX: Final = 500
"""Parts of requests that one other process has not answered yet: a second's work."""

STARTING_S: Final = 5.0
"""Seconds within which a process that ends by itself could not start: starting again is no help."""

RESTART_S: Final = 0.5
"""Seconds before a process that ended is started again."""

ENDING_S: Final = 30.0
"""Seconds that a process may take to end in order, before it is killed."""

# --- what events say of profiles -----------------------------------------------------------------

LEARNED_MAX: Final = 50
"""Profiles that are written in one go: at 0.1 ms each, requests wait no longer than 5 ms."""

CONSENTS_CACHED_MAX: Final = 100_000
"""Profiles whose consent is remembered, so that what is no news costs no reading."""

FOLLOW_S: Final = 0.1
"""Seconds between two looks at the log by who is not behind: each look may be a commit."""

LEARN_READ_MAX: Final = 500
"""Events that are looked at in one go: requests wait no longer than 1 ms."""

LEARNED_NOTE_S: Final = 1.0
"""Seconds after which it is written how far nothing was to be learned: what is read again after a
crash."""

TEND_S: Final = 5.0
"""Seconds between two rounds of retention and of indexing."""

FORGET_S: Final = 0.5
"""Seconds between two looks for profiles that were erased: their files are written anew once."""

CHANGES_MAX: Final = 1_000
"""Changes that are looked at without letting others have their turn."""

# --- asking the service --------------------------------------------------------------------------

EVENTS_SHOWN_MAX: Final = 1_000
"""Events in one answer: one megabyte."""

TAIL_S: Final = 0.5
"""Seconds between two questions of somebody who watches the events come."""

# --- traits --------------------------------------------------------------------------------------

DEFINITIONS_MAX: Final = 500
"""Definitions of traits: each is a field of every profile that it is folded for."""

AMOUNT_MAX: Final = 1e12
"""Greatest amount of one event: with six decimals, nine of them add up within 64 bits."""

QUANTILE_AMOUNT_MIN: Final = 1e-9
"""Amounts closer to zero than that are zeros to quantiles."""

TIE_CHARACTERS_MAX: Final = 60
"""Characters of a message id that decide which of two events of one millisecond was first."""

FOLD_SLICES: Final = 256
"""Slices of the profiles, by the checksum of their ids, each with a position of its own in the log:
a commit of some of them holds others up no longer than its part of the work. Positions are kept by
slice, so another number needs other notes."""

FOLD_INTERVAL_S: Final = 1.0
"""Seconds that a sweep through all slices takes at least: a partial that changes is replicated once
in each."""

FOLD_STEPS: Final = 16
"""Steps in which a sweep goes through the slices: it gathers before each, and commits little by
little, so that requests never wait for a whole second's traits."""

FOLD_EVENTS_MAX: Final = 100_000
"""Events that are gathered before the next commit, at most."""

GAINS_MAX: Final = 300_000
"""Gains that are held, of a profile and a trait each, about 100 MB: beyond them, no event is read
before some are committed."""

FOLD_READ_MAX: Final = 2_000
"""Events that are read in one go, in a thread: 5 ms."""

GATHERED_MAX: Final = 250
"""Events that are gathered in one go: requests wait no longer than 2 ms."""

FOLD_PROFILES_MAX: Final = 150
"""Profiles that one commit of the folding writes, as far as slices allow: about 8 ms."""

BACKFILL_EVENTS_MAX: Final = 20_000
"""Events of the past that are folded for new definitions after each round: new ones go first."""

TRAITS_FILE_BYTES_MAX: Final = 1024 * 1024
"""Bytes of the file of definitions."""
