"""Traits, for services that fold them: the operation, the reading, and what both are bound to."""

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
from crdtstore.model.traits import check_definition, trait_at

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
