"""Sorted keys are as a sorted list of them is."""

import random

import pytest

from crdtstore.engine import sorted_keys
from crdtstore.engine.sorted_keys import SortedKeys


@pytest.mark.parametrize("seed", range(5))
def test_they_are_as_a_sorted_list(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorted_keys, "_BLOCK_KEYS", 3)
    draw = random.Random(seed)
    keys, plain = SortedKeys(), set[bytes]()
    for _ in range(600):
        key = bytes((draw.randrange(60), draw.randrange(3)))
        if key in plain:
            keys.remove(key)
            plain.remove(key)
        elif draw.random() < 0.7:
            keys.add(key)
            plain.add(key)
        lower, upper = sorted((bytes((draw.randrange(60),)), bytes((draw.randrange(61),))))
        expected = sorted(each for each in plain if lower <= each < upper)
        assert list(keys.between(lower, upper, is_down=False)) == expected
        assert list(keys.between(lower, upper, is_down=True)) == expected[::-1]
