"""The audit of the demo: it finds what was lost, doubled or changed."""

import asyncio
from collections.abc import AsyncIterator
from copy import deepcopy
from typing import Any

import pytest

from crdtstore.demo.audit import Audit, audit
from crdtstore.demo.ledger import Ledger


class Shelf:
    """Stands for one replica's client: answers from memory."""

    def __init__(self, goldens: dict[str, Any], candidates: dict[str, Any], writes: int) -> None:
        self.name = "shelf"
        self.goldens = goldens
        self.by_profile = candidates
        self.writes = writes

    async def profiles(self) -> AsyncIterator[dict[str, Any]]:
        for profile_id, fields in sorted(self.goldens.items()):
            yield {"id": profile_id, "fields": fields}

    async def candidates(self, profile_id: str) -> list[dict[str, Any]]:
        return self.by_profile.get(profile_id, [])

    async def status(self) -> dict[str, Any]:
        return {"counters": {"writes": self.writes}}


def acknowledged() -> Ledger:
    """Return the ledger of writes before a cut and on both sides of it."""
    ledger = Ledger()

    def note(replica: str, source: str, fields: dict[str, Any]) -> None:
        write = {"id": "ann", "source": source, "fields": fields}
        ledger.acknowledge(replica, write, [*fields])

    note("eu", "crm", {"name": "Ann", "phone": "1", "tags": {"add": ["lead", "old"]}})
    note("us", "cdp", {"name": "Anne", "logins": {"increment": 5}, "consent": {"grant": True}})
    ledger.part()
    note("eu", "crm", {"phone": "2"})
    note("eu", "cdp", {"tags": {"add": ["lead"]}, "logins": {"increment": 1}})
    note("eu", "cdp", {"consent": {"grant": True}})
    note("ap", "crm", {"phone": "3"})
    note("ap", "steward", {"tags": {"remove": ["lead", "old"]}, "consent": {"revoke": True}})
    note("ap", "cdp", {"logins": {"increment": 2}})
    return ledger


GOLDENS = {
    "ann": {"name": "Ann", "phone": "3", "tags": ["lead"], "logins": 8, "consent": False},
}
VALUES = {("name", "crm"): "Ann", ("name", "cdp"): "Anne", ("phone", "crm"): "3"}


def candidates_of(values: dict[tuple[str, str], str]) -> list[dict[str, Any]]:
    return [
        {"profile": "ann", "field": field, "source": source, "kind": "register", "value": value}
        for (field, source), value in values.items()
    ]


def audited(
    *shelves: dict[str, Any], values: dict[tuple[str, str], str] = VALUES, writes: int = 8
) -> Audit:
    replicas = [
        Shelf(goldens, {"ann": candidates_of(values)}, writes if place == 0 else 0)
        for place, goldens in enumerate(shelves)
    ]
    return asyncio.run(audit(replicas, acknowledged()))  # type: ignore[arg-type]


def changed(**fields: Any) -> dict[str, Any]:
    goldens = deepcopy(GOLDENS)
    goldens["ann"].update(fields)
    return goldens


def test_nothing_is_wrong_where_nothing_is_lost():
    found = audited(GOLDENS, GOLDENS)
    assert found.problems == []
    assert (found.profiles, found.values, found.counted) == (1, 3, 8)
    assert (found.counters, found.sets, found.consents) == (1, 1, 1)
    assert found.persons == [("ann",)]


def test_either_side_of_a_cut_may_win_a_value_but_no_older_one():
    assert audited(GOLDENS, values={**VALUES, ("phone", "crm"): "2"}).problems == []
    (problem,) = audited(GOLDENS, values={**VALUES, ("phone", "crm"): "1"}).problems
    assert "phone of crm is '1'" in problem


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"logins": 7}, "logins is 7, expected 8"),
        ({"tags": []}, "tags is [], expected ['lead']"),
        ({"tags": ["lead", "old"]}, "expected ['lead']"),
        ({"consent": True}, "consent is True, expected False"),
    ],
)
def test_a_wrong_operation_is_found(fields: dict[str, Any], told: str):
    problems = audited(changed(**fields)).problems
    assert any(told in problem for problem in problems)


def test_a_lost_value_and_an_invented_one_are_found():
    (problem,) = audited(GOLDENS, values={key: VALUES[key] for key in [*VALUES][1:]}).problems
    assert "name of crm is None" in problem
    (problem,) = audited(GOLDENS, values={**VALUES, ("name", "web"): "A"}).problems
    assert "acknowledged was nothing" in problem


def test_lost_and_additional_profiles_are_found():
    assert any("has 0 profiles" in problem for problem in audited({}).problems)
    assert any("has 2 profiles" in one for one in audited({**GOLDENS, "bob": {}}).problems)


def test_replicas_that_show_different_records_are_found():
    (problem,) = audited(GOLDENS, changed(name="Anne")).problems
    assert "another golden record of ann" in problem


def test_a_write_too_few_or_too_many_is_found():
    (problem,) = audited(GOLDENS, writes=9).problems
    assert "hold 9 writes" in problem
