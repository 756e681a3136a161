"""The simulator's checks of persons pass where all is well, and each of them can fail."""

import random
from collections.abc import Iterator

import pytest

from crdtstore import add
from crdtstore.engine import persons as engine
from crdtstore.engine.identifiers import index_key
from crdtstore.storage.contract import Batch
from crdtstore.store import Store
from crdtstore.testing.simulation import Plan, simulate
from crdtstore.testing.simulation.history import Broken
from crdtstore.testing.simulation.identity import check_persons, check_taking_back
from crdtstore.testing.simulation.workload import SCHEMA
from tests.engine.stores import open_store

IDS = ("p01", "p02", "p03", "p04")


@pytest.fixture
def store() -> Iterator[Store]:
    """A store of which two profiles share an address, and all is at rest."""
    with open_store(schema=SCHEMA) as opened:
        for number, profile_id in enumerate(IDS):
            text = "email:a@b.c" if number < 2 else f"user_id:{number - 1}"
            fields = {"identifiers": add(text), "name": profile_id}
            opened.write(profile_id, fields, source="crm")
        opened.commit(checkpoint=True)
        yield opened


def checked(store: Store) -> int:
    return check_persons({"eu": store}, {each: store.documents.get(each) for each in IDS})


def test_persons_that_follow_from_the_documents_pass(store: Store) -> None:
    assert checked(store) == 1
    store.persons.merge("p01", "p03")
    assert checked(store) == 1
    store.persons.not_match("p01", "p02")
    assert checked(store) == 1
    assert store.persons.read("p02").profiles == ("p02",)


def test_other_documents_are_found(store: Store) -> None:
    documents = {each: store.documents.get(each) for each in IDS}
    with open_store(schema=SCHEMA) as other:
        for profile_id in IDS:
            other.write(profile_id, {"name": profile_id}, source="crm")
        with pytest.raises(Broken, match="by the documents it is of"):
            check_persons({"eu": other}, documents)


def test_an_index_that_forgot_a_holder_is_found(store: Store) -> None:
    store.storage.commit(
        Batch(index=[(index_key(store.commits.traces, "user_id:1", "p03"), False)])
    )
    with pytest.raises(Broken, match="the index does not lead from user_id:1"):
        checked(store)


def test_an_unmerge_that_restores_nothing_is_found(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check_taking_back(store, random.Random(1)) > 0
    monkeypatch.setattr(engine, "planned_unmerge", lambda *words: [])
    with pytest.raises(Broken, match="were merged and parted"):
        check_taking_back(store, random.Random(1))


def test_histories_have_decisions_in_them() -> None:
    report = simulate(Plan(seed=4, faults=()))
    assert report.failure == ""
    assert report.counts["persons of several profiles"] > 0
    assert report.counts["merged and taken back"] > 0
