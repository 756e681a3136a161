"""Every bound of crdtstore, in one place: each with its unit and the reason for its size.

Those of the demo alone are in ``crdtstore.demo.limits``.
"""

from typing import Final

KIBIBYTE: Final = 1024
MEBIBYTE: Final = 1024 * KIBIBYTE

# --- names -------------------------------------------------------------------------------------
PROFILE_ID_BYTES_MAX: Final = 255
"""UTF-8 bytes of a profile id: it is an LMDB key, and LMDB keys end at 511 bytes."""

FIELD_NAME_BYTES_MAX: Final = 128
"""UTF-8 bytes of a field name: it is repeated in every cell key."""

SOURCE_NAME_BYTES_MAX: Final = 64
"""UTF-8 bytes of a source name: it is repeated in every cell key."""

REPLICA_NAME_BYTES_MAX: Final = 64
"""UTF-8 bytes of a replica or space name: they travel in every HELLO."""

CURSOR_NAME_BYTES_MAX: Final = 128
"""UTF-8 bytes of the name of a durable cursor."""

CURSOR_VALUE_BYTES_MAX: Final = 16 * KIBIBYTE
"""Bytes of a durable cursor's value: a position in somebody else's feed, not a data store."""

CURSORS_MAX: Final = 1_000
"""Durable cursors of one replica: each lives in memory and is rewritten when it moves."""

NOTE_NAME_BYTES_MAX: Final = 400
"""UTF-8 bytes of the name of a note: it is an LMDB key, and LMDB keys end at 511 bytes."""

NOTE_BYTES_MAX: Final = 64 * KIBIBYTE
"""Bytes of a note: the state of one record elsewhere, rewritten whole when it changes."""

# --- values and documents ----------------------------------------------------------------------
VALUE_BYTES_MAX: Final = 64 * KIBIBYTE
"""Packed bytes of one value: a field is not a file."""

VALUE_DEPTH_MAX: Final = 32
"""Nesting of an opaque value: far below the 1,024 at which msgpack gives up."""

ELEMENT_BYTES_MAX: Final = 512
"""Packed bytes of one set element: it is part of a cell key."""

PARTIAL_BYTES_MAX: Final = 64 * KIBIBYTE
"""Packed bytes of one partial of a trait, as of any value: a window of many buckets reaches it."""

TRAIT_VALUES_MAX: Final = 200
"""Different values that a partial of a list, or of what is most frequent, tells apart: with texts
of the greatest length they just fit into a partial."""

TRAIT_VALUE_BYTES_MAX: Final = 256
"""UTF-8 bytes of one text in a partial: a name or a path, not a page."""

TRAIT_BUCKETS_MAX: Final = 400
"""Buckets of one window: a year of days, and some."""

TRAIT_SESSIONS_MAX: Final = 100
"""Sessions of one partial that may still be joined with others; older ones are settled."""

TRAIT_HASHES_LOG2_MAX: Final = 12
"""Base-2 logarithm of the hashes that a sketch of different values keeps: 32 KiB, 1.6 % error."""

TRAIT_QUANTILE_BUCKETS_MAX: Final = 1_024
"""Buckets on one side of zero: with 1 % accuracy, amounts from one cent to 7 million."""

TRAIT_DEFINITIONS_REMEMBERED: Final = 10_000
"""Definitions of traits remembered as valid: a cache that is emptied when full."""

TRAIT_RANKS_MAX: Final = 16
"""Ranks at which one trait of quantiles is read: its value names each."""

TRAIT_DECIMALS_MAX: Final = 9
"""Digits behind the point of a trait's amounts: 64 bits leave nine digits before it."""

INTEGER_MIN: Final = -(2**63)
INTEGER_MAX: Final = 2**63 - 1
"""Integers are signed 64-bit on every replica and in every client language."""

DOCUMENT_BYTES_MAX: Final = 1 * MEBIBYTE
"""Packed bytes that a document may reach by a local write: a checkpoint rewrites it whole."""

WITHDRAWAL_BYTES: Final = 64 * KIBIBYTE
"""Bytes beyond that for revoking consent and removing elements: a full document must not stop
anybody from withdrawing."""

FIELDS_PER_DOCUMENT_MAX: Final = 1_000
"""Fields of one document: a read resolves all of them."""

SOURCES_PER_DOCUMENT_MAX: Final = 64
"""Sources of one document: growth is fields x sources, so sources are systems, not users."""

ELEMENTS_PER_SET_MAX: Final = 10_000
"""Elements in one set: a read lists all of them."""

INDEXED_FIELDS_MAX: Final = 32
"""Fields that a schema has indexed: each adds a key for every profile to the data file."""

TRUST_MAX: Final = 100
"""Trust is a percentage, as master data systems write it."""

DECAY_DAYS_MAX: Final = 36_500
"""Days in which trust may decay: a century is for ever."""

EPOCH_MAX: Final = 2**53
"""The greatest epoch of a document, which is twice the Unix milliseconds of an erasure: a bound
that only a fault can reach."""

# --- persons -----------------------------------------------------------------------------------
IDENTIFIER_BYTES_MAX: Final = 320
"""UTF-8 bytes of an identifier: an e-mail address of 254, as RFC 5321 allows, and its type."""

MAILBOX_BYTES_MAX: Final = 64
"""Bytes before the @ of an e-mail address (RFC 5321, 4.5.3.1.1)."""

HOST_BYTES_MAX: Final = 253
"""Bytes of a host name in text (RFC 1035, 2.3.4)."""

NORMALISED_IDENTIFIERS_MAX: Final = 4_096
"""Identifiers whose normal form is remembered: services send the same ones again and again."""

PERSON_PROFILES_MAX: Final = 1_000
"""Profiles that the rules may allow one person to have: a read resolves all of them."""

PERSON_IDENTIFIERS_MAX: Final = 1_000
"""Identifiers that the rules may allow one person to have: Segment's number."""

IDENTIFIER_PROFILES_MAX: Final = 1_000
"""Profiles that hold an identifier beyond which it links nobody: no person has more profiles."""

COMPONENT_PROFILES_MAX: Final = 5_000
"""Profiles that hang together beyond which each is a person of its own: a read looks at all."""

LINK_ATTEMPTS_MAX: Final = 32
"""Persons that share an identifier and must stay apart: a further profile tries so many of them."""

DROPPED_LINKS_MAX: Final = 1_000
"""Dropped links in the report of one person, the first by identifier."""

LINKAGE_FIELDS_MAX: Final = 32
"""Fields that are compared to find persons by likeness: more say little about who somebody is."""

LINKAGE_PAIRS_MAX: Final = 50_000_000
"""Pairs that one block of linkage rules may give: about a minute of one core."""

LINKAGE_SAMPLE_PAIRS: Final = 1_000_000
"""Pairs sampled to learn how often fields agree by chance: the number that Splink begins with."""

SUGGESTIONS_MAX: Final = 1_000
"""Suggested pairs in one answer: more than a steward decides on in a day."""

# --- conflicts ---------------------------------------------------------------------------------
CONFLICTS_MAX: Final = 10_000
"""Entries of the conflict log of a replica, the newest ones: about 10 MB of memory, and what a
steward looks through in a week."""

CONFLICTS_BYTES_MAX: Final = 16 * MEBIBYTE
"""Packed bytes of all entries of the conflict log: each holds two values."""

PAGE_CONFLICTS_MAX: Final = 1_000
"""Conflicts in one page of a listing."""

PAGE_CONFLICTS_DEFAULT: Final = 100
"""Conflicts in one page of a listing when the caller names no number."""

CAUSES_MAX: Final = 100_000
"""What so many pairs of origins saw of each other is remembered, about 100 bytes each: all pairs of
300 origins. Beyond it a replica begins anew, and does not judge what was written before."""

RECENT_FRAMES: Final = 1_024
"""Of each origin the timestamps of so many frames are at hand, about 40 bytes each; those of
earlier ones are read from the journal."""

# --- writes, frames, messages ------------------------------------------------------------------
FRAME_BYTES_MAX: Final = 256 * KIBIBYTE
"""Bytes of a frame: what a link buffers, what a relay holds, what one hash covers."""

WRITE_BYTES_MAX: Final = 240 * KIBIBYTE
"""Packed bytes of one write: it must fit into one frame with its header."""

WRITES_PER_FRAME_MAX: Final = 4_096
"""Writes in a frame: bounds the time to apply one (about 10 ms)."""

MESSAGE_BYTES_MAX: Final = 1 * MEBIBYTE
"""Bytes of one websocket message: four whole frames, or a HELLO with 5,000 origins."""

MESSAGE_FRAMES_BYTES: Final = 512 * KIBIBYTE
"""Frames are gathered into one message up to about this size."""

ORIGINS_MAX: Final = 5_000
"""Origins in a version vector: those that write, or wrote what a journal still holds."""

RESTING_MAX: Final = 50_000
"""Origins at rest: 30 bytes each on a disk, and twice that when two replicas tell each other of
them. 50 replicas that restart every day as new incarnations need three years for it."""

RESTING_CHUNK: Final = 2_000
"""Origins at rest in one message: at most 240 KB."""

RESTING_LOOK_MS: Final = 5_000
"""A replica looks this often which origins came to rest: it goes through all names."""

REMOVED_REPLICAS_MAX: Final = 1_000
"""Names of replicas that were removed for good: they travel in every HELLO. A message may carry
twice as many, for two sides of a partition may both fill it."""

JOURNAL_READS_PER_FILL: Final = 16
"""Parts of the journal (of MESSAGE_FRAMES_BYTES each) read for one link before others have a turn:
about 8 MiB, a few milliseconds."""

CREDIT_BYTES: Final = 4 * MEBIBYTE
"""Bytes that a peer may send ahead of our durable commits: bounds memory per link."""

INBOX_BYTES_MAX: Final = 8 * MEBIBYTE
"""Bytes of frames that wait for an earlier one; beyond it they are dropped and asked for again."""

HELD_FRAME_BYTES: Final = 512
"""Memory that a frame takes while it waits, besides its bytes: small ones must not add up."""

OUTGOING_BYTES_MAX: Final = 16 * MEBIBYTE
"""Bytes that may wait to be sent on one link: twice what answers to eight comparisons take."""

CHUNK_DOCUMENTS_MAX: Final = 2_000
"""Documents in one snapshot chunk: with the credit that a chunk costs, what may be under way fits
into one commit."""

RANGE_PARTS: Final = 16
"""Parts into which a range that differs is split: four bits of a place, 35 bytes a part."""

RANGE_IDS_MAX: Final = 32
"""Documents of a range that are named, not split: bytes as in two rounds of parts, a round less."""

RANGE_BLOCKS_MAX: Final = 1_024
"""Blocks that a scan remembers, to split its range evenly afterwards: 100 KB, whatever its size."""

COMPARE_RANGES_MAX: Final = 64
"""Ranges in one COMPARE: its answer, with the longest ids in all of them, fits into a message."""

COMPARE_WINDOW: Final = 8
"""COMPAREs of one link that wait for their answers: more would only wait at the other end."""

COMPARED_RANGES_MAX: Final = 4_000_000
"""Ranges that one repair compares: enough for 60 million documents that all differ; a peer that
makes it more never ends."""

COMPARE_ROUNDS_MAX: Final = 32
"""Rounds of one repair: 16 ** 32 documents; a peer that makes it more never ends."""

SCAN_RECORDS: Final = 1_000
"""Documents that one step of a comparison reads and checks: about 4 ms of the event loop."""

DIGEST_DOCUMENTS: Final = 1_000
"""Dirty documents whose digests are computed at a time: about 5 ms of the event loop."""

SCAN_BYTES: Final = 4 * MEBIBYTE
"""Bytes of documents that one step of a comparison reads: about 6 ms to check them."""

HEAL_DOCUMENTS: Final = 500
"""Documents that a repair exchanges at a time: one commit at each end, as in a checkpoint."""

HEAL_QUEUE_MAX: Final = 10_000
"""Differing ids that wait to be healed: a repair compares no further until some are."""

FETCHES_MAX: Final = 4
"""FETCHes of one link that wait for their answers: a repair has one under way."""

QUARANTINE_MAX: Final = 64
"""Refused frames kept for inspection, the newest; each is at most one frame."""

# --- time --------------------------------------------------------------------------------------
TIMESTAMP_MAX: Final = 2**63 - 1
"""A timestamp is 48 bits of milliseconds and 16 bits of counter; the sign bit stays free."""

CLOCK_SKEW_MS_DEFAULT: Final = 60_000
"""How far ahead a peer's clock may be: NTP keeps hosts within a second, virtual machines pause."""

GOSSIP_INTERVAL_MS: Final = 1_000
"""Vectors are exchanged about this often when nothing else says the same."""

WANT_PATIENCE_MS: Final = 2_000
"""A missing frame is asked of another neighbour when none came for this long."""

SNAPSHOT_SLICE_DOCUMENTS: Final = 500
"""Dirty documents that are brought to rest at a time for a snapshot, by a commit each, in whose
rhythm they are sent: with fewer, a busy replica dirties more meanwhile than come to rest."""

SNAPSHOT_READ_BYTES: Final = 96 * KIBIBYTE
"""Bytes of documents that are read at a time for a snapshot: a millisecond and a half."""

SNAPSHOT_PATIENCE_MS: Final = 30_000
"""A peer that was asked for a snapshot and sends none of it for this long is left for another."""

REPAIR_PATIENCE_MS: Final = 120_000
"""A peer that leaves a question of a repair unanswered for this long is left: a scan of 10 million
documents takes it half a minute."""

LINK_IDLE_MS_MAX: Final = 15_000
"""A peer that says nothing for this long is gone: gossip comes every second."""

SEND_TIMEOUT_S: Final = 10.0
"""A blocked send is cut after this: a heartbeat does not wake a blocked sender."""

CLOSE_TIMEOUT_S: Final = 2.0
"""A websocket that does not close within this is aborted."""

RECONNECT_MIN_S: Final = 0.2
RECONNECT_MAX_S: Final = 15.0
"""Backoff between attempts to reach a peer, doubling, with full jitter."""

COMMIT_INTERVAL_MS_MAX: Final = 10_000
"""Longest wait between two commits: writers wait for it."""

QUICK_COMMIT_S: Final = 0.0005
"""A small commit that took no longer was quick: less than a read over HTTP takes anyway."""

QUICK_COMMITS_MIN: Final = 100
"""So many quick commits in a row, and the event loop makes the next one itself: a disk that stalls
every now and then stalls it once in so many."""

LOOP_COMMIT_BYTES_MAX: Final = 4 * KIBIBYTE
"""Bytes of a commit that the event loop makes itself: a write or a few, one page or two."""

FULL_RETRY_MS: Final = 1_000
"""A full disk is tried again by an ordinary write after this; erasures try at once."""

SNAPSHOT_FRAMES_BYTES_MIN: Final = 8 * MEBIBYTE
"""A peer that lacks fewer bytes of frames is sent those, even where all documents are shorter: they
take it a second at most, and bring the change feed's history along."""

SNAPSHOT_FRESH_PROFILES_MIN: Final = 1_000
"""A fresh replica takes a snapshot from a peer with this many profiles, frames from a smaller one:
below, both take well under a second, and frames bring the change feed's history along."""

LINK_SOUND_S: Final = 2.0
"""A link that lasted this long was sound: the next attempt starts with the shortest backoff."""

LINKS_MAX: Final = 64
"""Links of one replica, in and out together."""

# --- storage -----------------------------------------------------------------------------------
MAP_BYTES_INITIAL: Final = 64 * MEBIBYTE
"""First size of the LMDB map; it doubles when full, up to the configured maximum."""

MAP_BYTES_MAX_DEFAULT: Final = 256 * 1024 * MEBIBYTE
"""Where the map stops growing unless configured otherwise: address space, not disk."""

BALLAST_BYTES: Final = 4 * MEBIBYTE
"""A file given up on a full disk, so that an erasure is still possible; of so many bytes beside
64 MiB of data."""

BALLAST_BYTES_MIN: Final = 512 * KIBIBYTE
"""The ballast beside few data: an erasure writes some 30 pages anew, 64 more with a whole frame."""

BALLAST_DATA_DIVISOR: Final = 16
"""Between these two the ballast is this part of the data: trees are deeper, and trims longer."""

BALLAST_DIVISOR: Final = 4
"""The ballast is at most this part of the room, so that a small disk is of use."""

BALLAST_STEP_BYTES: Final = 64 * KIBIBYTE
"""Less than that of a ballast is not worth taking back."""

ERASURE_ATTEMPTS_MAX: Final = 4
"""Commits that may undo an erasure, because those they were begun for found no room."""

SHORT_DISK_BYTES: Final = 64 * MEBIBYTE
"""With less than that free, a commit that erases brings no other documents to rest."""

MAP_RESERVE_BYTES: Final = 8 * MEBIBYTE
"""Map that ordinary commits leave free: pages of two checkpoint slices wait to be used again."""

MAP_RESERVE_DIVISOR: Final = 8
"""The reserve is at most this part of the map, so that a small map is of use."""

COMMIT_LOG_BYTES: Final = MEBIBYTE
"""Length of the commit log: two halves of a thousand small commits each, brought to LMDB in some
milliseconds; what is committed meanwhile, at a megabyte a second, has to find room in the other."""

LOGGED_BATCH_BYTES_MAX: Final = 64 * KIBIBYTE
"""A larger commit goes to LMDB at once: writing it twice would cost more than the second sync."""

WITNESS_RECORDS_MAX: Final = 4_096
"""Records of data files in the machine's memory, a page each: 16 MiB; the oldest half goes then."""

READERS_MAX: Final = 126
"""Reader slots of LMDB: one per read in flight; every read is short."""

DOCUMENT_KEY_BYTES_MAX: Final = 511
"""Bytes of a key in storage: LMDB takes no longer ones."""

MAPPED_BYTES_MAX: Final = 48 * MEBIBYTE
"""Pages of the data file in memory beyond which all are let go, to be mapped again as they are
read: LMDB would keep all that were ever read, and a snapshot reads all."""

PAGES_PER_LOOK: Final = 256
"""Pages that are read or written between two looks at how many are mapped: Linux maps 64 KiB and
more for each, so that some 20 MiB come in between."""

FILE_EXTENSION_BYTES: Final = 16 * MEBIBYTE
"""The LMDB file is made longer by this, as a hole: one extra fsync per this much growth."""

HOLLOWED_PAGES_MIN: Final = 64
"""Free pages that are worth two syncs when a data file is closed: 256 KiB."""

HOLLOWED_PAGES_MAX: Final = 16_384
"""Free pages of which holes are made when a data file is closed: 64 MiB, in a tenth of a second."""

FULL_DISK_BYTES: Final = 1 * MEBIBYTE
"""Free bytes below which an EIO of a write means a full disk: LMDB reports short writes so."""

DEFLATED_RECORD_BYTES_MIN: Final = 512
"""Shorter journal records are kept as they are: there is little in them that repeats."""

WELL_DEFLATED_RECORD_BYTES_MIN: Final = 4 * KIBIBYTE
"""Longer journal records, of dozens of edits, are deflated at a higher level: a fourteenth less
for four tenths of a microsecond an edit, in the commit's thread."""

DEFLATED_DOCUMENT_BYTES_MIN: Final = 100
"""Bytes of a record of a document below which it rests as it is: an erased one has fewer, so that
what cannot be inflated was of a living profile."""

DEFLATED_DOCUMENT_BYTES_MAX: Final = 256 * KIBIBYTE
"""Longer documents rest as they are: to deflate one would hold other work up for milliseconds. What
is inflated ends there too, whatever a damaged record says."""

DICTIONARIES_MAX: Final = 14
"""Dictionaries of one data directory, for good: half a byte names one. A new one comes when fields,
sources or origins have become others."""

DICTIONARY_BYTES_MAX: Final = 3 * KIBIBYTE
"""Bytes of a dictionary: it shares a window of 4 KiB with the document."""

STRUCTURE_DOCUMENTS: Final = 256
"""Documents that are looked at for what they share, at the start of a checkpoint: a millisecond or
two."""

STRUCTURE_DOCUMENTS_MIN: Final = 32
"""Fewer documents do not tell what others will be like."""

STRUCTURE_CELLS: Final = 8_192
"""Cells that are looked at of all of them: six milliseconds, where documents are large."""

STRUCTURE_SHARED_DOCUMENTS: Final = 8
"""Documents of those that must have a name before it is kept for good: it is nobody's own then."""

COMPACTED_PAGES_MIN: Final = 64
"""Pages below which a table is left as it is when its file is closed: there is little to gain."""

COMPACTED_PAGES_MAX: Final = 4_096
"""Pages of a table that is written anew when its file is closed: 16 MiB, in a tenth of a second."""

COMPACTED_BYTES_MAX: Final = 16 * MEBIBYTE
"""Bytes of documents that are packed when their file is closed: a third of a second."""

COMPACTED_FULL_PERCENT: Final = 85
"""A table whose pages are fuller than that on average is left as it is."""

TRIM_RECORDS_MAX: Final = 2_000
"""Journal records that one commit drops: bounds the time that writers wait for it."""

BATCH_DOCUMENTS_MAX: Final = 50_000
"""Documents in one batch: each may touch pages of its own, and LMDB holds 131,071 of them."""

BATCH_INDEX_KEYS: Final = 20_000
"""Index keys of a batch beyond which it takes no further documents: each may touch a page."""

INDEX_PAGE_KEYS: Final = 64
"""Index keys read at a time: few profiles share an identifier."""

CACHE_BYTES_DEFAULT: Final = 256 * MEBIBYTE
"""Estimated memory of documents held unpacked."""

CACHED_BYTES_PER_DOCUMENT: Final = 500
"""Measured: what a document takes unpacked beside its cells, with its place in the cache."""

CACHED_BYTES_PER_CELL: Final = 195
"""Measured: what a cell takes unpacked beyond its packed bytes: a tuple, a timestamp, an origin and
a place; 3.4 KB in all for a document of twelve fields, which is 560 bytes packed."""

CHECKPOINT_JOURNAL_BYTES: Final = 32 * MEBIBYTE
"""A checkpoint starts when the journal has grown by this: it bounds the time of a recovery."""

CHECKPOINT_DOCUMENTS: Final = 50_000
"""A checkpoint starts when this many documents are dirty: it bounds memory."""

CHECKPOINT_INTERVAL_MS: Final = 30_000
"""A checkpoint starts when the oldest dirty document has waited this long."""

CHECKPOINT_SLICE_DOCUMENTS: Final = 100
"""Documents that one settlement brings to rest at the least: about 2 ms."""

PACKED_AHEAD_AT_ONCE: Final = 80
"""Documents that are packed for the next commit in one go: 2 ms. Writers wait for that commit, so
that less at once would make them wait for more turns of others."""

PACKED_AHEAD_MAX: Final = 320
"""Documents of a checkpoint that are packed for the next commit: as many as it takes."""

SORTED_IDS: Final = 2_000
"""Ids that are sorted in one go: half a millisecond."""

CHECKPOINT_MS: Final = 2_000
"""A checkpoint takes about so long: a settlement has the share of the time since the last began."""

CHECKPOINT_PACE_MS_MAX: Final = 10
"""More time between two settlements is not made up for: so that a checkpoint delays nobody, one
has at most a two-hundredth of what is dirty, 250 documents or 4 ms."""

SCRUB_RETRY_MS: Final = 60_000
"""How long a replica waits before it tries again to overwrite what was erased, if the disk failed
it: an operator may have acted by then."""

SCRUB_STEP_PAGES: Final = 4_096
"""Pages of the data file that are scrubbed between two commits: at most about 30 ms."""

HURRIED_SLICE_DOCUMENTS: Final = 2_000
"""Documents that one commit carries to rest at the least when a quarter more are dirty than start a
checkpoint: about 30 ms of work. It carries all beyond that quarter, as far as it may."""

HURRIED_SLICE_DOCUMENTS_MAX: Final = 3_000
"""Documents that it carries at the most, and any commit of a whole checkpoint: LMDB keeps a page of
memory for each for good, 12 MiB, and their records are in memory meanwhile."""

DIRTY_DOCUMENTS_MAX: Final = 67_000
"""With more dirty documents than that, a link that has brought some is not read until some rest, or
a long backlog of a peer would fill the memory: 230 MiB where each has twelve fields."""

DIRTY_DOCUMENTS_BEFORE_WRITES: Final = 80_000
"""With more than that, writers are answered later than their writes are durable: a link alone does
not come so far, so nobody waits for a peer's backlog."""

REST_PATIENCE_S: Final = 1.0
"""A link is not read for so long at the most, as local writers alone may keep so much dirty: it has
a message a second then, of 4,096 documents, which are fewer than come to rest."""

REST_LOOK_S: Final = 0.005
"""It is looked this often whether documents have come to rest: a commit of many takes longer."""

WAYPOINT_RECORDS: Final = 256
"""Journal records between two waypoints: how much a tail scan reads in vain at the most."""

JOURNAL_RETENTION_MS_DEFAULT: Final = 7 * 24 * 3600 * 1000
"""How long the journal keeps what a peer or a reader of the change feed may still ask for."""

ACKNOWLEDGED_RETENTION_MS_DEFAULT: Final = 3600 * 1000
"""How long the journal keeps what every known replica has made durable: for a replica that is new,
or that links with others than before."""

ERASURE_GRACE_MS_DEFAULT: Final = 24 * 60 * 60_000
"""How long the journal before an erasure may stay for replicas that are away and for readers of the
change feed: a day, so that a night without a link costs no snapshot, and far below the month within
which people are to be answered (GDPR, article 12)."""

FEED_NOTE_MS: Final = 3600 * 1000
"""That somebody reads the change feed is written down this often: one small record an hour."""

KNOWN_REPLICAS_MAX: Final = 256
"""Replicas of which it is remembered what they have: four times the links that one may have; the
one not heard for longest is forgotten first."""

KNOWN_REPLICA_NOTE_MS: Final = 60_000
"""What a replica has is written down this often, with other commits: a crash forgets a minute."""

JOURNAL_BYTES_MAX_DEFAULT: Final = 4 * 1024 * MEBIBYTE
"""Bytes of journal beyond which the oldest part is dropped early."""

JOURNAL_CACHE_BYTES: Final = 16 * MEBIBYTE
"""Newest journal records kept in memory, so that live links do not read them back."""

PARSED_KEYS_MAX: Final = 100_000
"""Cell keys remembered as valid: a cache that is emptied when full."""

COPY_CHUNK_BYTES: Final = 1 * MEBIBYTE
"""Bytes of a backup that are moved at a time: as much as an unprivileged pipe holds."""

BACKUP_RESERVE_BYTES: Final = 8 * MEBIBYTE
"""A backup leaves so much of its disk free, so that the replica there can go on writing."""

BACKUP_SYNC_BYTES: Final = 16 * MEBIBYTE
"""A backup is brought to the disk in such steps, so that commits wait for few of its pages."""

BACKUP_MANIFEST_BYTES_MAX: Final = 32 * MEBIBYTE
"""Bytes of a backup's manifest: 55,000 origins with escaped names of 64 bytes take 28 MB."""

BACKUP_ATTEMPTS_MAX: Final = 5
"""How often a backup is begun anew when the map grew: each growth doubles the way to the next."""

BACKUP_TIMEOUT_S: Final = 3_600.0
"""The command line waits so long for a backup to begin: the server copies its data first."""

# --- surfaces ----------------------------------------------------------------------------------
WRITES_PER_BATCH_MAX: Final = 10_000
"""Writes in one POST /v1/writes or write_many."""

BODY_BYTES_MAX: Final = 8 * MEBIBYTE
"""Bytes of one HTTP request body."""

PAGE_PROFILES_MAX: Final = 1_000
"""Profiles in one page of a listing."""

DAMAGED_PROFILES_MAX: Final = 1_000
"""Damaged profiles that a verification names; more of them say nothing new."""

DIFFERING_PROFILES_MAX: Final = 1_000
"""Differing profiles that the report of a repair names; the number counts all."""

PAGE_CHANGES_MAX: Final = 10_000
"""Changes in one page of the change feed."""

FEED_PERSON_PROFILES: Final = 2_000
"""Profiles that are looked at for the persons in one page of the change feed: some 50 ms of work.
A page has one change at the least."""

PAGE_PROFILES_DEFAULT: Final = 100
"""Profiles in one page of a listing when the caller names no number."""

PAGE_CHANGES_DEFAULT: Final = 1_000
"""Changes in one page of the change feed when the caller names no number."""

PAGE_BYTES_MAX: Final = 8 * MEBIBYTE
"""Encoded bytes after which a page ends early: 1,000 profiles of 1 MiB would be a gigabyte."""

PAGE_SLICE_PROFILES: Final = 50
"""Profiles read at a time for a page: at most 50 MiB are read in vain beyond its byte limit."""

CONTAINERS_PER_BODY_MAX: Final = 500_000
"""Lists and maps in one body: 8 MiB of empty msgpack arrays would take 600 MB of memory."""

BODIES_BYTES_MAX: Final = 64 * MEBIBYTE
"""Bytes of request bodies being read or worked on at one time, over all connections."""

SMALL_BODY_BYTES: Final = 64 * KIBIBYTE
"""A body up to this is small: a write as a person or a form makes it."""

BODIES_SMALL_BYTES: Final = 16 * MEBIBYTE
"""The part of BODIES_BYTES_MAX that only small bodies may use: large ones may never end."""

BODY_TIMEOUT_S: Final = 30.0
"""A request body that has not arrived within this is given up: 8 MiB at 270 KiB/s."""

REQUEST_TIMEOUT_S: Final = 60.0
"""A write that is not durable within this is answered with an error that says so."""

CURSOR_TEXT_BYTES_MAX: Final = 256
"""UTF-8 bytes of a change-feed cursor in a request: a cursor of ours has fewer than 100."""

FOLLOWERS_MAX: Final = 1_000
"""Requests that follow the change feed at one time: each holds a socket and a task."""

FOLLOW_CHUNK_BYTES: Final = 64 * KIBIBYTE
"""Changes are gathered into one write to a follower's socket up to about this size."""

IDLE_CONNECTION_S: Final = 75.0
"""A connection that sends no whole request head so long is closed; proxies wait for 60 s."""

OPEN_FILES_MAX: Final = 65_536
"""Open files that a server asks for: the usual 1,024 are fewer than FOLLOWERS_MAX and LINKS_MAX."""

KEEP_ALIVE_S: Final = 15.0
"""A quiet follower hears something this often: proxies cut connections silent for 30 to 60 s."""

DRAIN_TIMEOUT_S: Final = 10.0
"""On shutdown, requests under way may take this long to finish."""

SECRET_BYTES_MIN: Final = 16
"""A token or link secret is at least this long: shorter ones can be guessed over a network."""

SECRET_BYTES_MAX: Final = 4 * KIBIBYTE
"""A token or link secret is at most this long: an HTTP header line ends at 8 KiB."""

CLIENT_TIMEOUT_S: Final = 70.0
"""The command line waits this long for an answer: longer than the server's own limit."""

REPAIR_TIMEOUT_S: Final = 3_600.0
"""The command line waits this long for a repair: it may have to exchange a whole store."""

SWITCH_INTERVAL_S: Final = 0.0001
"""How long the event loop of a server keeps Python's lock from the commit's thread, which needs it
again and again: with Python's 5 ms, a write under full load took several times as long."""

SHORT_WORK_S: Final = 0.0001
"""While there are reads over HTTP, long work stays away from the event loop for some turns when so
much of it was done. Shorter pieces, as the single write of a client, share a turn."""

ASKED_S: Final = 0.25
"""A server of which something was read over HTTP within this does long work so, and in shorter
turns."""

COLLECT_YOUNG_S: Final = 0.01
"""A server looks for garbage among the objects made since the last look this often: at full speed
some thousands, in half a millisecond."""

COLLECT_MIDDLE_S: Final = 0.04
"""It looks through those that outlived such looks this often."""

COLLECT_ALL_S: Final = 300.0
"""It looks through all objects this often: with a full cache this takes some 50 ms. Until then the
rests of connections that lasted more than a moment wait."""

LOOP_DELAY_SAMPLE_S: Final = 0.05
"""How often the delay of the event loop is sampled: a pause that is longer is never missed."""

LOOP_DELAY_SAMPLES_MAX: Final = 1_200
"""Newest samples of the event loop's delay that the status tells of: a minute of them."""

OTHER_PROCESS_TIMEOUT_S: Final = 60.0
"""Seconds that ``check_policy`` waits for another process: it imports a module and answers."""

# --- collaborative fields ----------------------------------------------------------------------
TEXT_BYTES_MAX: Final = 1 * MEBIBYTE
"""Bytes of a collaborative field as a Yjs update, tombstones too: its edits take milliseconds."""

TEXT_CLIENTS_MAX: Final = 10_000
"""Yjs clients that ever wrote to one collaborative field: a state vector of it has about 60 KB."""

UPDATE_BYTES_MAX: Final = 2 * MEBIBYTE
"""Bytes of one Yjs update from elsewhere: a field that two replicas filled at once, whole."""

UPDATE_CLIENTS_MAX: Final = TEXT_CLIENTS_MAX
"""Clients of which one Yjs update brings blocks: a whole field has as many as ever wrote to it."""

UPDATE_BLOCKS_MAX: Final = 200_000
"""Blocks of one client in one Yjs update: a mebibyte in pieces of five bytes."""

UPDATE_CLOCK_MAX: Final = 2**31 - 1
"""Elements that one Yjs client ever writes to a field: clocks have 32 bits in native code."""

COLLABORATIVE_DEPTH_MAX: Final = 8
"""Levels of lists and maps in a list item, an embed or an attribute: native code recurses."""

ATTRIBUTE_NAME_BYTES_MAX: Final = 64
"""UTF-8 bytes of the name of a formatting attribute."""

ATTRIBUTE_BYTES_MAX: Final = 2 * KIBIBYTE
"""UTF-8 bytes of a text in the value of a formatting attribute: a link's address."""

EMBED_BYTES_MAX: Final = 64 * KIBIBYTE
"""UTF-8 bytes of a text in an embed: a small picture as a data address."""

LIST_ITEM_BYTES_MAX: Final = 64 * KIBIBYTE
"""Bytes of one item of a collaborative list, as Yjs has it: an item travels in one piece."""

TEXT_OPERATIONS_MAX: Final = 10_000
"""Operations in one edit of a collaborative field."""

TEXT_HISTORY_MAX: Final = 200
"""Newest edits that a collaborative field tells of: who, when, how much. About 60 bytes each."""

TRIAL_TIMEOUT_S: Final = 5.0
"""An update that native code is not done with by then is taken for one that never ends."""

TRIAL_START_TIMEOUT_S: Final = 60.0
"""A worker that is not ready by then will not be: an interpreter and two imports, under load."""

TRIALS_WAITING_MAX: Final = 256
"""Updates of Yjs clients that wait to be tried: at a millisecond each."""

TRIAL_MEMORY_BYTES: Final = 1_024 * MEBIBYTE
"""Address space of the worker that tries updates: Python, and TRIAL_TEXTS_MAX decoded texts."""

TRIAL_TEXTS_MAX: Final = 32
"""Texts that the worker keeps decoded: those that are being edited just now."""

TRIAL_PAUSE_S_MIN: Final = 0.1
TRIAL_PAUSE_S_MAX: Final = 10.0
"""Pause before a worker that died is started again: it doubles while no trial succeeds."""

TEXT_WATCH_BYTES_MAX: Final = 1 * MEBIBYTE
"""Updates that wait for one who follows a text: beyond, it asks for what it lacks."""

DECODED_TEXTS_BYTES: Final = 64 * MEBIBYTE
"""Estimated memory of the collaborative fields that are held decoded."""

# --- presence ----------------------------------------------------------------------------------
PRESENCE_STATE_BYTES_MAX: Final = 4 * KIBIBYTE
"""UTF-8 bytes of one Yjs client's awareness state: a name, a colour, a cursor."""

PRESENCE_CLIENTS_PER_FIELD_MAX: Final = 256
"""Clients whose presence at one field is remembered: more are no company but a crowd."""

PRESENCE_CLIENTS_MAX: Final = 10_000
"""Clients whose presence a replica remembers, over all fields: 40 MiB with the longest states."""

PRESENCE_CLIENTS_PER_MESSAGE: Final = 32
"""Clients in one message of presence between replicas: 128 KiB with the longest states."""

PRESENCE_QUEUE_BYTES: Final = 256 * KIBIBYTE
"""Presence is left out on a link on which more than this waits to be sent: it is renewed anyway."""

PRESENCE_SILENT_MS_MAX: Final = 45_000
"""A client that did not renew its presence for so long is gone: they do it every 15 s."""

PRESENCE_LOOK_MS: Final = 1_000
"""How often it is looked for clients that are gone."""

# --- editors of texts --------------------------------------------------------------------------

ATTRIBUTES_MAX: Final = 32
"""Attributes of one operation: the toolbar of Quill has sixteen."""

REVISIONS_MAX: Final = 1_000
"""Changes of one text that are kept, so that an edit of an earlier revision can be brought up to
date: somebody who types sends some in a second, and may be away for minutes."""

REVISIONS_BYTES_MAX: Final = 1 * MEBIBYTE
"""Estimated memory of these changes of one text."""

EDIT_ID_BYTES_MAX: Final = 64
"""UTF-8 bytes of the id that a client gives to an edit: a UUID, or a number and a name."""

NAMED_EDITS_MAX: Final = 2_000
"""Edits of which a replica remembers the ids, over restarts too: a client sends one again within
seconds, and two hundred that each send ten in a second are remembered for one."""

NAMED_ANSWERS_MAX: Final = 500
"""Answers to such edits that are given again as they were."""

NAMED_ANSWER_BYTES_MAX: Final = 4 * KIBIBYTE
"""Estimated memory of such an answer: of a longer one the client fetches the text instead."""

FOLLOWED_TEXTS_BYTES: Final = 64 * MEBIBYTE
"""Estimated memory of the texts that clients without a CRDT edit; the one that was not touched for
the longest is left first, and its clients fetch the whole text again."""

FOLLOWED_BYTES_PER_UNIT: Final = 12
"""Estimated memory for each unit of such a text: a decoded copy, and the text."""

COLLABORATORS_MAX: Final = 1_000
"""Yjs clients of one replica at one time: each holds a socket and some tasks."""

COLLABORATOR_MESSAGE_BYTES_MAX: Final = UPDATE_BYTES_MAX + KIBIBYTE
"""Bytes of one message of a Yjs client: a whole text, as it comes back from a long time offline."""

COLLABORATOR_QUEUE_BYTES: Final = 8 * MEBIBYTE
"""Bytes that may wait to be sent to a Yjs client: several whole texts; then it is closed, and gets
what it lacks when it comes back."""

COLLABORATOR_HEARTBEAT_S: Final = 15.0
"""A Yjs client is pinged this often, and gone if it does not answer within half of it."""

SMALL_UPDATE_BYTES: Final = 16 * KIBIBYTE
"""A larger update of a Yjs client is read in a thread: two mebibytes of single letters take two
seconds, in which nobody else shall have to wait."""

ANNOUNCED_MAX: Final = 4
"""Yjs client ids that one connection may announce: stock clients have one."""

ASK_AGAIN_MIN_S: Final = 0.5
ASK_AGAIN_MAX_S: Final = 15.0
"""A Yjs client whose update cannot be taken yet is asked for it again after this, doubling."""

PRESENCE_PAUSE_S: Final = 0.03
"""Presence is told to Yjs clients no more often than this: whoever moves a cursor at a thousand
times a second moves it thirty times for the others."""

COEDITING_LOOK_S: Final = 0.1
"""How often presence from peers is told to Yjs clients: nobody sees a cursor move any sooner."""
