"""Membership: the replicas of a space as one of them knows them, and removing one for good.

for entry in replica.replicas.present():
    print(entry.name, entry.state, entry.heard_at)
await replica.replicas.remove("old")
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from crdtstore.errors import InvalidInput, ReplicaUnknown
from crdtstore.group_commit import GroupCommit
from crdtstore.links.exchange import Exchange
from crdtstore.sync.vector import missing_count


@dataclass(frozen=True, slots=True)
class ReplicaEntry:
    """Another replica of the space.

    ``state`` is "live" while a link leads to it, "away" if one did, "indirect" if others told of
    it, "removed" if it was removed. ``origin`` is its incarnation as far as it is known.
    ``heard_at`` is when something came from it last, "" if it never had a link with this replica,
    and ``lag_frames`` counts the frames here that it had not confirmed then.
    """

    name: str
    origin: str
    state: str
    heard_at: str
    lag_frames: int


class Replicas:
    """The other replicas of a running replica's space."""

    def __init__(self, exchange: Exchange, commits: GroupCommit) -> None:
        self._exchange = exchange
        self._commits = commits

    def present(self) -> list[ReplicaEntry]:
        """Return every other replica that is known or removed, by name."""
        replication = self._exchange.store.replication
        live = {
            link.session.peer.name
            for link in self._exchange.links.values()
            if link.session.state == "open" and link.session.peer is not None
        }
        entries = {
            name: ReplicaEntry(name, f"{origin:016x}", "indirect", "", 0)
            for name, origin in replication.origins.present().items()
        }
        for known in self._exchange.store.retention.known.present():
            entries[known.name] = ReplicaEntry(
                known.name,
                f"{known.origin:016x}",
                "live" if known.name in live else "away",
                datetime.fromtimestamp(known.heard_ms / 1000, UTC).isoformat(),
                missing_count(known.acknowledged, replication.vector),
            )
        for name in replication.removal.names:
            origin = entries[name].origin if name in entries else ""
            entries[name] = ReplicaEntry(name, origin, "removed", "", 0)
        entries.pop(replication.identity.name, None)
        return [entry for _, entry in sorted(entries.items())]

    async def remove(self, name: str) -> None:
        """Remove a replica from the space for good; return when that is durable here.

        Links with it are refused from now on by every replica that hears of it, and nothing is
        kept for it. What it wrote stays. Raises InvalidInput for this replica itself,
        ReplicaUnknown, LimitExceeded, or StorageError.
        """
        replication = self._exchange.store.replication
        if name == replication.identity.name:
            raise InvalidInput(f"replica {name!r} cannot remove itself; ask another replica")
        if name not in replication.removal.names:
            if name not in {entry.name for entry in self.present()}:
                raise ReplicaUnknown(name)
            replication.removal.check_room()
            self._exchange.remove_replicas({name})
        await self._commits.durable()
