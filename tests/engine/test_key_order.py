"""Ids are taken in order, however they are sorted."""

import random

import pytest

from crdtstore import limits
from crdtstore.engine.key_order import KeyOrder


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 200])
def test_ids_come_in_order_after_parts_were_sorted_or_at_once(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SORTED_IDS", 8)
    ids = [f"{random.Random(number).random()}" for number in range(count)]
    for is_prepared in (False, True):
        order = KeyOrder(ids)
        assert len(order) == count
        if is_prepared:
            steps = 1
            while not order.sort_some():
                steps += 1
            assert steps == max(1, -(-count // 8))
        taken: list[str] = []
        while order:
            part = order.take(3)
            assert len(part) <= 3
            taken += part
            assert len(order) == count - len(taken)
        assert taken == sorted(ids)
        assert order.take(3) == []
