"""Presence of stock Yjs clients: within a replica, across replicas, and when one goes."""

from pathlib import Path

from tests.interop.yjs import Site, Yjs, run_sites
from tests.patience import until


async def sees(yjs: Yjs, name: str, *others: str) -> None:
    """Wait until a client sees just these others."""
    seen: list[str] = []

    async def does() -> bool:
        seen[:] = sorted(state["name"] for _, state in await yjs.ask("present", name) if state)
        return seen == sorted(others)

    await until(does, f"{name} to see {others}", seen)


def test_presence_crosses_replicas_and_ends(tmp_path: Path) -> None:
    async def scenario(yjs: Yjs, eu: Site, us: Site, ap: Site) -> None:
        for name, site in (("ann", eu), ("bob", us), ("cid", ap)):
            await yjs.open(name, site.url)
            await yjs.ask("be", name, {"name": name, "cursor": 1})
        await sees(yjs, "ann", "bob", "cid")
        await sees(yjs, "cid", "ann", "bob")
        await yjs.ask("be", "bob", {"name": "bobby", "cursor": 2})
        await sees(yjs, "ann", "bobby", "cid")
        await yjs.ask("disconnect", "ann")
        await sees(yjs, "bob", "cid")
        await yjs.ask("be", "ann", {"name": "ann", "cursor": 3})
        await yjs.ask("connect", "ann")
        await sees(yjs, "bob", "ann", "cid")
        for name in ("bob", "cid"):  # who comes back sees others when they move, or after 15 s
            await yjs.ask("be", name, {"name": name, "cursor": 4})
        await sees(yjs, "ann", "bob", "cid")
        await yjs.open("dan", eu.url)
        await sees(yjs, "dan", "ann", "bob", "cid")
        await ap.replica.close()
        await sees(yjs, "ann", "bob")
        await sees(yjs, "bob", "ann")

    run_sites(scenario, tmp_path, sites=3)


def test_rooms_do_not_see_each_other(tmp_path: Path) -> None:
    async def scenario(yjs: Yjs, eu: Site) -> None:
        await yjs.open("ann", eu.url)
        await yjs.open("bob", eu.url, "bob/note")
        await yjs.open("cid", eu.url)
        for name in ("ann", "bob", "cid"):
            await yjs.ask("be", name, {"name": name})
        await sees(yjs, "ann", "cid")
        await sees(yjs, "bob")

    run_sites(scenario, tmp_path)
