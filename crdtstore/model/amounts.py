"""Whole numbers of partials: checked, and added within 64 bits."""

from crdtstore import limits
from crdtstore.errors import InvalidValue


def check_amount(number: object) -> None:
    """Check that a number is whole and has 64 bits; raises InvalidValue."""
    if type(number) is not int or not limits.INTEGER_MIN <= number <= limits.INTEGER_MAX:
        raise InvalidValue("a number in a partial is not whole, or beyond 64 bits")


def check_count(number: object, least: int = 0) -> None:
    """Check that a number says how often something was; raises InvalidValue."""
    if type(number) is not int or not least <= number <= limits.INTEGER_MAX:
        raise InvalidValue("a count in a partial is not whole, or out of range")


def check_list(items: object, length: int, subject: str) -> None:
    """Check that something is a list of so many items; raises InvalidValue."""
    if type(items) is not list or len(items) != length:
        raise InvalidValue(f"{subject}: a list of {length} is expected")


def added(one: int, other: int) -> int:
    """Return the sum of two numbers, or the end of 64 bits that it would pass."""
    total = one + other
    if limits.INTEGER_MIN <= total <= limits.INTEGER_MAX:
        return total
    return limits.INTEGER_MAX if total > 0 else limits.INTEGER_MIN
