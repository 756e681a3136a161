"""Journal records as LMDB keeps them: they come back as they went in, or are found damaged."""

import os
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtstore import limits
from crdtstore.errors import StorageCorrupt
from crdtstore.storage.journal_packing import packed_record, unpacked_head, unpacked_record

MAGIC = zlib.compress(b"", 1)[:2]

RECORDS = st.one_of(
    st.binary(max_size=40),
    st.binary(max_size=20).map(lambda start: MAGIC + start),
    st.builds(lambda part, times: part * times, st.binary(min_size=1, max_size=50), st.just(60)),
    st.binary(max_size=30).map(lambda part: zlib.compress(part * 50, 1)),
)


@given(RECORDS, st.integers(0, 200))
def test_every_record_comes_back_and_so_does_its_head(record, head_bytes):
    packed = packed_record(record)
    assert unpacked_record(7, packed) == record
    if head_bytes:
        assert unpacked_head(7, memoryview(packed), head_bytes) == record[:head_bytes]


def test_what_repeats_is_shorter_and_what_does_not_is_no_longer():
    repeats = b"the same again, " * 100
    assert len(packed_record(repeats)) < len(repeats) / 10
    for record in (os.urandom(5_000), repeats[: limits.DEFLATED_RECORD_BYTES_MIN - 1], b""):
        assert packed_record(record) is record


def test_a_damaged_record_is_found_to_be_so():
    packed = packed_record(b"".join(b"%d, " % number for number in range(1_000)))
    for place in range(2, len(packed), 50):
        damaged = packed[:place] + bytes([packed[place] ^ 0x40]) + packed[place + 1 :]
        with pytest.raises(StorageCorrupt, match="journal record 7 is damaged"):
            unpacked_record(7, damaged)
    with pytest.raises(StorageCorrupt, match="journal record 7 is damaged"):
        unpacked_record(7, packed[:-3])
    with pytest.raises(StorageCorrupt, match="journal record 7 is damaged"):
        unpacked_head(7, memoryview(MAGIC + b"\xff" * 50), 100)
