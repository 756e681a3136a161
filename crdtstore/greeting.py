"""Greeting: what a replica says of itself when a link begins, and whom it links with at all."""

from crdtstore.engine.removal import Removal
from crdtstore.errors import ReplicaRemoved
from crdtstore.store import Store
from crdtstore.sync.messages import Hello


def hello_of(store: Store, nonce: int) -> Hello:
    """Return the HELLO of a store as it is now."""
    replication = store.replication
    identity = replication.identity
    return Hello(
        space=identity.space,
        name=identity.name,
        origin=identity.origin,
        nonce=nonce,
        schema=store.schema.digest,
        clock_ms=store.now_ms(),
        profiles=replication.profiles_at_rest,
        heads=replication.heads,
        floor=dict(replication.floor),
        names=dict(replication.names),
        removed=tuple(replication.removal.names),
    )


def check_membership(removal: Removal, *names: str) -> None:
    """Check that none of the replicas at the ends of a link was removed; raises ReplicaRemoved."""
    for name in names:
        if name in removal.names:
            raise ReplicaRemoved(name)
