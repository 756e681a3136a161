"""Rounds: every row is accounted for, whatever is said of it."""

from collections.abc import Sequence
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from replicas.crm import limits
from replicas.crm.conversation import Conversation, Pause, Request
from replicas.crm.crm import Edit
from replicas.crm.errors import CrmRefused
from replicas.crm.rounds import Row, Waits, in_rounds
from tests.replicas.crm.talking import answer, talk

WAITS = Waits(1.0, 8.0, 60.0)
SAID = st.sampled_from(["done", "retry", "conflict", "permanent", "rolled_back", "pause"])


def edits_of(count: int) -> list[Edit]:
    return [Edit("Contact", f"p{number}", "", {"a": number}) for number in range(count)]


@given(st.lists(st.lists(SAID, min_size=1, max_size=9), max_size=20), st.integers(1, 5))
def test_each_edit_has_one_outcome(said: list[list[str]], chunk: int) -> None:
    """Of each edit it is drawn what is said of it at each attempt; then it succeeds."""
    edits = edits_of(len(said))
    left = {edit.profile_id: list(words) for edit, words in zip(edits, said, strict=True)}

    def send(part: Sequence[Edit]) -> Conversation[list[Row]]:
        assert len(part) <= chunk
        yield from ()
        rows = []
        for edit in part:
            words = left[edit.profile_id]
            result: Literal["done", "retry"] = words.pop(0) if words else "done"  # type: ignore[assignment]
            rows.append(Row(result))
        return rows

    outcomes, _ = talk(in_rounds(edits, chunk, send, WAITS))
    assert sorted(one.edit.profile_id for one in outcomes) == sorted(left)
    for outcome in outcomes:
        first = next(
            (word for word in said[int(outcome.edit.profile_id[1:])][: limits.ROUNDS_MAX]
             if word in ("done", "conflict", "permanent")), None,
        )  # fmt: skip
        attempts = len(said[int(outcome.edit.profile_id[1:])])
        assert outcome.result == (first or ("retry" if attempts >= limits.ROUNDS_MAX else "done"))


def test_locked_rows_go_in_smaller_chunks_and_later() -> None:
    sizes: list[int] = []

    def send(part: Sequence[Edit]) -> Conversation[list[Row]]:
        sizes.append(len(part))
        yield from ()
        return [Row("retry" if len(part) > 2 else "done", code="UNABLE_TO_LOCK_ROW") for _ in part]

    outcomes, said = talk(in_rounds(edits_of(8), 8, send, WAITS))
    assert sizes == [8, 4, 4, 2, 2, 2, 2]
    assert [one.seconds for one in said if isinstance(one, Pause)] == [1.0, 2.0]
    assert {one.result for one in outcomes} == {"done"}


def test_a_limit_pauses_and_rows_rolled_back_do_not_wait() -> None:
    words = iter(["pause", "rolled_back", "done"])

    def send(part: Sequence[Edit]) -> Conversation[list[Row]]:
        yield from ()
        return [Row(next(words))]  # type: ignore[arg-type]

    _, said = talk(in_rounds(edits_of(1), 8, send, WAITS))
    assert [one.seconds for one in said if isinstance(one, Pause)] == [60.0, 0.0]


def test_a_refused_request_is_halved_until_the_offender_is_alone() -> None:
    def send(part: Sequence[Edit]) -> Conversation[list[Row]]:
        yield Request("POST", "/batch")
        if any(edit.profile_id == "p5" for edit in part):
            raise CrmRefused("a batch", 400, "VALIDATION_ERROR", "no such property")
        return [Row("done") for _ in part]

    outcomes, said = talk(in_rounds(edits_of(8), 8, send, WAITS), *[answer({})] * 7)
    refused = [one for one in outcomes if one.result != "done"]
    assert [(one.edit.profile_id, one.result, one.code) for one in refused] == [
        ("p5", "permanent", "VALIDATION_ERROR")
    ]
    assert len(said) == 7
