"""Quantiles: histograms whose buckets grow by a constant factor, so that the error is relative.

This is DDSketch (Masson, Rim and Lee 2019): an amount is put into bucket i if it lies between
factor**(i-1) and factor**i, and the middle of a bucket is within the accuracy of all amounts in it.
Counts of buckets add up, so partials unite in any order, to the same bytes; a sketch that draws
lots when it is merged, as KLL does, would read differently at each replica.

A payload is ``[below zero, zeros, above zero]``, with ``[[i, how many], ...]`` for the outer two,
in order. If there are too many buckets on one side, the least amounts are counted as greater ones.
"""

import math
from typing import Any

from crdtstore import limits
from crdtstore.errors import InvalidValue
from crdtstore.model.amounts import added, check_count, check_list
from crdtstore.model.values import Value

_INDEX_BEYOND = 1 << 20
_PER_MYRIAD = 10_000


def bucket_of(amount: float, accuracy_per_mille: int) -> int:
    """Return the number of the bucket of an amount above zero."""
    return math.ceil(math.log(amount) / math.log(_factor(accuracy_per_mille)))


def payload_of(amount: float, accuracy_per_mille: int) -> Any:
    """Return the payload of one amount."""
    if amount == 0:
        return [[], 1, []]
    bucket = [[bucket_of(abs(amount), accuracy_per_mille), 1]]
    return [bucket, 0, []] if amount < 0 else [[], 0, bucket]


def check_options(options: Any) -> None:
    """Check accuracy and ranks; raises InvalidValue."""
    if type(options) is not list or not 2 <= len(options) <= 1 + limits.TRAIT_RANKS_MAX:
        raise InvalidValue("quantiles have an accuracy, and some ranks")
    if any(type(option) is not int for option in options):
        raise InvalidValue("accuracy and ranks of quantiles are whole numbers")
    if not 1 <= options[0] <= 500 or any(not 0 <= rank <= _PER_MYRIAD for rank in options[1:]):
        raise InvalidValue("accuracy or ranks of quantiles are out of range")


def check(payload: Any) -> None:
    """Check a payload from elsewhere; raises InvalidValue."""
    check_list(payload, 3, "quantiles")
    check_count(payload[1])
    for side in (payload[0], payload[2]):
        if type(side) is not list or len(side) > limits.TRAIT_QUANTILE_BUCKETS_MAX:
            raise InvalidValue("quantiles have too many buckets, or no list of them")
        before = -_INDEX_BEYOND
        for bucket in side:
            check_list(bucket, 2, "a bucket of quantiles")
            if type(bucket[0]) is not int or not before < bucket[0] < _INDEX_BEYOND:
                raise InvalidValue("the buckets of quantiles are not in order")
            check_count(bucket[1], 1)
            before = bucket[0]


def united(one: Any, other: Any) -> Any:
    """Return the histogram of both."""
    return [_sum(one[0], other[0]), added(one[1], other[1]), _sum(one[2], other[2])]


def bounded(payload: Any) -> Any:
    """Return a histogram with its least buckets made one, if there are too many."""
    return [_cut(payload[0]), payload[1], _cut(payload[2])]


def value(payload: Any, options: Any) -> Value:
    """Return the amount at each rank, such as ``{"p50": 12.5}``: within the accuracy."""
    factor = _factor(options[0])
    steps = [(-_middle(factor, index), count) for index, count in reversed(payload[0])]
    if payload[1]:
        steps.append((0.0, payload[1]))
    steps += [(_middle(factor, index), count) for index, count in payload[2]]
    if not steps:
        return None
    total = sum(count for _, count in steps)
    return {
        f"p{rank / 100:g}": _amount_at(steps, rank * (total - 1) // _PER_MYRIAD)
        for rank in options[1:]
    }


def _amount_at(steps: list[tuple[float, int]], place: int) -> float:
    for amount, count in steps:
        place -= count
        if place < 0:
            return amount
    raise AssertionError("a rank lies beyond all amounts")


def _factor(accuracy_per_mille: int) -> float:
    return (1000 + accuracy_per_mille) / (1000 - accuracy_per_mille)


def _middle(factor: float, index: int) -> float:
    """Return the middle of a bucket, in nine digits: mathematical libraries differ beyond."""
    exponent = min(index * math.log(factor), 700.0)
    return float(f"{2 * math.exp(exponent) / (factor + 1):.9g}")


def _sum(one: Any, other: Any) -> Any:
    counts = dict(one)
    for index, count in other:
        counts[index] = added(counts.get(index, 0), count)
    return [[index, counts[index]] for index in sorted(counts)]


def _cut(side: Any) -> Any:
    beyond = len(side) - limits.TRAIT_QUANTILE_BUCKETS_MAX
    if beyond <= 0:
        return side
    least = side[beyond]
    lower = sum(count for _, count in side[:beyond])
    return [[least[0], added(least[1], lower)], *side[beyond + 1 :]]
