"""Documents as LMDB keeps them: they come back as they went in, or as heads that nobody takes."""

import os
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtstore import limits
from crdtstore.errors import StorageCorrupt
from crdtstore.model.document import Document, checked_canonical, stored_traces, to_record
from crdtstore.storage.contract import PackedRecord
from crdtstore.storage.document_packing import DocumentPacking, is_plain, plain_form

FIELDS = [f"field.number{number}" for number in range(12)]
PARTS = [b"\xb3r" + field.encode() + b"\x1fcrm\x93\xcf" for field in FIELDS]


def packing(*dictionaries: list[bytes]) -> DocumentPacking:
    made = DocumentPacking()
    for parts in dictionaries or (PARTS,):
        made.learn(parts)
    return made


def record_of(number: int = 0, profile_id: str = "ann") -> bytes:
    cells = {
        f"r{field}\x1fcrm": (117655636163756039 + number, 1084347564854597542, f"value {number}")
        for field in FIELDS
    }
    return to_record(profile_id, Document(0, cells))[0]


RECORDS = st.one_of(
    st.binary(max_size=300),
    st.builds(lambda first, rest: bytes((first,)) + rest, st.integers(0, 255), st.binary()),
    st.lists(st.sampled_from([*PARTS, b"a", b"\xcf" * 9]), max_size=60).map(
        lambda parts: b"\x01" + bytes(28) + b"".join(parts)
    ),
)


@given(RECORDS)
def test_every_record_comes_back(record):
    for made in (DocumentPacking(), packing(), packing(PARTS, [b"others " * 9])):
        for kept in (made.packed(record), plain_form(record)):
            assert made.unpacked(bytes(kept)) == record
            assert len(kept) <= len(record) + 1


@given(RECORDS, st.integers(0, 400), st.integers(0, 7), st.booleans())
def test_damage_makes_no_sound_document_of_another_content(record, place, bit, is_cut):
    """Whatever comes of it is found by the checks of the record, as its digest covers it."""
    made = packing()
    sound = record_of()
    kept = made.packed(sound)
    place %= len(kept)
    flipped = bytes((kept[place] ^ 1 << bit,))
    damaged = kept[:place] if is_cut else kept[:place] + flipped + kept[place + 1 :]
    for each in (damaged, record):
        found = made.unpacked(each)
        try:
            assert checked_canonical("ann", found) == sound[29:]
        except StorageCorrupt:
            continue
        assert found == sound


def test_documents_of_one_shape_take_less_than_half():
    made = packing()
    records = [record_of(number) for number in range(50)]
    kept = [made.packed(record) for record in records]
    assert all(isinstance(each, PackedRecord) for each in kept)
    assert sum(map(len, kept)) < sum(map(len, records)) / 2
    assert made.expansion == 1.0, "nothing was read yet"
    assert [made.unpacked(each) for each in kept] == records
    assert made.expansion > 2


def test_short_long_and_foreign_records_rest_as_they_are():
    made = packing()
    short = record_of()[: limits.DEFLATED_DOCUMENT_BYTES_MIN - 1]
    long = b"\x01" + b"again " * (limits.DEFLATED_DOCUMENT_BYTES_MAX // 6 + 1)
    for record in (short, long, b"\x01" + os.urandom(500), b""):
        assert made.packed(record) == record
        assert is_plain(made.packed(record))
    assert made.packed(b"\x20 never ours " * 20)[:2] == b"\xf0\x20"
    assert DocumentPacking().packed(record_of()) == record_of(), "there is no dictionary yet"


def test_of_a_damaged_body_the_head_is_left_and_tells_what_it_was():
    made = packing()
    sound = record_of()
    kept = bytearray(made.packed(sound))
    for place in range(29, len(kept), 3):
        damaged = bytearray(kept)
        damaged[place] ^= 0xFF
        found = made.unpacked(bytes(damaged))
        with pytest.raises(StorageCorrupt):
            checked_canonical("ann", found)
        assert stored_traces("ann", found) == stored_traces("ann", sound)


def test_a_record_of_an_unknown_or_another_dictionary_is_damaged():
    one, two = packing(), packing([part.replace(b"number", b"others") for part in PARTS])
    kept = one.packed(record_of())
    assert checked_canonical("ann", one.unpacked(kept))
    for elsewhere in (two, DocumentPacking()):
        with pytest.raises(StorageCorrupt):
            checked_canonical("ann", elsewhere.unpacked(kept))


def test_damage_of_the_number_alone_leaves_enough_to_tell_what_it_was():
    made = packing(PARTS, [part.replace(b"number", b"others") for part in PARTS])
    made.learn(PARTS)
    sound = record_of()
    kept = made.packed(sound)
    for bit in (1, 2, 3, 5, 6, 7):
        found = made.unpacked(bytes((kept[0] ^ 1 << bit,)) + kept[1:])
        assert stored_traces("ann", found) == stored_traces("ann", sound)


def test_what_is_inflated_is_bounded():
    made = packing()
    deflating = zlib.compressobj(9, zlib.DEFLATED, -12, 9, zlib.Z_FIXED, b"".join(PARTS))
    bomb = deflating.compress(bytes(8 << 20)) + deflating.flush()
    head = made.packed(record_of())[:29]
    assert len(bomb) < 1 << 20
    assert len(made.unpacked(head + bomb)) == 29
    assert len(made.unpacked(head + made.packed(record_of())[29:] + b"more")) == 29


def test_dictionaries_are_made_for_new_structure_and_used_again():
    made = packing()
    assert made.unwritten == {1}
    made.learn(PARTS[:8])
    assert made.unwritten == {1}, "it has all of these"
    others = [f"\xa9rother{number}".encode() for number in range(9)]
    made.learn([*others, PARTS[0]])
    assert made.unwritten == {1, 2}
    assert made.packed(record_of())[0] >> 4 == 2
    made.learn(PARTS)
    assert made.unwritten == {1, 2}
    assert made.packed(record_of())[0] >> 4 == 1
    made.learn([])
    assert made.unwritten == {1, 2}


def test_dictionaries_are_bounded_in_number_and_in_length():
    made = DocumentPacking()
    for number in range(30):
        made.learn([f"only of {number} ".encode() * 40])
    assert made.unwritten == set(range(1, limits.DICTIONARIES_MAX + 1))
    record = b"\x01" + bytes(28) + b"only of 29 " * 60
    assert made.unpacked(made.packed(record)) == record
    made = packing([os.urandom(100) for _ in range(200)])
    assert len(made.dictionary(1)) == limits.DICTIONARY_BYTES_MAX


def test_the_number_of_a_lost_dictionary_is_not_used_again():
    made = DocumentPacking()
    made.take(1, None)
    assert not made.has_dictionary
    made.learn(PARTS)
    assert made.unwritten == {2}
