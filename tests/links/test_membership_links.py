"""Who belongs to a space, and removing a replica for good, over real sockets."""

import asyncio
from pathlib import Path

import pytest

from crdtstore import Replica, limits
from crdtstore.errors import InvalidInput, LimitExceeded, ReplicaRemoved, ReplicaUnknown
from tests.links.test_links import served
from tests.patience import until


def states(replica: Replica) -> dict[str, str]:
    return {entry.name: entry.state for entry in replica.replicas.present()}


def test_the_other_replicas_are_listed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            served(tmp_path, "eu") as (eu, eu_url),
            served(tmp_path, "us", peers=(eu_url,)) as (us, us_url),
        ):
            async with served(tmp_path, "ap", peers=(us_url,)) as (ap, _):
                await ap.write("ann", {"n": 1}, source="crm")
                await until(lambda: len(states(eu)) == 2, "word of ap")
                assert states(eu) == {"us": "live", "ap": "indirect"}
                assert states(us) == {"eu": "live", "ap": "live"}
                (entry,) = [entry for entry in eu.replicas.present() if entry.name == "ap"]
                assert (entry.origin, entry.heard_at) == (ap.origin, "")
            await until(lambda: states(us) == {"eu": "live", "ap": "away"}, "ap to be away")
            await us.write("ann", {"n": 2}, source="crm")
            lag = {entry.name: entry.lag_frames for entry in us.replicas.present()}
            assert lag["ap"] >= 1
            assert all(entry.heard_at for entry in us.replicas.present())
        async with Replica.open(tmp_path / "us", name="us") as us:
            assert states(us) == {"eu": "away", "ap": "away"}

    asyncio.run(scenario())


def test_a_removed_replica_is_refused_and_told_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            served(tmp_path, "eu") as (eu, eu_url),
            served(tmp_path, "us", peers=(eu_url,)) as (us, _),
            served(tmp_path, "old", peers=(eu_url,)) as (old, _),
        ):
            await old.write("ann", {"n": 1}, source="crm")
            await until(lambda: us.digest() == eu.digest() == old.digest(), "the first meeting")
            await eu.replicas.remove("old")
            await eu.replicas.remove("old")
            await until(lambda: states(us).get("old") == "removed", "word of the removal")
            await until(lambda: not old.status().ready, "old to be told")
            assert "'old' was removed" in old.status().reason
            await until(lambda: old.status().peers[0].state == "refused", "the refusal")
            peer = old.status().peers[0]
            assert "under a new name" in peer.reason
            with pytest.raises(ReplicaRemoved):
                await old.write("ann", {"n": 2}, source="crm")
            assert states(eu) == {"us": "live", "old": "removed"}
            assert us.read("ann")["n"] == 1
        async with served(tmp_path, "old") as (old, _):
            assert "was removed" in old.status().reason

    asyncio.run(scenario())


def test_what_cannot_be_removed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with served(tmp_path, "eu") as (eu, url), served(tmp_path, "us", peers=(url,)):
            with pytest.raises(InvalidInput, match="cannot remove itself"):
                await eu.replicas.remove("eu")
            with pytest.raises(ReplicaUnknown, match="'sa'"):
                await eu.replicas.remove("sa")
            await until(lambda: "us" in states(eu), "the link")
            monkeypatch.setattr(limits, "REMOVED_REPLICAS_MAX", 0)
            with pytest.raises(LimitExceeded):
                await eu.replicas.remove("us")
            assert states(eu) == {"us": "live"}

    asyncio.run(scenario())
