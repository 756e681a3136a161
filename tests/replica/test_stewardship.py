"""The persons and conflicts of a running replica: decisions are answered when they are durable."""

import asyncio
from pathlib import Path

import pytest

from crdtstore import Replica, add
from crdtstore.errors import ReplicaClosed
from crdtstore.store import Store
from tests.engine.stores import open_store, send


def test_decisions_are_on_the_disk_when_they_are_answered(tmp_path: Path) -> None:
    async def main() -> None:
        async with Replica.open(tmp_path / "eu", name="eu") as replica:
            persons = replica.persons
            profile_id = persons.profile_id_for("email:ann@example.com")
            email = {"identifiers": add("email:ann@example.com"), "name": "Ann"}
            await replica.write(profile_id, email, source="crm")
            await replica.write("b", {"name": "Bob"}, source="crm")
            committed = replica.status().counters["commits"]
            assert profile_id in (await persons.merge("b", profile_id)).profiles
            assert replica.status().counters["commits"] > committed
            assert persons.find("email", "ann@example.com")[0] == persons.read("b")
            assert persons.explain("b", "name")[0].profile_id in ("b", profile_id)
            assert (await persons.unmerge("b", profile_id)).profiles == ("b",)
            assert (await persons.not_match("b", profile_id)).profiles == ("b",)
            assert (await persons.pin("b", "name", "Robert")).record["name"] == "Robert"
            await persons.pin("b", "name", None)
            assert "name" not in (await persons.ignore("b", "name", "crm")).record
            assert (await persons.regard("b", "name", "crm")).record["name"] == "Bob"
        with pytest.raises(ReplicaClosed):
            _ = replica.persons

    asyncio.run(main())
    with Store.open(tmp_path / "eu", name="eu") as store:
        person = store.persons.find("email", "ann@example.com")[0]
        assert person.profiles == (person.id,)
        assert [c.field for c in store.persons.explain("b")].count("identity.not_match") == 1


def test_a_choice_is_on_the_disk_when_it_is_answered(tmp_path: Path) -> None:
    us = open_store(name="us", now_ms=None)
    us.write("ann", {"name": "Anna"}, source="crm")
    us.commit()
    with Store.open(tmp_path / "eu", name="eu") as eu:
        eu.write("ann", {"name": "Ann"}, source="crm")
        send(us, eu)

    async def main() -> None:
        async with Replica.open(tmp_path / "eu", name="eu") as replica:
            (conflict,) = replica.conflicts.present()
            committed = replica.status().counters["commits"]
            chosen = await replica.conflicts.choose(conflict.id)
            assert replica.status().counters["commits"] > committed
            assert replica.conflicts.get(conflict.id) == chosen
            assert replica.conflicts.present("ann", state="settled") == [chosen]
            assert replica.read("ann")["name"] == conflict.lost
        with pytest.raises(ReplicaClosed):
            _ = replica.conflicts

    asyncio.run(main())
    with Store.open(tmp_path / "eu", name="eu") as eu:
        assert eu.conflicts.present() == []
