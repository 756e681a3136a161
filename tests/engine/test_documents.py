"""The cache: what leaves it goes a few documents at a time, and is read again from storage."""

import itertools

from crdtstore.settings import Settings
from tests.engine.stores import open_store

COUNT = 2_000


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
