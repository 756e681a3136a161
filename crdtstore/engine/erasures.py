"""Erasures of a store: those that were asked for, and which replicas have confirmed them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from crdtstore import limits
from crdtstore.clock import HybridClock
from crdtstore.engine.cleaning import Cleaning
from crdtstore.engine.commits import Committing
from crdtstore.engine.documents import Documents
from crdtstore.engine.drafting import Drafting
from crdtstore.engine.erasing import Erasing
from crdtstore.engine.ledger import Ledger
from crdtstore.engine.replication import Replication
from crdtstore.engine.retention import Retention
from crdtstore.errors import InvalidInput, StorageCorrupt
from crdtstore.model.erasure import CONFIRMED, Erasure, erasure_document_id
from crdtstore.names import check_source_name
from crdtstore.person_errors import ErasureNotFound
from crdtstore.storage.contract import Storage

_ID_BITS = 128


@dataclass(frozen=True, slots=True)
class ErasureReceipt:
    """How far a replica is with an erasure, as far as this one knows.

    ``state`` is "confirmed" when no file of its data directory has anything of it, "cleaning" while
    the profiles are erased there and old bytes may be left, "unheard" before that, and "removed" if
    the replica was removed from the space before it confirmed. ``at`` is since when, None for the
    last two.
    """

    replica: str
    state: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class ErasureReport:
    """One erasure: what was asked for, by whom, when, and the receipts of all replicas.

    ``kind`` is what was named: a "profile", a "person" or an "identifier". ``suppressed`` counts
    the identifiers that may not come back, ``lifted_by`` says who let them, "" if nobody did.
    """

    id: str
    kind: str
    source: str
    at: datetime
    profiles: tuple[str, ...]
    suppressed: int
    lifted_by: str
    replicas: tuple[ErasureReceipt, ...]

    @property
    def is_complete(self) -> bool:
        """Whether every replica that is of the space has confirmed."""
        return all(receipt.state in (CONFIRMED, "removed") for receipt in self.replicas)


class Erasures:
    """The erasures that a store knows. To erase a person, ask ``store.persons``.

    ``cleaning`` is what this replica has still to do for them.
    """

    def __init__(
        self,
        storage: Storage,
        documents: Documents,
        ledger: Ledger,
        drafting: Drafting,
        clock: HybridClock,
        committing: Committing,
        retention: Retention,
        replication: Replication,
        grace_ms: int,
        now_ms: Callable[[], int],
        random_bits: Callable[[int], int],
    ) -> None:
        self._erasing = Erasing(storage, documents, drafting, clock)
        self.cleaning = Cleaning(
            storage, ledger, self._erasing, committing, retention, replication, grace_ms=grace_ms
        )
        self._documents = documents
        self._drafting = drafting
        self._replication = replication
        self._retention = retention
        self._now_ms = now_ms
        self._random_bits = random_bits

    @property
    def count(self) -> int:
        """How many erasures are known."""
        return len(self._erasing.suppression.erasures)

    @property
    def erased_writes(self) -> int:
        """How many writes and documents of erased profiles were applied since the store is open."""
        return self._drafting.erased_writes

    def known(self) -> Iterable[Erasure]:
        """Return all erasures that are known, as their documents tell them."""
        return self._erasing.suppression.erasures.values()

    def refuses(self, profile_id: str, identifiers: Iterable[str]) -> bool:
        """Say whether an erasure forbids writes to a profile, or one of some identifiers.

        It is for who keeps more of a person than the profile, and must not begin to do so.
        """
        if self._erasing.suppression.of_identifiers(identifiers):
            return True
        try:
            return self._documents.peek(profile_id).is_erased
        except StorageCorrupt:
            return self._documents.get_to_join(profile_id).is_erased

    def load(self) -> None:
        """Read all erasures from the documents, and go on with what was not confirmed."""
        self._erasing.load()
        self.cleaning.resume()

    def settle(self) -> None:
        """Act on what arrived: called whenever something was applied, before anybody reads."""
        self._erasing.settle()

    def advance(self, now_ms: int, *, may_write: bool) -> None:
        """Do what is due for erasures; what it writes goes with the commit that begins next."""
        self._erasing.settle()
        if may_write:
            self.cleaning.advance(now_ms)

    def read(self, erasure_id: str) -> ErasureReport:
        """Return one erasure with its receipts; raises ErasureNotFound."""
        return self._report(self._known(erasure_id))

    def present(self, *, after: str = "", limit: int = 100) -> list[ErasureReport]:
        """Return up to ``limit`` erasures whose id is above ``after``, in the order of ids."""
        if not 0 < limit <= limits.PAGE_PROFILES_MAX:
            raise InvalidInput(f"limit is a number from 1 to {limits.PAGE_PROFILES_MAX:,}")
        known = sorted(self._erasing.suppression.erasures.values(), key=lambda each: each.id)
        later = (erasure for erasure in known if erasure.id > after)
        return [self._report(erasure) for erasure in islice(later, limit)]

    def order(
        self, kind: str, profiles: Iterable[str], identifiers: Iterable[str], source: str
    ) -> ErasureReport:
        """Erase profiles, known here or not, and suppress identifiers, with the next commit."""
        check_source_name(source)
        erasure_id = f"{self._random_bits(_ID_BITS):032x}"
        return self._report(
            self._erasing.order(
                erasure_id, kind, profiles, identifiers, source=source, now_ms=self._now_ms()
            )
        )

    def lift(self, erasure_id: str, source: str) -> ErasureReport:
        """Let the identifiers of an erasure be written again; what was erased stays erased.

        Another erasure with the same identifier still suppresses it. Raises ErasureNotFound.
        """
        check_source_name(source)
        erasure = self._known(erasure_id)
        if not erasure.lifted_by:
            erasure = self._erasing.lift(erasure_document_id(erasure_id), source)
        return self._report(erasure)

    def _known(self, erasure_id: str) -> Erasure:
        erasure = self._erasing.suppression.erasures.get(erasure_document_id(erasure_id))
        if erasure is None:
            raise ErasureNotFound(erasure_id)
        return erasure

    def _report(self, erasure: Erasure) -> ErasureReport:
        return ErasureReport(
            id=erasure.id,
            kind=erasure.kind,
            source=erasure.source,
            at=erasure.at,
            profiles=tuple(sorted(erasure.profiles)),
            suppressed=len(erasure.traces),
            lifted_by=erasure.lifted_by,
            replicas=tuple(self._receipt(erasure, name) for name in self._replica_names(erasure)),
        )

    def _replica_names(self, erasure: Erasure) -> list[str]:
        replication = self._replication
        known = {known.name for known in self._retention.known.present()}
        names = known | replication.origins.present().keys() | replication.removal.names
        return sorted(names | erasure.receipts.keys() | {replication.identity.name})

    def _receipt(self, erasure: Erasure, name: str) -> ErasureReceipt:
        receipt = erasure.receipts.get(name)
        if receipt is not None and receipt.state == CONFIRMED:
            return ErasureReceipt(name, CONFIRMED, receipt.at)
        if name in self._replication.removal.names:
            return ErasureReceipt(name, "removed", None)
        if receipt is None:
            return ErasureReceipt(name, "unheard", None)
        return ErasureReceipt(name, "cleaning", receipt.at)
