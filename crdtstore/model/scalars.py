"""Scalars of partials: texts, numbers and booleans, checked and in one order."""

from itertools import pairwise
from typing import Any

from crdtstore import limits
from crdtstore.errors import InvalidValue
from crdtstore.model.amounts import check_amount


def place_of(value: Any) -> tuple[str, Any]:
    """Return the place of a value among others: 1, 1.0 and True are three values."""
    return type(value).__name__, value


def check_scalar(value: Any) -> None:
    """Check a value from elsewhere; raises InvalidValue."""
    kind = type(value)
    if kind is str:
        if len(value) > limits.TRAIT_VALUE_BYTES_MAX or not value.isascii():
            _check_text(value)
    elif kind is int:
        check_amount(value)
    elif kind is float:
        if value - value != 0:
            raise InvalidValue("a number in a partial is not finite")
    elif kind is not bool:
        raise InvalidValue(f"a value in a partial is a {kind.__name__}")


def check_scalars(values: list[Any]) -> None:
    """Check that values from elsewhere are sound, in order, and all different."""
    for value in values:
        check_scalar(value)
    if len(values) > 1:
        places = [place_of(value) for value in values]
        if any(one >= other for one, other in pairwise(places)):
            raise InvalidValue("the values of a partial are not in order, or one is there twice")


def _check_text(text: str) -> None:
    if len(text.encode()) > limits.TRAIT_VALUE_BYTES_MAX:
        raise InvalidValue(
            f"a text in a partial has more than {limits.TRAIT_VALUE_BYTES_MAX} bytes"
        )
