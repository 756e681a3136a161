"""Repairs over real sockets and real files: a large store, bit rot, the API and the command."""

import asyncio
import shutil
import time
from pathlib import Path

import aiohttp
import lmdb
import pytest

from crdtstore import CrdtstoreError, Replica, Store
from crdtstore.cli.main import main
from crdtstore.errors import PeerNotLinked, StorageCorrupt
from crdtstore.model.values import pack
from tests.links.test_links import served
from tests.patience import PATIENCE_S, until

FIELDS = {f"field{number}": f"some text of profile and field {number}" for number in range(12)}


def load(directory: Path, count: int) -> None:
    """Make two directories with the same profiles, eu and us."""
    with Store.open(directory / "eu", name="eu") as store:
        for number in range(count):
            store.write(f"profile-{number:06d}", {**FIELDS, "n": number}, source="crm")
            if number % 20_000 == 0:
                store.commit()
    shutil.copytree(directory / "eu", directory / "us")


def haunt(directory: Path, name: str, numbers: range) -> None:
    """Change documents by no frame, so that links alone will never make them equal."""
    with Store.open(directory / name, name=name) as store:
        stamp = store.now_ms() << 16
        for number in numbers:
            cells = {f"rhaunted\x1f{name}": (stamp, 666, number)}
            entry = pack((f"profile-{number:06d}", 0, cells))
            store.replication.healing.join(b"\x91" + entry, stamp, store.now_ms(), None)


def rot(directory: Path, *profile_ids: str) -> None:
    """Change a bit of records in a data file."""
    environment = lmdb.open(str(directory / "data.mdb"), subdir=False, max_dbs=8, lock=False)
    table = environment.open_db(b"documents")
    with environment.begin(db=table, write=True) as transaction:
        for profile_id in profile_ids:
            record = bytearray(transaction.get(profile_id.encode()))
            record[-3] ^= 1
            transaction.put(profile_id.encode(), bytes(record))
    environment.close()


async def linked(us: Replica) -> None:
    await until(lambda: us.status().peers[0].state == "live", "a link")
    await until(lambda: us.status().peers[0].name == "eu", "a greeting")


def test_a_thousand_among_a_hundred_thousand_are_found_and_healed(tmp_path: Path) -> None:
    load(tmp_path, 100_000)
    haunt(tmp_path, "eu", range(0, 100_000, 200))
    haunt(tmp_path, "us", range(100, 100_000, 200))

    async def scenario() -> None:
        async with (
            served(tmp_path, "eu") as (eu, url),
            served(tmp_path, "us", peers=(url,)) as (us, _),
        ):
            await linked(us)
            assert eu.digest().digest != us.digest().digest
            waits = []

            async def watch() -> None:
                while True:
                    before = time.process_time()
                    await asyncio.sleep(0.001)
                    waits.append(time.process_time() - before)

            watcher = asyncio.create_task(watch())
            report = await us.repair(url)
            assert report.is_healed, report.reason
            assert (report.differing, len(report.ids)) == (1_000, 1_000)
            assert (report.fetched, report.pushed) == (1_000, 500)
            assert report.rounds <= 3
            store_bytes = 100_000 * len(pack(FIELDS))
            assert report.sent_bytes + report.received_bytes < 0.05 * store_bytes
            assert eu.digest().digest == us.digest().digest
            assert eu.read("profile-000100")["haunted"] == 100
            assert us.read("profile-000200")["haunted"] == 200
            again = await us.repair("eu")
            assert (again.rounds, again.differing) == (1, 0)
            assert again.sent_bytes + again.received_bytes < 1_000
            watcher.cancel()
            assert sorted(waits)[len(waits) * 9 // 10] < 0.2, "others had their turns"
            assert (await us.verify()).is_sound

    asyncio.run(scenario())


def test_bit_rot_in_a_file_is_healed_over_the_api_and_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load(tmp_path, 300)
    rot(tmp_path / "us", "profile-000007", "profile-000123")

    async def scenario() -> None:
        async with (
            served(tmp_path, "eu") as (eu, eu_url),
            served(tmp_path, "us", peers=(eu_url,)) as (us, us_url),
        ):
            await linked(us)
            assert (await us.verify()).damaged == ("profile-000007", "profile-000123")
            with pytest.raises(StorageCorrupt):
                us.read("profile-000007")
            with pytest.raises(StorageCorrupt):
                await us.write("profile-000007", {"n": 1}, source="crm")
            with pytest.raises(PeerNotLinked):
                await us.repair("nobody")
            await us.write("profile-000008", {"n": 1}, source="crm")
            words = ["verify", "--url", us_url, "--repair"]
            assert await asyncio.to_thread(main, [*words, "nobody"]) == 1
            assert "no open link leads" in capsys.readouterr().err
            assert await asyncio.to_thread(main, [*words, "eu", "--peer", eu_url]) == 0
            output = capsys.readouterr().out
            assert "differed: profile-000123" in output
            assert "healed" in output
            assert us.read("profile-000007")["n"] == 7
            assert (await us.verify()).is_sound
            assert await asyncio.to_thread(main, [*words, "eu", "--json"]) == 0
            assert '"differing": 0' in capsys.readouterr().out
            assert eu.digest().digest == us.digest().digest

    asyncio.run(scenario())


def test_the_api_repairs_one_at_a_time_and_names_what_is_wrong(tmp_path: Path) -> None:
    load(tmp_path, 5_000)

    async def scenario() -> None:
        async with (
            served(tmp_path, "eu") as (_, eu_url),
            served(tmp_path, "us", peers=(eu_url,)) as (us, us_url),
            aiohttp.ClientSession() as client,
        ):
            await linked(us)

            async def ask(body: object) -> tuple[int, dict[str, object]]:
                async with client.post(us_url + "/v1/repair", json=body) as response:
                    return response.status, await response.json()

            status, problem = await ask({"peer": "nobody"})
            assert (status, problem["type"]) == (404, "urn:crdtstore:error:peer-not-linked")
            assert (await ask({"peer": 7}))[0] == 422
            assert (await ask({}))[0] == 422
            assert (await ask({"peer": "eu", "quick": 1}))[0] == 422
            quick = await ask({"peer": "eu", "quick": True})
            assert (quick[0], quick[1]["is_healed"], quick[1]["ranges"]) == (200, True, 1)
            answers = await asyncio.gather(ask({"peer": "eu"}), ask({"peer": eu_url}))
            assert sorted(status for status, _ in answers) == [200, 409]
            (report,) = [body for status, body in answers if status == 200]
            assert (report["peer"], report["is_healed"], report["ids"]) == ("eu", True, [])
            (problem,) = [body for status, body in answers if status == 409]
            assert problem["type"] == "urn:crdtstore:error:repair-under-way"

    asyncio.run(scenario())


def test_a_replica_that_closes_ends_its_repair(tmp_path: Path) -> None:
    load(tmp_path, 5_000)

    async def scenario() -> None:
        async with (
            served(tmp_path, "eu") as (_, eu_url),
            served(tmp_path, "us", peers=(eu_url,)) as (us, _),
        ):
            await linked(us)
            repair = asyncio.create_task(us.repair("eu"))
            await asyncio.sleep(0)
            await us.close()
            report = await asyncio.wait_for(repair, PATIENCE_S)
            assert not report.is_healed or report.differing == 0
            with pytest.raises(CrdtstoreError):
                await us.repair("eu")

    asyncio.run(scenario())
