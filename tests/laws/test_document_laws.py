"""Documents converge: any order, repetition and batching of deltas gives the same bytes."""

from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crdtstore.errors import StorageCorrupt
from crdtstore.model.cells import COUNTER, GRANT, parse_key
from crdtstore.model.document import (
    Document,
    absorb,
    canonical_bytes,
    digest_of,
    from_record,
    join,
    record_digest,
    to_record,
    undo_all,
)
from crdtstore.model.values import pack
from crdtstore.testing import strategies


def assert_same(one: Document, other: Document) -> None:
    assert canonical_bytes(one) == canonical_bytes(other)
    assert one.version == other.version


def state_after(deltas: list[Document]) -> Document:
    document = Document()
    for delta in deltas:
        absorb(document, delta.epoch, delta.cells, [])
    return document


def honest_cells(cells):
    """Give every newest cell a value that its key, timestamp and origin determine."""
    honest = {}
    for key, cell in cells.items():
        if len(cell) == 3:
            letter = parse_key(key).letter
            number = cell[0] % 1000 * 10 + cell[1] % 10
            value = True if letter == GRANT else number if letter == COUNTER else str(number)
            cell = (cell[0], cell[1], value)
        honest[key] = cell
    return honest


@st.composite
def splits(draw, delta):
    """Return the delta cut into one or two deltas of its epoch, which together are the whole."""
    keys = list(delta.cells)
    cut = draw(st.integers(0, len(keys)))
    parts = [keys[:cut], keys[cut:]]
    return [Document(delta.epoch, {key: delta.cells[key] for key in part}) for part in parts]


@given(strategies.documents(), strategies.documents(), strategies.documents())
def test_join_is_associative(a, b, c):
    assert_same(join(join(a, b), c), join(a, join(b, c)))


@given(strategies.documents(), strategies.documents())
def test_join_is_commutative(a, b):
    assert_same(join(a, b), join(b, a))


@given(strategies.documents(), strategies.documents())
def test_join_is_idempotent(a, b):
    assert_same(join(a, a), a)
    both = join(a, b)
    assert_same(join(both, b), both)


@given(strategies.documents(), strategies.documents())
def test_join_leaves_its_arguments_as_they_were(a, b):
    before = canonical_bytes(a), canonical_bytes(b)
    joined = join(a, b)
    joined.cells["rnew\x1fcdp"] = (1, 1, "x")
    assert (canonical_bytes(a), canonical_bytes(b)) == before


@given(strategies.documents(), strategies.documents())
def test_absorb_is_join(document, delta):
    expected = join(document, delta)
    before = canonical_bytes(document)
    changed = absorb(document, delta.epoch, delta.cells, [])
    assert_same(document, expected)
    assert changed is (canonical_bytes(document) != before)


@given(strategies.documents(), strategies.documents())
def test_absorb_does_not_keep_or_change_the_delta(document, delta):
    before = canonical_bytes(delta)
    absorb(document, delta.epoch, delta.cells, [])
    absorb(document, document.epoch, {"rnew\x1fcdp": (1, 1, "x")}, [])
    assert canonical_bytes(delta) == before


@given(st.lists(strategies.documents(), max_size=6), st.data())
def test_any_order_repetition_and_splitting_of_deltas_converges(deltas, data):
    pieces = [piece for delta in deltas for piece in data.draw(splits(delta))]
    repeated = data.draw(st.lists(st.sampled_from(pieces), max_size=4)) if pieces else []
    shuffled = data.draw(st.permutations(pieces + repeated))
    assert_same(state_after(shuffled), state_after(deltas))


@given(st.lists(strategies.documents(), max_size=6), st.data())
def test_any_batching_of_deltas_converges(deltas, data):
    cut = data.draw(st.integers(0, len(deltas)))
    first, second = state_after(deltas[:cut]), state_after(deltas[cut:])
    assert_same(join(second, first), state_after(deltas))


@given(strategies.documents(), st.lists(strategies.documents(), max_size=4))
def test_a_delta_does_what_the_state_that_holds_it_does(document, deltas):
    by_deltas, by_state = deepcopy_of(document), deepcopy_of(document)
    for delta in deltas:
        absorb(by_deltas, delta.epoch, delta.cells, [])
    state = state_after(deltas)
    absorb(by_state, state.epoch, state.cells, [])
    assert_same(by_deltas, by_state)


def deepcopy_of(document: Document) -> Document:
    return Document(document.epoch, deepcopy(document.cells))


@given(st.lists(strategies.documents(), max_size=6))
def test_the_version_kept_up_by_changes_is_the_version_computed_anew(deltas):
    document = state_after(deltas)
    assert document.version == Document(document.epoch, document.cells).version


@given(strategies.documents(), strategies.documents())
def test_every_change_changes_the_version(document, delta):
    document = Document(document.epoch, honest_cells(document.cells))
    before = document.version
    changed = absorb(document, delta.epoch, honest_cells(delta.cells), [])
    assert changed is (document.version != before)


@given(
    st.lists(strategies.documents(), min_size=2, max_size=2),
    st.lists(st.tuples(st.integers(0, 1), strategies.documents()), max_size=6),
)
def test_undo_restores_every_document_exactly(documents, changes):
    for size, document in enumerate(documents):
        document.size_bytes = 1000 + size
    before = [(canonical_bytes(one), one.version, one.epoch, one.size_bytes) for one in documents]
    undo = []
    for index, delta in changes:
        absorb(documents[index], delta.epoch, delta.cells, undo)
    undo_all(undo)
    after = [(canonical_bytes(one), one.version, one.epoch, one.size_bytes) for one in documents]
    assert after == before
    assert undo == []


def test_the_examples_overwrite_cells_and_change_epochs():
    """The laws above are worth something only if documents meet in the same cells."""
    overwrites = 0
    epoch_changes = 0

    @settings(max_examples=100, database=None, derandomize=True)
    @given(st.lists(strategies.documents(), min_size=2, max_size=4))
    def count(deltas):
        nonlocal overwrites, epoch_changes
        document, undo = Document(), []
        for delta in deltas:
            absorb(document, delta.epoch, delta.cells, undo)
        overwrites += any(key is not None and before is not None for _, key, before in undo)
        epoch_changes += any(key is None for _, key, _ in undo)

    count()
    assert overwrites > 10
    assert epoch_changes > 10


@given(strategies.documents(), strategies.documents())
def test_undo_takes_back_only_what_its_log_saw(document, delta):
    absorb(document, 0, {"rkept\x1fcdp": (9, 1, "kept")}, [])
    before = canonical_bytes(document)
    undo = []
    absorb(document, delta.epoch, delta.cells, undo)
    undo_all(undo)
    assert canonical_bytes(document) == before


@given(strategies.documents(max_epoch=0))
def test_an_erasure_outlives_every_write_of_its_past(document):
    erased = join(document, Document(epoch=1))
    assert erased.is_erased
    assert erased.cells == {}
    assert not absorb(erased, 0, document.cells, [])
    assert absorb(erased, 2, {"rname\x1fcdp": (1, 1, "new")}, [])
    assert not erased.is_erased
    assert list(erased.cells) == ["rname\x1fcdp"]


@given(strategies.documents())
def test_a_record_gives_its_document_back(document):
    record, digest = to_record("p-1", document)
    loaded = from_record("p-1", record)
    assert_same(loaded, document)
    assert {key: pack(cell) for key, cell in loaded.cells.items()} == {
        key: pack(cell) for key, cell in document.cells.items()
    }
    assert loaded.stored_digest == digest == record_digest(record)
    assert digest == digest_of("p-1", canonical_bytes(document))
    assert to_record("p-1", loaded) == (record, digest)


@given(strategies.documents(), st.integers(1, 255))
def test_a_change_of_any_byte_of_a_record_is_found(document, mask):
    record, _ = to_record("p-1", document)
    for index in range(len(record)):
        damaged = bytearray(record)
        damaged[index] ^= mask
        with pytest.raises(StorageCorrupt):
            from_record("p-1", bytes(damaged))


@given(strategies.documents())
def test_a_record_that_is_cut_or_longer_or_of_another_profile_is_found(document):
    record, _ = to_record("p-1", document)
    for size in range(len(record)):
        with pytest.raises(StorageCorrupt):
            from_record("p-1", record[:size])
    with pytest.raises(StorageCorrupt):
        from_record("p-1", record + b"\0")
    with pytest.raises(StorageCorrupt):
        from_record("p-2", record)
