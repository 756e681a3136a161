"""Ranges: which documents of two stores differ, found by comparing digests of ranges of ids.

Range-based set reconciliation over profile ids in the order of their UTF-8 bytes, which is that of
Python's texts. The asking side sends count and digest (the XOR of the documents' digests) of some
ranges. Of each that differs the answering side sends count and digest of up to sixteen parts, of
about equally many of its own documents, or the ids and digests themselves if there are few. The
asking side compares, and asks on where something differs. The answering side keeps nothing between
two answers.

Neither side reads documents here: a ``Scan`` is fed with the ids and digests of its range, by
whoever has them. A quick comparison begins with the whole, whose digest is known without a scan.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from crdtstore import limits
from crdtstore.errors import MessageInvalid

ABSENT: Final = 0
"""The digest of a document that is not there."""


class Range(NamedTuple):
    """The ids from ``lower`` on, below ``upper``; "" is the start, or the end, of all."""

    lower: str
    upper: str

    def holds(self, profile_id: str) -> bool:
        """Say whether an id lies in the range."""
        return self.lower <= profile_id and (not self.upper or profile_id < self.upper)


WHOLE: Final = Range("", "")
"""The range of all ids."""


class Fingerprint(NamedTuple):
    """How many documents a range has, and the XOR of their digests."""

    documents: int
    digest: int


Part = tuple[str, Fingerprint]
"""A part of a range: the id at which it ends (as in ``Range.upper``), and what it has."""

Item = tuple[str, int]
"""A document: its id and its digest."""


class Difference(NamedTuple):
    """A document that differs: its digests here and at the peer, ABSENT where there is none."""

    profile_id: str
    own: int
    peer: int


class Summary:
    """What a scan found in a range, in bounded memory: fed in id order, then asked."""

    def __init__(self) -> None:
        self.count = 0
        self.digest = 0
        self._starts: list[str] = []
        self._digests: list[int] = []
        self._block = 1

    def add(self, items: Iterable[Item]) -> None:
        """Take documents in, in id order."""
        for profile_id, digest in items:
            if self.count % self._block:
                self._digests[-1] ^= digest
            else:
                if len(self._starts) == limits.RANGE_BLOCKS_MAX:
                    self._halve()
                self._starts.append(profile_id)
                self._digests.append(digest)
            self.count += 1
            self.digest ^= digest

    def _halve(self) -> None:
        """Make one block of every two. The number of blocks is even and all are full."""
        self._starts = self._starts[::2]
        pairs = zip(self._digests[::2], self._digests[1::2], strict=True)
        self._digests = [one ^ other for one, other in pairs]
        self._block *= 2

    @property
    def fingerprint(self) -> Fingerprint:
        """Count and digest of the whole range."""
        return Fingerprint(self.count, self.digest)

    @property
    def is_small(self) -> bool:
        """Whether the documents are few enough to be named."""
        return self.count <= limits.RANGE_IDS_MAX

    def items(self) -> list[Item]:
        """Return the documents themselves, of a small range."""
        assert self.is_small
        return list(zip(self._starts, self._digests, strict=True))

    def parts(self, upper: str) -> list[Part]:
        """Return the parts of the range, about equally many documents in each."""
        blocks = len(self._starts)
        number = min(limits.RANGE_PARTS, blocks)
        places = [index * blocks // number for index in range(number)] if number else []
        parts = []
        for start, end in zip(places, [*places[1:], blocks], strict=True):
            digest = 0
            for block in self._digests[start:end]:
                digest ^= block
            is_last = end == blocks
            ends = self.count if is_last else end * self._block
            parts.append(
                (
                    upper if is_last else self._starts[end],
                    Fingerprint(ends - start * self._block, digest),
                )
            )
        return parts


class Scan(ABC):
    """A range that somebody has to read: ``add`` what it has, in id order, then ``finish``.

    ``hint`` is about how many documents to expect.
    """

    def __init__(self, span: Range, hint: int) -> None:
        self.span = span
        self.hint = hint

    @abstractmethod
    def add(self, items: Sequence[Item]) -> None:
        """Take documents of the range in."""

    @abstractmethod
    def finish(self) -> None:
        """Take note that the range has no more."""


def is_quick(question: Sequence[tuple[Range, Fingerprint]]) -> bool:
    """Say whether a question begins a quick comparison: few documents are always read."""
    return question[0][0] == WHOLE and question[0][1].documents > limits.RANGE_IDS_MAX


class Answer:
    """The answer to one COMPARE, made range by range: ``next_scan`` until there is none.

    ``parts`` and ``items`` map the place of a range in the question to what differs in it.
    """

    def __init__(self, question: Sequence[tuple[Range, Fingerprint]]) -> None:
        self.parts: dict[int, list[Part]] = {}
        self.items: dict[int, list[Item]] = {}
        self._question = question
        self._asked = 0

    def next_scan(self) -> Scan | None:
        """Return the next range to be read, None when the answer is complete."""
        if self._asked == len(self._question):
            return None
        place, (span, fingerprint) = self._asked, self._question[self._asked]
        self._asked += 1
        return _AnswerScan(self, place, span, fingerprint)


class _AnswerScan(Scan):
    def __init__(self, answer: Answer, place: int, span: Range, asked: Fingerprint) -> None:
        super().__init__(span, asked.documents)
        self._answer = answer
        self._place = place
        self._asked = asked
        self._summary = Summary()

    def add(self, items: Sequence[Item]) -> None:
        self._summary.add(items)

    def finish(self) -> None:
        summary = self._summary
        if summary.fingerprint == self._asked:
            return
        if summary.is_small:
            self._answer.items[self._place] = summary.items()
        else:
            self._answer.parts[self._place] = summary.parts(self.span.upper)


class _Asked(NamedTuple):
    """A range to be compared by the peer: what it has here, and the round that it belongs to."""

    span: Range
    fingerprint: Fingerprint
    round: int


class Reconciliation:
    """The asking side of one comparison of two stores.

    Call ``next_scan`` and ``next_question`` until both have nothing and nothing is unanswered;
    ``is_done`` says so. ``differences`` fills meanwhile: take from its front. ``rounds`` and
    ``ranges`` count what was asked. It begins with a scan, unless the digest of all is ``known``.
    """

    def __init__(self, known: Fingerprint | None = None) -> None:
        self.differences: deque[Difference] = deque()
        self.rounds = 0
        self.ranges = 0
        self._to_ask: list[_Asked] = []
        self._unanswered: deque[list[_Asked]] = deque()
        self._scans: list[Scan] = []
        self._scanning = False
        if known is None:
            self._scans.append(_FirstScan(self))
        else:
            self._to_ask.append(_Asked(WHOLE, known, 1))

    @property
    def unanswered(self) -> int:
        """How many questions wait for an answer."""
        return len(self._unanswered)

    @property
    def is_done(self) -> bool:
        """Whether all differences have been found."""
        return not (self._to_ask or self._unanswered or self._scans or self._scanning)

    @property
    def has_scan(self) -> bool:
        """Whether a range waits to be read here."""
        return bool(self._scans)

    def next_scan(self) -> Scan | None:
        """Return a range to be read here, None if there is none now. One at a time."""
        assert not self._scanning
        if not self._scans:
            return None
        self._scanning = True
        return self._scans.pop()

    def next_question(self) -> list[tuple[Range, Fingerprint]] | None:
        """Return the next ranges to send, None if there are none now.

        As many as a message takes; fewer only when nothing is left to be read here first.
        """
        if not self._to_ask or len(self._unanswered) >= limits.COMPARE_WINDOW:
            return None
        if len(self._to_ask) < limits.COMPARE_RANGES_MAX and (self._scans or self._scanning):
            return None
        taken = sorted(self._to_ask[-limits.COMPARE_RANGES_MAX :])
        del self._to_ask[-limits.COMPARE_RANGES_MAX :]
        self._unanswered.append(taken)
        self.rounds = max(self.rounds, *(asked.round for asked in taken))
        self.ranges += len(taken)
        return [(asked.span, asked.fingerprint) for asked in taken]

    def take_answer(self, parts: dict[int, list[Part]], items: dict[int, list[Item]]) -> None:
        """Take the answer to the oldest question; raises MessageInvalid, with nothing changed."""
        if not self._unanswered:
            raise MessageInvalid("differences came that nobody asked for")
        asked = self._unanswered[0]
        if parts.keys() & items.keys():
            raise MessageInvalid("one range has parts and ids")
        scans: list[Scan] = []
        for place in sorted({*parts, *items}, reverse=True):
            if place >= len(asked):
                raise MessageInvalid("an answer names a range that was not asked for")
            span, _, at_round = asked[place]
            if place in items:
                _check_items(span, items[place])
                scans.append(_ItemsScan(self, span, items[place]))
            else:
                self._check_growth(at_round)
                scans.extend(self._part_scans(span, parts[place], at_round + 1))
        self._unanswered.popleft()
        self._scans.extend(scans)

    def _check_growth(self, at_round: int) -> None:
        is_endless = (
            at_round >= limits.COMPARE_ROUNDS_MAX or self.ranges >= limits.COMPARED_RANGES_MAX
        )
        if is_endless:
            raise MessageInvalid("the peer's answers make a comparison without end")

    def _part_scans(self, span: Range, parts: list[Part], at_round: int) -> list[Scan]:
        if not 2 <= len(parts) <= limits.RANGE_PARTS or parts[-1][0] != span.upper:
            raise MessageInvalid("the parts of a range do not make the whole")
        scans: list[Scan] = []
        lower = span.lower
        for upper, fingerprint in parts:
            if (upper and upper <= lower) or (not upper and len(scans) < len(parts) - 1):
                raise MessageInvalid("the parts of a range are not in order")
            scans.append(_PartScan(self, Range(lower, upper), fingerprint, at_round))
            lower = upper
        scans.reverse()
        return scans

    def scanned(self) -> None:
        """Take note that the scan handed out last has finished. Its ``finish`` calls this."""
        self._scanning = False

    def ask(
        self, span: Range, summary: Summary, at_round: int, *, is_small_there: bool = False
    ) -> None:
        """Have the peer compare a range: in parts, unless few documents are in it here or there."""
        if summary.is_small or is_small_there:
            self._to_ask.append(_Asked(span, summary.fingerprint, at_round))
            return
        lower = span.lower
        for upper, fingerprint in summary.parts(span.upper):
            self._to_ask.append(_Asked(Range(lower, upper), fingerprint, at_round))
            lower = upper


def _check_items(span: Range, items: list[Item]) -> None:
    if len(items) > limits.RANGE_IDS_MAX:
        raise MessageInvalid("an answer names too many ids of one range")
    before = ""
    for profile_id, _ in items:
        if not span.holds(profile_id) or profile_id <= before:
            raise MessageInvalid("the ids of a range are not in order, or not in it")
        before = profile_id


class _FirstScan(Scan):
    """The reading of the whole store here, with which a comparison begins."""

    def __init__(self, reconciliation: Reconciliation) -> None:
        super().__init__(WHOLE, limits.SCAN_RECORDS)
        self._reconciliation = reconciliation
        self._summary = Summary()

    def add(self, items: Sequence[Item]) -> None:
        self._summary.add(items)

    def finish(self) -> None:
        self._reconciliation.scanned()
        self._reconciliation.ask(self.span, self._summary, 1)


class _PartScan(Scan):
    """The reading here of a part that the peer has told about."""

    def __init__(
        self, reconciliation: Reconciliation, span: Range, peer: Fingerprint, at_round: int
    ) -> None:
        super().__init__(span, peer.documents)
        self._reconciliation = reconciliation
        self._peer = peer
        self._round = at_round
        self._summary = Summary()

    def add(self, items: Sequence[Item]) -> None:
        self._summary.add(items)

    def finish(self) -> None:
        self._reconciliation.scanned()
        if self._summary.fingerprint == self._peer:
            return
        self._reconciliation.ask(
            self.span,
            self._summary,
            self._round,
            is_small_there=self._peer.documents <= limits.RANGE_IDS_MAX,
        )


class _ItemsScan(Scan):
    """The reading here of a range of which the peer has told all ids: what differs, differs."""

    def __init__(self, reconciliation: Reconciliation, span: Range, items: list[Item]) -> None:
        super().__init__(span, len(items))
        self._reconciliation = reconciliation
        self._peer = deque(items)

    def add(self, items: Sequence[Item]) -> None:
        found = self._reconciliation.differences
        peer = self._peer
        for profile_id, digest in items:
            while peer and peer[0][0] < profile_id:
                missing_id, theirs = peer.popleft()
                found.append(Difference(missing_id, ABSENT, theirs))
            theirs = ABSENT
            if peer and peer[0][0] == profile_id:
                theirs = peer.popleft()[1]
            if theirs != digest:
                found.append(Difference(profile_id, digest, theirs))

    def finish(self) -> None:
        self._reconciliation.scanned()
        for profile_id, digest in self._peer:
            self._reconciliation.differences.append(Difference(profile_id, ABSENT, digest))
        self._peer.clear()
