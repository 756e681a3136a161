"""Indexes stand for the documents to the key, and queries answer as if there were none."""

import random

import pytest

from crdtstore.errors import Refused, StorageFull
from crdtstore.query import bounds
from crdtstore.query.reading import INDEX_TAG
from tests.engine.indexed import (
    ALL,
    FILTERS,
    IDS,
    ORDERS,
    PLAIN,
    SCHEMA,
    act,
    answered,
    check_keys,
    check_queries,
    filled,
)  # fmt: skip
from tests.engine.stores import fail, open_store, reopened, send
from tests.query.oracle import wanted


@pytest.mark.parametrize("seed", range(20))
def test_queries_answer_as_the_plain_way_whatever_happens(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(seed)
    if seed % 2:
        for name, few in (
            ("SLICE_KEYS", 3),
            ("SLICE_PROFILES", 2),
            ("SLICE_FRESH", 2),
            ("SORTED_IDS", 2),
            ("COLLECTED_KEYS_MAX", 4),
        ):
            monkeypatch.setattr(bounds, name, few)
        monkeypatch.setattr(bounds, "ORDERED_KEYS_MAX", draw.choice([0, 3]))
        monkeypatch.setattr(bounds, "PAGE_LOOKS_MAX", draw.choice([2, 5, 100]))
    eu, us = open_store(name="eu", schema=SCHEMA), open_store(name="us", schema=SCHEMA)
    for _ in range(70):
        store = draw.choice([eu, us])
        try:
            act(store, draw)
        except Refused:
            continue
        if draw.random() < 0.1:
            send(eu, us)
        if draw.random() < 0.1:
            eu.write("other", {"age": draw.random()}, source="crm")
            check_queries(eu, draw, 1)
            fail(eu, StorageFull("the disk is full"))
            with pytest.raises(StorageFull):
                eu.commit(checkpoint=True)
            eu.now_ms.ms += 2_000  # type: ignore[attr-defined]
        if draw.random() < 0.1:
            eu = reopened(eu, schema=SCHEMA)
        check_queries(store if store is us else eu, draw, 2)
    for store in (eu, us):
        store.commit()
        check_keys(store)
        assert store.verify().is_sound
    send(eu, us)
    send(us, eu)
    assert eu.digest().digest == us.digest().digest
    plain = reopened(us, schema=PLAIN)
    for where in FILTERS:
        order, limit = draw.choice(ORDERS), draw.choice([2, 100])
        pages = [answered(each, where, order, limit) for each in (eu, us, plain)]
        assert pages[0] == pages[1] == pages[2] == wanted(eu, where, order)
    assert not plain.storage.index(INDEX_TAG, b"", limit=1), "what is not declared is taken away"
    assert reopened(eu, schema=SCHEMA).verify().is_sound


def test_every_way_is_taken_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled()
    page = store.queries.page('tags eq "t1"', limit=2)
    assert (page.plan.way, page.plan.indexes) == ("index", ("tags",))
    assert store.queries.page("age ge 0 and age lt 9", order="-age").plan.way == "index"
    assert store.queries.page('street eq "x"').plan.way == "scan"
    assert store.queries.page("", order="age").plan.way == "order"
    assert store.queries.page("", order="street").plan.way == "scan"
    assert store.queries.count().plan.way == "totals"
    counted = store.queries.count("age ge 0")
    assert (counted.count, counted.plan.profiles_read) == (len(IDS), 0)
    monkeypatch.setattr(bounds, "COLLECTED_KEYS_MAX", 3)
    monkeypatch.setattr(bounds, "ORDERED_KEYS_MAX", 3)
    streamed = store.queries.page('tags eq "vip"', limit=2)
    assert (streamed.plan.way, streamed.plan.profiles_read) == ("index", 2)
    assert store.queries.page("age ge 1", limit=2).plan.way == "scan"
    walked = store.queries.page("age ge 3", order="age", limit=2)
    assert (walked.plan.way, walked.plan.profiles_read) == ("order", 2)


def test_what_is_too_much_without_an_index_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled()
    monkeypatch.setattr(bounds, "SORTED_PROFILES_MAX", 3)
    monkeypatch.setattr(bounds, "COUNTED_PROFILES_MAX", 3)
    with pytest.raises(Refused, match="have the field indexed"):
        store.queries.page(order="street")
    with pytest.raises(Refused, match="indexed"):
        store.queries.count('other eq "a"')
    assert store.queries.count("age eq 1").count == 3


def test_a_page_may_end_early_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "PAGE_LOOKS_MAX", 4)
    monkeypatch.setattr(bounds, "SLICE_PROFILES", 2)
    store = filled()
    page = store.queries.page('other eq "none"')
    assert page.profiles == ()
    assert page.next == IDS[page.plan.profiles_read - 1]
    assert answered(store, 'other eq "none"', "", 5) == []


@pytest.mark.parametrize("order", ["age", "-age", "street", ""])
def test_pages_are_stable_while_others_write(order: str) -> None:
    """What stays where it is comes once; what moves comes at most twice, and never breaks it."""
    store = filled()
    draw = random.Random(order)
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        page = store.queries.page("age pr", order=order, after=after, limit=2)
        seen += [profile.id for profile in page.profiles]
        after = page.next
        store.write(draw.choice(IDS[:4]), {"age": draw.choice([0, 9])}, source="crm")
        store.write(f"new{len(seen)}", {"age": 3}, source="crm")
        store.erase(IDS[5])
        if draw.random() < 0.5:
            store.commit(checkpoint=True)
    still = set(IDS[4:]) - {IDS[5]}
    assert still <= set(seen)
    assert all(seen.count(each) == 1 for each in still)


def test_a_cursor_belongs_to_its_query() -> None:
    store = filled()
    page = store.queries.page(order="age", limit=1)
    assert page.next is not None
    for where, order, after in (
        ("", "-age", page.next), ("age pr", "age", page.next), ("", "age", "AAAA"),
        ("", "age", "é"), ("", "age", "x" * 5_000), ("", "age", page.next[:8]),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="no cursor"):
            store.queries.page(where, order=order, after=after)


def test_an_erased_profile_leaves_no_key_in_the_transaction_that_erases_it() -> None:
    store = filled()
    for profile_id in IDS:
        store.erase(profile_id)
    store.commit(checkpoint=True)
    assert store.storage.index(INDEX_TAG, b"", limit=ALL) == []
    assert store.queries.page().profiles == ()
