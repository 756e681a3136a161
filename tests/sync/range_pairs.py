"""Two sets of documents compared without a network, as two ends of a link would."""

from bisect import bisect_left
from dataclasses import dataclass

from crdtstore.sync.messages import decode, encode
from crdtstore.sync.ranges import Answer, Difference, Reconciliation, Scan
from crdtstore.sync.repair_messages import Compare, Differences
from tests.sync.examples import TAG

Digests = dict[str, int]


@dataclass
class Outcome:
    """What a comparison found, and what it took."""

    found: list[Difference]
    rounds: int
    ranges: int
    messages: int
    message_bytes: int
    largest_bytes: int


def read(scan: Scan, documents: Digests, names: list[str] | None = None) -> None:
    """Feed a scan what documents lie in its range, some at a time; ``names`` are all, sorted."""
    names = sorted(documents) if names is None else names
    start = bisect_left(names, scan.span.lower)
    end = bisect_left(names, scan.span.upper) if scan.span.upper else len(names)
    for place in range(start, end, 7):
        scan.add([(name, documents[name]) for name in names[place : min(place + 7, end)]])
    scan.finish()


def answered(question: Compare, documents: Digests) -> Differences:
    """Return the answer of a replica with these documents."""
    answer, names = Answer(question.ranges), sorted(documents)
    while (scan := answer.next_scan()) is not None:
        read(scan, documents, names)
    return Differences(answer.parts, answer.items)


def compare(own: Digests, peer: Digests) -> Outcome:
    """Compare two sets of documents, each message through its bytes."""
    reconciliation = Reconciliation()
    sizes, names = [], sorted(own)
    while not reconciliation.is_done:
        while (scan := reconciliation.next_scan()) is not None:
            read(scan, own, names)
        questions = []
        while (ranges := reconciliation.next_question()) is not None:
            questions.append(encode(Compare(tuple(ranges)), TAG))
        for question in questions:
            asked = decode(question, TAG)
            assert isinstance(asked, Compare)
            answer = encode(answered(asked, peer), TAG)
            told = decode(answer, TAG)
            assert isinstance(told, Differences)
            reconciliation.take_answer(told.parts, told.items)
            sizes += [len(question), len(answer)]
    return Outcome(
        sorted(reconciliation.differences),
        reconciliation.rounds,
        reconciliation.ranges,
        len(sizes),
        sum(sizes),
        max(sizes, default=0),
    )


def expected(own: Digests, peer: Digests) -> list[Difference]:
    """Return what differs, found by looking at all of it."""
    return sorted(
        Difference(name, own.get(name, 0), peer.get(name, 0))
        for name in own.keys() | peer.keys()
        if own.get(name, 0) != peer.get(name, 0)
    )
