"""Traits of purchases like those of CDNOW equal what pandas computes; and it would be noticed."""

import random
from pathlib import Path

import pytest

from benchmarks import cdnow

pytest.importorskip("pandas", reason="pip install crdtstore[bench]")


def purchases(count: int) -> list[cdnow.Purchase]:
    chance = random.Random(1)
    return [
        cdnow.Purchase(
            f"{int(40 * chance.random() ** 2):05}",
            (10_000 + chance.randrange(540)) * cdnow.DAY_MS,
            chance.randrange(1, 9),
            round(chance.lognormvariate(3, 1), 2),
        )
        for _ in range(count)
    ]


def test_traits_equal_pandas(tmp_path: Path) -> None:
    figures = cdnow.compare(purchases(600), tmp_path)
    assert figures["different"] == 0, figures["examples"]
    assert figures["compared"] == 12 * figures["customers"]


def test_a_difference_is_found() -> None:
    wanted = cdnow.computed(purchases(50), 10_540 * cdnow.DAY_MS)["00000"]
    right = {name: value for name, value in wanted.items() if value == value}
    right["median"] = {"p50": wanted["median"]}
    assert cdnow.differences(right, wanted) == []
    assert cdnow.differences({**right, "spent": wanted["spent"] + 0.01}, wanted)
    assert cdnow.differences({**right, "orders": None}, wanted)
    assert cdnow.differences({**right, "median": {"p50": 1.02 * wanted["median"]}}, wanted)


def test_a_line_of_the_file_is_a_purchase(tmp_path: Path) -> None:
    path = tmp_path / "CDNOW_master.txt"
    path.write_text(" customer_id  date number_of_cds  dollar_value\n 00001 19970101  2   11.77\n")
    assert cdnow.purchases_in(path) == [cdnow.Purchase("00001", 852_076_800_000, 2, 11.77)]
