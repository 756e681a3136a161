"""Joint commits of a running replica: all of their changes are durable together."""

import asyncio
from pathlib import Path

import pytest

from crdtstore import Replica, add
from crdtstore.errors import InvalidInput, ProfileErased, ProfileNotFound


def test_writes_notes_and_cursors_are_one_commit(tmp_path: Path) -> None:
    async def main() -> None:
        async with Replica.open(tmp_path / "eu", name="eu") as replica:
            async with replica.notes.commit() as commit:
                result = commit.write("ann", {"x": 1, "identifiers": add("a:1")}, source="crm")
                assert result.changed == ("x", "identifiers")
                commit.write("bob", {"x": 2}, source="crm")
                commit.merge("ann", "bob", source="crm")
                commit.note("crm/1", b"ann")
                commit.move_cursor("crm", "7")
            assert replica.cursors == {"crm": "7"}
        async with Replica.open(tmp_path / "eu", name="eu") as replica:
            assert replica.notes.get("crm/1") == b"ann"
            assert replica.notes.starting_with("crm/") == {"crm/1": b"ann"}
            assert replica.cursors == {"crm": "7"}
            assert set(replica.persons.read("bob").profiles) == {"ann", "bob"}
            async with replica.notes.commit() as commit:
                commit.erase("ann")
                with pytest.raises(ProfileErased):
                    commit.write("ann", {"x": 3}, source="crm")
                with pytest.raises(InvalidInput):
                    commit.move_cursor("", "8")
                commit.note("crm/1", None)
            assert replica.notes.get("crm/1") is None
            with pytest.raises(ProfileErased):
                replica.read("ann")

    asyncio.run(main())


async def write_and_wait(replica: Replica) -> None:
    """Do what a joint commit forbids."""
    async with replica.notes.commit() as commit:
        commit.write("ann", {"x": 1}, source="crm")
        await replica.write("bob", {"x": 1}, source="crm")
        commit.note("n", b"too late")


def test_waiting_inside_of_a_joint_commit_is_found_out(tmp_path: Path) -> None:
    async def main() -> None:
        async with Replica.open(tmp_path / "eu", name="eu") as replica:
            with pytest.raises(AssertionError, match="awaited"):
                await write_and_wait(replica)
            with pytest.raises(ProfileNotFound):
                replica.read("nobody")

    asyncio.run(main())
