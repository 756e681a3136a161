"""Digesting: a replica that works is looked through whole, a part at a time between other work."""

from typing import Final

from crdtstore.engine.digests import Digests, StoreDigest
from crdtstore.engine.verification import Verification, VerifyReport
from crdtstore.store import Store
from crdtstore.turns import in_turn

_END: Final = object()


class ReplicaDigests:
    """The digest of one running replica."""

    def __init__(self, digests: Digests) -> None:
        self._digests = digests

    async def current(self) -> StoreDigest:
        """Return number of profiles, digest and vector of some moment during the call.

        Nothing else waits long for it, however much has changed since the last checkpoint.
        """
        await compute_in_turns(self._digests)
        return self._digests.whole()


async def compute_in_turns(digests: Digests) -> None:
    """Compute what a digest takes in turns with other work; then once more what has changed."""
    for _ in range(2):
        steps = digests.compute()
        while await in_turn(next, steps, _END) is not _END:
            pass


async def verified(store: Store) -> VerifyReport:
    """Read every record at rest and check it, page by page; report what is damaged."""
    verification = Verification(store.storage, store.commits)
    while not await in_turn(verification.step):
        pass
    return verification.report()
