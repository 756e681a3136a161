"""Traits, for services that fold them: the operation, the reading, and what both are bound to."""

from typing import Any

from crdtstore.errors import InvalidValue
from crdtstore.limits import (
    INTEGER_MAX,
    INTEGER_MIN,
    TRAIT_BUCKETS_MAX,
    TRAIT_DECIMALS_MAX,
    TRAIT_SESSIONS_MAX,
    TRAIT_VALUE_BYTES_MAX,
    TRAIT_VALUES_MAX,
)
from crdtstore.model.folds import FOLDS, IN_WINDOWS
from crdtstore.model.operations import fold_in
from crdtstore.model.quantiles import bucket_of
from crdtstore.model.traits import trait_at

__all__ = [
    "FOLDS",
    "INTEGER_MAX",
    "INTEGER_MIN",
    "IN_WINDOWS",
    "TRAIT_BUCKETS_MAX",
    "TRAIT_DECIMALS_MAX",
    "TRAIT_SESSIONS_MAX",
    "TRAIT_VALUES_MAX",
    "TRAIT_VALUE_BYTES_MAX",
    "bucket_of",
    "check_definition",
    "fold_in",
    "trait_at",
]


def check_definition(fold: str, options: list[Any]) -> None:
    """Check that a trait can be folded so; raises InvalidValue."""
    if fold not in FOLDS:
        raise InvalidValue(f"{fold!r} is no fold; there are {', '.join(FOLDS)}")
    FOLDS[fold].check_options(options)
