"""Rounds: sending rows in chunks until each of them is settled. Every row is accounted for.

A chunk is answered row by row. What may succeed later is sent again, in smaller chunks, so that
rows that stand in each other's way no longer do. A chunk that is refused as a whole is halved until
the row that is to blame is alone.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from replicas.crm import limits
from replicas.crm.conversation import Conversation, Pause
from replicas.crm.crm import Edit, Outcome
from replicas.crm.errors import CrmRefused


@dataclass(frozen=True, slots=True)
class Row:
    """What a vendor said of one row.

    ``result`` is that of an ``Outcome``, or ``rolled_back`` for one that failed because of others,
    or ``pause`` where the vendor asks to be left alone.
    """

    result: Literal["done", "retry", "conflict", "permanent", "rolled_back", "pause"]
    record_id: str = ""
    code: str = ""
    message: str = ""
    other_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Waits:
    """How long rows wait before they are sent again."""

    first_s: float = limits.BACKOFF_MIN_S
    longest_s: float = limits.BACKOFF_MAX_S
    pause_s: float = limits.PAUSE_S


Send = Callable[[Sequence[Edit]], Conversation[list[Row]]]


def in_rounds(
    edits: Sequence[Edit], chunk_max: int, send: Send, waits: Waits
) -> Conversation[list[Outcome]]:
    """Send edits, in the order given, until each is settled; return one outcome for each."""
    outcomes: list[Outcome] = []
    pending = list(edits)
    last: dict[int, Row] = {}
    size = chunk_max
    for number in range(limits.ROUNDS_MAX):
        if number:
            yield Pause(_wait_s(number, last.values(), waits))
        chunks = [pending[at : at + size] for at in range(0, len(pending), size)]
        pending, last = [], {}
        while chunks:
            chunk = chunks.pop(0)
            try:
                rows = yield from send(chunk)
            except CrmRefused as error:
                if len(chunk) > 1:
                    half = len(chunk) // 2
                    chunks[:0] = [chunk[:half], chunk[half:]]
                    continue
                rows = [Row("permanent", code=error.vendor_code, message=error.message)]
            assert len(rows) == len(chunk), "a conversation lost rows"
            for edit, row in zip(chunk, rows, strict=True):
                if row.result in ("done", "conflict", "permanent"):
                    outcomes.append(_outcome(edit, row))
                else:
                    pending.append(edit)
                    last[id(edit)] = row
        if not pending:
            break
        size = max(1, min(size, len(pending)) // 2)
    outcomes += [_outcome(edit, last[id(edit)]) for edit in pending]
    assert len(outcomes) == len(edits), "a row was lost, or counted twice"
    return outcomes


def _outcome(edit: Edit, row: Row) -> Outcome:
    result: Literal["done", "retry", "conflict", "permanent"] = "retry"
    if row.result != "rolled_back" and row.result != "pause":
        result = row.result
    message = row.message[: limits.REASON_CHARACTERS_MAX]
    return Outcome(edit, result, row.record_id or edit.record_id, row.code, message, row.other_ids)


def _wait_s(number: int, rows: Iterable[Row], waits: Waits) -> float:
    results = {row.result for row in rows}
    if "pause" in results:
        return waits.pause_s
    if results == {"rolled_back"}:
        return 0.0
    return min(waits.first_s * 2.0 ** (number - 1), waits.longest_s)
