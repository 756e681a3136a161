"""Repairing: the two ends of a repair over one link. One asks, the other answers.

The asking end finds which documents differ (``sync/ranges.py``), fetches the peer's, joins them,
and pushes what the peer then lacks; so both hold the join of each. Both ends read their stores page
by page, one page whenever the link is about to send, and send only documents that are durable.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from crdtstore import limits
from crdtstore.engine.healing import Healing, Reading
from crdtstore.errors import MessageInvalid
from crdtstore.links.delivering import Delivery, Durability
from crdtstore.sync.ranges import (
    ABSENT,
    Answer,
    Difference,
    Fingerprint,
    Reconciliation,
    Scan,
    is_quick,
)
from crdtstore.sync.repair_messages import (
    LAST,
    PUSHED,
    Compare,
    Differences,
    Documents,
    Fetch,
)
from crdtstore.sync.session import Session

_SCAN_COST_RECORDS: Final = 20


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What a repair found and did.

    ``rounds`` and ``ranges`` say what it took to compare, ``differing`` how many documents differed
    and ``ids`` which (the first thousand). ``fetched`` and ``pushed`` count documents that came and
    went, ``received_bytes`` and ``sent_bytes`` the bytes of all its messages. ``is_healed`` is true
    if both replicas durably hold the join of each; if not, ``reason`` says why.
    """

    peer: str
    rounds: int
    ranges: int
    differing: int
    ids: tuple[str, ...]
    fetched: int
    pushed: int
    received_bytes: int
    sent_bytes: int
    is_healed: bool
    reason: str


class _Reader:
    """Reads one scan after the other, about a page's worth at a time."""

    def __init__(self, healing: Healing) -> None:
        self._healing = healing
        self._reading: Reading | None = None
        self.budget = 0

    @property
    def is_reading(self) -> bool:
        return self._reading is not None

    def start(self, scan: Scan) -> None:
        self._reading = self._healing.reading(scan)

    def step(self) -> None:
        assert self._reading is not None
        reading = self._reading
        if reading.step():
            self._reading = None
        self.budget -= reading.records + _SCAN_COST_RECORDS


def _known(healing: Healing) -> Fingerprint:
    """Return the digest of all documents, with the number of living ones for theirs."""
    digest, living = healing.totals.whole()
    return Fingerprint(living, digest)


class Answering:
    """The answering end of a link: questions and fetches that the peer has sent, in order."""

    def __init__(self, healing: Healing, session: Session) -> None:
        self._healing = healing
        self._session = session
        self._reader = _Reader(healing)
        self._questions: deque[Compare] = deque()
        self._answer: Answer | None = None
        self._computing: Iterator[None] | None = None
        self._fetches: deque[tuple[Delivery, Durability]] = deque()
        self._is_asked = False

    @property
    def has_scan(self) -> bool:
        """Whether there is something to be read now."""
        return bool(self._questions) or self._answer is not None

    @property
    def waits(self) -> list[Durability]:
        """What waits for a commit."""
        return [durability for _, durability in self._fetches]

    def compare(self, question: Compare) -> None:
        """Take a question; raises MessageInvalid if too many wait already."""
        if len(self._questions) >= limits.COMPARE_WINDOW:
            raise MessageInvalid("the peer compares more ranges than it has answers for")
        self._is_asked = True
        self._questions.append(question)

    def fetch(self, message: Fetch) -> None:
        """Take a fetch; raises MessageInvalid if too many wait already."""
        if len(self._fetches) >= limits.FETCHES_MAX:
            raise MessageInvalid("the peer fetches more documents than it has answers for")
        profile_ids = list(message.profile_ids)
        self._healing.rest(profile_ids)
        self._fetches.append((Delivery(self._healing, profile_ids), Durability(self._healing)))

    def take_documents(self, message: Documents, now_ms: int) -> int:
        """Join documents that the peer pushes; return their number.

        Raises MessageInvalid from a peer that has compared nothing, FrameCorrupt or ClockSkew.
        """
        if not self._is_asked:
            raise MessageInvalid("the peer pushes documents and has compared none")
        return self._healing.join(message.entries, message.timestamp, now_ms, None)

    def step(self) -> None:
        """Read about a page, and answer a question when all that it takes was read."""
        reader = self._reader
        reader.budget = limits.SCAN_RECORDS
        while self.has_scan and reader.budget > 0:
            if reader.is_reading:
                reader.step()
                continue
            if self._answer is None:
                if not self._may_answer():
                    return
                question = self._questions.popleft().ranges
                if is_quick(question) and self._healing.totals.whole()[0] == question[0][1].digest:
                    self._session.send(Differences({}, {}))
                    continue
                self._answer = Answer(question)
            scan = self._answer.next_scan()
            if scan is not None:
                reader.start(scan)
                continue
            self._session.send(Differences(self._answer.parts, self._answer.items))
            self._answer = None

    def _may_answer(self) -> bool:
        """Say whether the next question can be begun; compute some more of what it takes."""
        if not is_quick(self._questions[0].ranges):
            return True
        if self._computing is None:
            self._computing = self._healing.totals.compute()
        for _ in self._computing:
            return False
        self._computing = None
        return True

    def fill(self) -> None:
        """Send documents that were fetched, as far as credit goes."""
        while self._fetches and self._session.may_send:
            delivery, durability = self._fetches[0]
            if not durability.is_reached:
                return
            delivery.send(self._session, LAST)
            if delivery.is_empty:
                self._fetches.popleft()


@dataclass(slots=True)
class _Batch:
    """Differing documents being healed together.

    ``stage`` is fetching, resting, pushing, confirming or healed.
    """

    differences: list[Difference]
    fetched_ids: set[str]
    stage: str = "fetching"
    durability: Durability | None = None
    delivery: Delivery | None = None


class Repair:
    """The asking end: a comparison with the peer of one link, and the healing of what differs.

    ``state`` is running, done or failed, and ``heard_ms`` when something last went on. One that is
    quick begins with what both know of their documents: it reads none where that is equal.
    """

    def __init__(
        self, healing: Healing, session: Session, now_ms: int, *, is_quick: bool = False
    ) -> None:
        assert session.peer is not None
        self.state = "running"
        self.reason = ""
        self.heard_ms = now_ms
        self.received_bytes = 0
        self._peer = session.peer.name
        self._healing = healing
        self._session = session
        self._reader = _Reader(healing)
        self._reconciliation = Reconciliation(_known(healing) if is_quick else None)
        self._batch: _Batch | None = None
        self._ids: list[str] = []
        self._differing = self._fetched = self._pushed = self._sent_bytes = 0

    @property
    def report(self) -> RepairReport:
        """What was found and done so far."""
        return RepairReport(
            peer=self._peer,
            rounds=self._reconciliation.rounds,
            ranges=self._reconciliation.ranges,
            differing=self._differing,
            ids=tuple(self._ids),
            fetched=self._fetched,
            pushed=self._pushed,
            received_bytes=self.received_bytes,
            sent_bytes=self._sent_bytes,
            is_healed=self.state == "done",
            reason=self.reason,
        )

    @property
    def has_scan(self) -> bool:
        """Whether there is something to be read now."""
        if self.state != "running":
            return False
        return self._reader.is_reading or (self._reconciliation.has_scan and self._has_room)

    @property
    def waits(self) -> list[Durability]:
        """What waits for a commit."""
        batch = self._batch
        return [] if batch is None or batch.durability is None else [batch.durability]

    @property
    def _has_room(self) -> bool:
        return len(self._reconciliation.differences) < limits.HEAL_QUEUE_MAX

    def fail(self, reason: str) -> None:
        """Take note that the repair cannot go on."""
        if self.state == "running":
            self.state, self.reason = "failed", reason

    # --- incoming -----------------------------------------------------------------------------

    def take_differences(self, message: Differences) -> None:
        """Take the answer to a question; raises MessageInvalid."""
        self._reconciliation.take_answer(message.parts, message.items)

    def take_documents(self, message: Documents, now_ms: int) -> int:
        """Join what was fetched; return the number of documents.

        Raises MessageInvalid, FrameCorrupt or ClockSkew.
        """
        batch = self._batch
        if batch is None or batch.stage not in ("fetching", "confirming"):
            raise MessageInvalid("documents came that nobody fetched")
        allowed = batch.fetched_ids if batch.stage == "fetching" else set()
        count = self._healing.join(message.entries, message.timestamp, now_ms, allowed)
        self._fetched += count
        if message.role == LAST:
            if batch.stage == "fetching":
                self._rest(batch)
            else:
                batch.stage = "healed"
        return count

    # --- going on -----------------------------------------------------------------------------

    def step(self) -> None:
        """Read about a page, ask what can be asked, and take the healing as far as it goes."""
        reader, reconciliation = self._reader, self._reconciliation
        reader.budget = limits.SCAN_RECORDS
        while self.has_scan and reader.budget > 0:
            if not reader.is_reading:
                scan = reconciliation.next_scan()
                assert scan is not None
                reader.start(scan)
            reader.step()
        while self.state == "running" and self._has_room:
            question = reconciliation.next_question()
            if question is None:
                break
            self._sent_bytes += self._session.send(Compare(tuple(question)))
        while self.state == "running" and self._heal():
            pass

    def _heal(self) -> bool:
        """Go on with the batch, or begin the next; return whether something changed."""
        reconciliation, batch = self._reconciliation, self._batch
        if batch is None:
            found = reconciliation.differences
            if not found and reconciliation.is_done:
                self.state = "done"
            elif len(found) >= limits.HEAL_DOCUMENTS or (found and reconciliation.is_done):
                count = min(len(found), limits.HEAL_DOCUMENTS)
                self._begin([found.popleft() for _ in range(count)])
                return True
            return False
        if batch.stage == "resting":
            assert batch.durability is not None
            if not batch.durability.is_reached:
                return False
            batch.delivery = Delivery(self._healing, self._missing_there(batch))
            batch.stage = "healed" if batch.delivery.is_empty else "pushing"
            return True
        if batch.stage == "healed":
            self._batch = None
            return True
        return False

    def _begin(self, differences: list[Difference]) -> None:
        self._differing += len(differences)
        room = limits.DIFFERING_PROFILES_MAX - len(self._ids)
        self._ids.extend(difference.profile_id for difference in differences[:room])
        wanted = [each.profile_id for each in differences if each.peer != ABSENT]
        self._batch = _Batch(differences, set(wanted))
        if wanted:
            self._sent_bytes += self._session.send(Fetch(tuple(wanted)))
        else:
            self._rest(self._batch)

    def _rest(self, batch: _Batch) -> None:
        self._healing.rest([difference.profile_id for difference in batch.differences])
        batch.durability = Durability(self._healing)
        batch.stage = "resting"

    def _missing_there(self, batch: _Batch) -> list[str]:
        """Return the documents that are not at the peer as they are here now."""
        missing = []
        for profile_id, _, peer in batch.differences:
            digest = self._healing.digest_at_rest(profile_id)
            if digest not in (ABSENT, peer):
                missing.append(profile_id)
        self._pushed += len(missing)
        return missing

    def fill(self) -> None:
        """Push documents, as far as credit goes; after the last ask for word that they are kept."""
        batch = self._batch
        if self.state != "running" or batch is None or batch.stage != "pushing":
            return
        assert batch.delivery is not None
        while self._session.may_send:
            self._sent_bytes += batch.delivery.send(self._session, PUSHED)
            if batch.delivery.is_empty:
                self._sent_bytes += self._session.send(Fetch(()))
                batch.stage = "confirming"
                return
