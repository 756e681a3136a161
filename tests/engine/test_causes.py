"""What origins had seen when they wrote: learned, bounded, undone, kept and forgotten."""

import pytest

from crdtstore import limits
from crdtstore.engine.causes import Causes
from crdtstore.engine.ledger import Ledger
from crdtstore.storage.memory_storage import MemoryStorage
from crdtstore.sync.frame import space_tag

EU, US, ASIA = 1, 2, 3


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(MemoryStorage(), space_tag("default"))


def advance(ledger: Ledger, causes: Causes, origin: int, *timestamps: int) -> None:
    for timestamp in timestamps:
        ledger.heads[origin] = (ledger.head(origin)[0] + 1, bytes(16))
        causes.advanced(origin, timestamp, True)


def test_what_a_dependency_covers_was_seen(ledger: Ledger) -> None:
    causes = Causes(ledger)
    advance(ledger, causes, US, 10, 20, 30)
    causes.learn(EU, {US: 2}, [], 0)
    assert causes.saw(EU, US, 20) is True
    assert causes.saw(EU, US, 21) is False
    assert causes.saw(ASIA, US, 10) is False
    assert causes.saw(US, US, 99) is True


def test_a_frame_without_writes_shows_no_more_than_the_one_before(ledger: Ledger) -> None:
    causes = Causes(ledger)
    advance(ledger, causes, US, 10)
    ledger.heads[US] = (2, bytes(16))
    causes.advanced(US, 50, False)
    causes.learn(EU, {US: 2}, [], 0)
    assert causes.saw(EU, US, 10) is True
    assert causes.saw(EU, US, 50) is False


def test_what_was_undone_was_not_seen(ledger: Ledger) -> None:
    causes = Causes(ledger)
    advance(ledger, causes, US, 10, 20)
    causes.learn(EU, {US: 1}, [], 0)
    undo: list[tuple[dict[int, int], int, int | None]] = []
    causes.learn(EU, {US: 2}, undo, 0)
    causes.learn(ASIA, {US: 2}, undo, 0)
    causes.restore(undo)
    assert causes.saw(EU, US, 10) is True
    assert causes.saw(EU, US, 20) is causes.saw(ASIA, US, 20) is False
    causes.went_back(US, 1)
    ledger.heads[US] = (1, bytes(16))
    advance(ledger, causes, US, 40)
    causes.learn(EU, {US: 2}, [], 0)
    assert causes.saw(EU, US, 40) is True


def test_documents_without_causes_leave_it_open_what_was_not_seen(ledger: Ledger) -> None:
    causes = Causes(ledger)
    advance(ledger, causes, US, 10, 20, 30)
    causes.learn(EU, {US: 1}, [], 0)
    causes.documents_came(25)
    assert causes.saw(EU, US, 10) is True
    assert causes.saw(EU, US, 20) is None
    assert causes.saw(EU, US, 30) is False


def test_too_many_pairs_begin_anew(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CAUSES_MAX", 2)
    causes = Causes(ledger)
    for origin in (EU, US, ASIA):
        advance(ledger, causes, origin, 10 * origin)
    causes.learn(EU, {US: 1, ASIA: 1}, [], 40)
    assert causes.saw(EU, ASIA, 30) is True
    causes.learn(US, {ASIA: 1}, [], 40)
    assert causes.rows == {}
    assert causes.saw(EU, ASIA, 30) is causes.saw(US, ASIA, 30) is None
    causes.learn(US, {ASIA: 1}, [], 40)
    assert causes.saw(US, ASIA, 30) is True


def test_an_origin_at_rest_is_forgotten_and_not_judged(ledger: Ledger) -> None:
    causes = Causes(ledger)
    advance(ledger, causes, US, 10)
    advance(ledger, causes, ASIA, 15)
    causes.learn(EU, {US: 1, ASIA: 1}, [], 0)
    ledger.resting.put(US, ledger.heads.pop(US))
    causes.rested(US)
    causes.learn(EU, {US: 1}, [], 0)
    assert causes.rows == {EU: {ASIA: 15}}
    assert causes.saw(EU, US, 10) is None


def test_it_is_kept_and_an_older_store_knows_nothing(ledger: Ledger) -> None:
    causes = Causes(ledger)
    advance(ledger, causes, US, 10)
    causes.learn(EU, {US: 1}, [], 0)
    causes.documents_came(7)
    again = Causes(ledger)
    again.load(causes.pack(), 99)
    assert (again.rows, again.exact_since) == (causes.rows, 7)
    older = Causes(ledger)
    older.load(None, 99)
    assert older.saw(EU, US, 10) is None
