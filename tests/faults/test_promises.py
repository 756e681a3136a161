"""The ledger of promises bites: each way to lose or invent something is found."""

from collections.abc import Callable
from typing import Any

import pytest

from crdtstore import Store
from tests.faults.promises import Promises
from tests.faults.stores import apply, profiles_of

Actual = dict[str, dict[str, Any]]


def kept(tmp_path: Any) -> tuple[Promises, Actual]:
    """Write 40 batches of two lanes into a real store, and read it."""
    promises = Promises()
    with Store.open(tmp_path / "eu", name="eu") as store:
        for lane in ("crm", "cdp"):
            for _ in range(40):
                number = promises.next_number(lane)
                apply(store, promises.batch(lane, number))
                promises.answered(lane, number)
        return promises, profiles_of(store)


def test_what_a_store_keeps_is_what_was_promised(tmp_path: Any) -> None:
    promises, actual = kept(tmp_path)
    promises.check(actual)
    assert promises.checked == 2 * (40 * 12 + 4 + 3)
    assert len([id_ for id_ in actual if id_.startswith("leaver")]) == 2
    assert sum(fields["count"] for fields in actual.values()) == 2 * (40 * 12 + 1)


def older_register(actual: Actual) -> None:
    actual["person-0000"]["last-crm"] -= 1


def lost_increment(actual: Actual) -> None:
    actual["person-0001"]["count"] -= 1


def repeated_increment(actual: Actual) -> None:
    actual["person-0001"]["count"] += 1


def lost_element(actual: Actual) -> None:
    next(fields for fields in actual.values() if len(fields.get("tags", ())) > 1)["tags"].pop()


def noted(actual: Actual) -> dict[str, Any]:
    return next(fields for fields in actual.values() if "notes" in fields)


def lost_insertion(actual: Actual) -> None:
    noted(actual)["notes"] = noted(actual)["notes"].partition(" ")[2]


def repeated_insertion(actual: Actual) -> None:
    noted(actual)["notes"] *= 2


def torn_insertion(actual: Actual) -> None:
    noted(actual)["notes"] = "x" + noted(actual)["notes"]


def lost_profile(actual: Actual) -> None:
    del actual["person-0002"]


def erased_is_back(actual: Actual) -> None:
    actual["leaver-crm-0000010"] = {"count": 1}


def invented_profile(actual: Actual) -> None:
    actual["nobody"] = {"count": 1}


@pytest.mark.parametrize(
    "spoil",
    [older_register, lost_increment, repeated_increment, lost_element, lost_insertion,
     repeated_insertion, torn_insertion, lost_profile, erased_is_back, invented_profile],
)  # fmt: skip
def test_every_way_to_break_a_promise_is_found(
    tmp_path: Any, spoil: Callable[[Actual], None]
) -> None:
    promises, actual = kept(tmp_path)
    spoil(actual)
    with pytest.raises(AssertionError, match="1 differences"):
        promises.check(actual)


@pytest.mark.parametrize("landed", [False, True])
def test_an_unanswered_batch_is_there_whole_or_not_at_all(tmp_path: Any, landed: bool) -> None:
    promises, _ = kept(tmp_path)
    number = promises.next_number("crm")
    batch = promises.batch("crm", number)
    promises.tried("crm", number)
    with Store.open(tmp_path / "eu", name="eu") as store:
        if landed:
            apply(store, batch)
        actual = profiles_of(store)
    before = promises.acknowledged
    promises.check(actual)
    assert promises.acknowledged - before == (len(batch.entries) if landed else 0)


def test_half_of_a_batch_is_found(tmp_path: Any) -> None:
    promises, actual = kept(tmp_path)
    number = promises.next_number("crm")
    promises.tried("crm", number)
    actual[promises.batch("crm", number).entries[3].id]["last-crm"] = number
    with pytest.raises(AssertionError, match="half of batch 41"):
        promises.check(actual)
