"""Ranges: summaries split evenly in bounded memory, and answers that no honest peer gives."""

import msgpack
import pytest

from crdtstore import limits
from crdtstore.errors import MessageInvalid
from crdtstore.sync.messages import decode, encode
from crdtstore.sync.ranges import Answer, Fingerprint, Range, Reconciliation, Summary
from crdtstore.sync.repair_messages import Compare, Differences
from tests.sync.examples import TAG
from tests.sync.range_pairs import answered, compare, expected, read


def summary_of(count):
    summary = Summary()
    summary.add((f"p{number:06d}", 1 << number % 128) for number in range(count))
    return summary


@pytest.mark.parametrize("count", [33, 1_024, 1_025, 5_000, 70_001])
def test_parts_are_even_and_make_the_whole(count):
    summary = summary_of(count)
    parts = summary.parts("z")
    assert len(parts) == limits.RANGE_PARTS
    assert parts[-1][0] == "z"
    sizes = [fingerprint.documents for _, fingerprint in parts]
    assert sum(sizes) == count
    assert max(sizes) - min(sizes) <= max(2, count / limits.RANGE_PARTS / 16)
    digest = 0
    for _, fingerprint in parts:
        digest ^= fingerprint.digest
    assert digest == summary.digest
    assert len(summary._starts) <= limits.RANGE_BLOCKS_MAX


def test_a_hundred_thousand_documents_take_two_rounds():
    own = {f"p{number:06d}": number + 1 for number in range(100_000)}
    peer = {**own, "p000007": 5, "p099999": 6, "new": 7}
    del peer["p050000"]
    outcome = compare(own, peer)
    assert outcome.found == expected(own, peer)
    assert len(outcome.found) == 4
    assert outcome.rounds == 2
    assert outcome.message_bytes < 10_000


def test_an_empty_peer_costs_one_round_and_an_empty_self_few():
    full = {f"p{number:06d}": number + 1 for number in range(20_000)}
    outcome = compare(full, {})
    assert (len(outcome.found), outcome.rounds) == (20_000, 1)
    assert compare({}, full).rounds <= 5
    assert compare({}, {}).rounds == 1


def asked(count=100):
    """A comparison whose first question, of sixteen ranges, is under way."""
    reconciliation = Reconciliation()
    read(reconciliation.next_scan(), {f"p{number:03d}": number + 1 for number in range(count)})
    question = reconciliation.next_question()
    assert len(question) == limits.RANGE_PARTS
    return reconciliation, question


ONE = Fingerprint(50, 1)


@pytest.mark.parametrize(
    ("parts", "items"),
    [
        ({16: [("p001", ONE), ("p002", ONE)]}, {}),
        ({}, {99: []}),
        ({0: []}, {}),
        ({0: [("p006", ONE)]}, {}),
        ({0: [("p003", ONE), ("p004", ONE)]}, {}),
        ({0: [("p009", ONE), ("p006", ONE)]}, {}),
        ({0: [("", ONE), ("p006", ONE)]}, {}),
        ({0: [("p003", ONE), ("p003", ONE), ("p006", ONE)]}, {}),
        ({15: [("", ONE), ("", ONE)]}, {}),
        ({0: [("p003", ONE), ("p006", ONE)]}, {0: []}),
        ({}, {0: [("p006", 1)]}),
        ({}, {1: [("p005", 1)]}),
        ({}, {0: [("p002", 1), ("p001", 1)]}),
        ({}, {0: [("p001", 1), ("p001", 1)]}),
    ],
)
def test_an_answer_that_does_not_fit_is_refused(parts, items):
    reconciliation, question = asked()
    assert question[0][0] == Range("", "p006")
    with pytest.raises(MessageInvalid):
        reconciliation.take_answer(parts, items)
    assert reconciliation.unanswered == 1
    assert not reconciliation.has_scan


def test_an_answer_to_nothing_is_refused():
    reconciliation, _ = asked()
    reconciliation.take_answer({}, {})
    assert reconciliation.is_done
    with pytest.raises(MessageInvalid):
        reconciliation.take_answer({}, {})


def test_a_peer_that_splits_for_ever_is_refused():
    reconciliation = Reconciliation()
    read(reconciliation.next_scan(), {})
    lower = ""
    for number in range(limits.COMPARE_ROUNDS_MAX):
        question = reconciliation.next_question()
        place = [span.lower for span, _ in question].index(lower)
        span = question[place][0]
        lower = (lower or "a") + "b"
        parts = [(lower, Fingerprint(0, 0)), (span.upper, Fingerprint(1_000, number + 2))]
        if number == limits.COMPARE_ROUNDS_MAX - 1:
            break
        reconciliation.take_answer({place: parts}, {})
        while (scan := reconciliation.next_scan()) is not None:
            read(scan, {})
    with pytest.raises(MessageInvalid, match="without end"):
        reconciliation.take_answer({place: parts}, {})
    assert reconciliation.rounds == limits.COMPARE_ROUNDS_MAX


def test_a_peer_that_makes_too_many_ranges_is_refused(monkeypatch):
    monkeypatch.setattr(limits, "COMPARED_RANGES_MAX", 16)
    reconciliation, _ = asked()
    with pytest.raises(MessageInvalid, match="without end"):
        reconciliation.take_answer({0: [("p003", ONE), ("p006", ONE)]}, {})


def test_questions_wait_when_enough_are_under_way(monkeypatch):
    monkeypatch.setattr(limits, "COMPARE_RANGES_MAX", 1)
    reconciliation = Reconciliation()
    read(reconciliation.next_scan(), {f"p{number:03d}": 1 + number for number in range(100)})
    for _ in range(limits.COMPARE_WINDOW):
        assert len(reconciliation.next_question()) == 1
    assert reconciliation.next_question() is None
    reconciliation.take_answer({}, {})
    assert len(reconciliation.next_question()) == 1


def test_the_largest_answers_fit_into_a_message():
    longest = "\u00e9" * 120
    names = [f"{longest}{number:010d}" for number in range(64 * 40)]
    documents = {name: number + 1 for number, name in enumerate(names)}
    for each in (32, 40):
        bounds = [names[number * each] for number in range(64)]
        spans = [
            Range(lower, upper) for lower, upper in zip(bounds, [*bounds[1:], ""], strict=True)
        ]
        question = Compare(tuple((span, Fingerprint(1, 1)) for span in spans))
        assert len(encode(question, TAG)) <= limits.MESSAGE_BYTES_MAX
        answer = encode(answered(decode(encode(question, TAG), TAG), documents), TAG)
        assert 200_000 < len(answer) <= limits.MESSAGE_BYTES_MAX
        assert isinstance(decode(answer, TAG), Differences)


def test_an_answer_says_nothing_of_ranges_that_are_equal():
    documents = {f"p{number:03d}": number + 1 for number in range(100)}
    _, question = asked()
    assert answered(Compare(tuple(question)), documents) == Differences({}, {})
    documents["p000"] = 77
    found = answered(Compare(tuple(question)), documents)
    assert (found.parts, list(found.items)) == ({}, [0])
    assert Answer(()).next_scan() is None


D = bytes(16)
BAD = {
    13: [[[]], [["", "", 1]], [["b", "a", 1, D]], [["a", "a", 1, D]], [["", "", 1, D[:15]]],
         [["", "", -1, D]], [["", "m", 1, D, "a", "", 1, D]], [["", "", 1, D, "x", "", 1, D]],
         [["a\x00", "", 1, D]], [[f"{n:03d}" for n in range(4)]], [None], [],
         [[v for n in range(65) for v in (f"{n:03d}", f"{n + 1:03d}", 1, D)]]],
    14: [[[], [[0, ["a", D]], [0, ["b", D]]]], [[[0, ["a", 1]]], []], [[], [[0, ["a", D[:3]]]]],
         [[], [[0, ["", D]]]], [[], [[-1, []]]], [[[0]], []], [[], None],
         [[], [[n, []] for n in range(65)]],
         [[], [[0, [v for n in range(33) for v in (f"{n}", D)]]]],
         [[[0, [v for n in range(17) for v in (f"{n}", 1, D)]]], []]],
    15: [[["a", "a"]], [[""]], [[1]], [None], [[f"{n}" for n in range(501)]]],
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "fields"), [(kind, fields) for kind, cases in BAD.items() for fields in cases]
)
def test_malformed_questions_and_answers_are_refused(kind, fields):
    with pytest.raises(MessageInvalid):
        decode(bytes((kind,)) + msgpack.packb(fields), TAG)
