"""The cache: what leaves it goes a few documents at a time, and is read again from storage."""

import itertools
import tracemalloc

import pytest

from crdtstore.engine.documents import unpacked_bytes
from crdtstore.model.document import from_record
from crdtstore.settings import Settings
from tests.engine.stores import open_store

COUNT = 2_000
ROUNDED = 1.1
"""What memory is taken for a piece is rounded up to 16 bytes."""


def test_a_full_generation_leaves_slowly_and_nothing_is_lost():
    store = open_store(settings=Settings(cache_bytes=400_000))
    for number in range(COUNT):
        store.write(f"p{number:04d}", {"n": number}, source="crm")
    store.commit(checkpoint=True)
    leaving = []
    for number in range(COUNT):
        assert store.read(f"p{number:04d}")["n"] == number
        leaving.append(len(store.documents._leaving))
    assert max(leaving) > 50
    falls = [one - other for one, other in itertools.pairwise(leaving) if one > other]
    assert falls
    assert max(falls) <= 8
    assert 0 in leaving[leaving.index(max(leaving)) :]
    assert store.documents.cached_bytes <= 400_000 + 2_000


@pytest.mark.parametrize(
    "fields",
    [
        {"one": "a value"},
        {f"field{number}": f"a value {number}" for number in range(12)},
        {f"field{number}": number << 20 for number in range(50)},
        {"long": "x" * 1_000, "longer": "y" * 2_000},
        {f"field{number}": ["a", {"b": "list"}] for number in range(6)},
    ],
    ids=["one", "twelve", "numbers", "long", "lists"],
)
def test_the_memory_of_documents_is_known_well_enough(fields):
    store = open_store()
    for number in range(1_000):
        store.write(f"p{number:04d}", fields, source="crm")
    store.commit(checkpoint=True)
    records = store.storage.documents(b"", limit=1_000, bytes_max=1 << 30)
    from_record("p0000", records[0][1])  # its keys are remembered
    tracemalloc.start()
    cached = {key.decode(): from_record(key.decode(), record) for key, record in records}
    taken_bytes = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    known_bytes = sum(map(unpacked_bytes, cached.values()))
    assert known_bytes == pytest.approx(taken_bytes * ROUNDED, rel=0.15)


def test_documents_that_grow_in_the_cache_are_weighed_again():
    store = open_store(settings=Settings(cache_bytes=400_000))
    fields = {f"field{number}": f"a value {number}" for number in range(12)}
    documents = store.documents
    for number in range(COUNT):
        store.write(f"p{number:04d}", fields, source="crm")
        held = [*documents._young.values(), *documents._old.values()]
        assert documents.cached_bytes == sum(map(unpacked_bytes, held))
        assert documents.cached_bytes <= 400_000 + 10_000
