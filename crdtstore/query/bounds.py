"""Every bound of queries and exports, in one place: each with its unit and the reason."""

from typing import Final

# --- the language --------------------------------------------------------------------------------
FILTER_BYTES_MAX: Final = 4_096
"""UTF-8 bytes of a filter: half of the head of a request that a server reads."""

FILTER_DEPTH_MAX: Final = 16
"""Parentheses inside one another: nobody reads more, and each is a call on the stack."""

FILTER_TERMS_MAX: Final = 100
"""Comparisons of one filter: each is looked at for every profile."""

NUMBER_DIGITS_MAX: Final = 40
"""Characters of a number in a filter: the longest that a field may hold has 25."""

QUERY_CURSOR_BYTES_MAX: Final = 1_024
"""Bytes of the cursor of an ordered page: a key of 511 bytes in base64, and its check."""

# --- the index -----------------------------------------------------------------------------------
PLACE_TEXT_BYTES_MAX: Final = 236
"""Bytes of a text in an index: LMDB keys end at 511, of which 255 may be the profile id."""

# --- how much is read ----------------------------------------------------------------------------
SLICE_KEYS: Final = 1_000
"""Index keys read in one turn of the event loop: about 1 ms."""

SLICE_PROFILES: Final = 200
"""Profiles looked at in one turn of the event loop: about 3 ms."""

SLICE_FRESH: Final = 100
"""Documents in memory whose index keys are made in one turn of the event loop: about 4 ms."""

SORTED_IDS: Final = 4_000
"""Ids of documents in memory that are sorted in one turn of the event loop: about 2 ms."""

SLICE_BYTES: Final = 131_072
"""Bytes of documents looked at in one turn of the event loop: about 5 ms."""

COLLECTED_KEYS_MAX: Final = 20_000
"""Index keys of one condition that a page gathers before it goes another way: about 20 ms."""

ORDERED_KEYS_MAX: Final = 1_000
"""The same for an order that has an index: to go through that one costs less than to sort more."""

PAGE_LOOKS_MAX: Final = 10_000
"""Profiles that one page looks at before it ends early, with where to go on: about 0.2 s."""

SORTED_PROFILES_MAX: Final = 200_000
"""Profiles that are sorted for an order without an index: 3 s for each page, and no more."""

COUNTED_PROFILES_MAX: Final = 2_000_000
"""Profiles that a count without an index looks at: half a minute."""

COUNTED_KEYS_MAX: Final = 1_000_000
"""Ids that a count over several conditions holds in memory: about 150 MB."""

# --- exports -------------------------------------------------------------------------------------
EXPORT_COLUMNS_MAX: Final = 2_000
"""Columns of an export: each is a buffer, and readers of Parquet slow down with more."""

EXPORT_FRESH_MAX: Final = 1_000
"""Documents in memory that are copied when an export begins, in one turn of the event loop: about
3 ms. As long as there are more they are brought to rest first."""

EXPORT_REST_COMMITS: Final = 200
"""Commits that an export waits for to have fewer: under more writes than rest, it goes ahead."""

ROW_GROUP_PROFILES: Final = 20_000
"""Profiles of a row group: what readers of Parquet take at a time, and what is held in memory."""

ROW_GROUP_BYTES: Final = 16_777_216
"""Bytes of documents after which a row group ends early: profiles may have a mebibyte each."""
