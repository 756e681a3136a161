"""Splink by itself: the library with the settings of its own FEBRL examples, and no store.

The comparisons, blocks and training are those that its documentation uses for FEBRL 3 (one set with
duplicates) and for FEBRL 4 (two sides); the threshold is that of our rules.
"""

import logging
from collections.abc import Mapping
from typing import Any, Final

import duckdb
import pyarrow
from splink import DuckDBAPI, Linker, SettingsCreator, block_on
from splink import comparison_library as comparisons

from benchmarks.febrl import Link

THRESHOLD: Final = 0.9
_SEED: Final = 2
_SWAPPED: Final = "l.given_name = r.surname and l.surname = r.given_name"
_SURE: Final[tuple[Any, ...]] = (
    block_on("soc_sec_id"),
    block_on("given_name", "surname", "date_of_birth"),
)
_BLOCKS: Final[tuple[Any, ...]] = tuple(
    block_on(name) for name in ("soc_sec_id", "given_name", "surname", "date_of_birth", "postcode")
)
_BLOCKS_OF_TWO_SIDES: Final[tuple[Any, ...]] = (
    block_on("given_name", "surname"), _SWAPPED, block_on("date_of_birth"), block_on("soc_sec_id"),
    block_on("state", "address_1"), block_on("street_number", "address_1"), block_on("postcode"),
)  # fmt: skip


def links_of_splink(records: Mapping[str, Mapping[str, str]], *, is_pair: bool) -> set[Link]:
    """Return the links that Splink finds; ``is_pair`` says that there are two sides."""
    sides: dict[str, list[str]] = {"org": [], "dup": []} if is_pair else {"all": []}
    for record_id in sorted(records):
        sides[record_id.split("-")[2] if is_pair else "all"].append(record_id)
    api = DuckDBAPI(duckdb.connect(":memory:", config={"threads": 1}))
    tables = [api.register(_table(records, ids)) for ids in sides.values()]
    linker = Linker(tables, _settings(is_pair), log_level=logging.ERROR)
    training = linker.training
    recall = 0.8 if is_pair else 0.9
    training.estimate_probability_two_random_records_match(
        [*_SURE, *(() if is_pair else (f"{_SWAPPED} and l.date_of_birth = r.date_of_birth",))],
        recall=recall,
    )
    training.estimate_u_using_random_sampling(max_pairs=1e6, seed=_SEED)
    for name in ("date_of_birth", "postcode"):
        training.estimate_parameters_using_expectation_maximisation(
            block_on(name), estimate_without_term_frequencies=is_pair
        )
    found = linker.inference.predict(threshold_match_probability=THRESHOLD)
    pairs = ((row["rec_id_l"], row["rec_id_r"]) for row in found.as_record_list())
    return {(min(pair), max(pair)) for pair in pairs}


def _settings(is_pair: bool) -> SettingsCreator:
    postcode: Any = comparisons.ExactMatch("postcode")
    if is_pair:
        postcode = comparisons.DamerauLevenshteinAtThresholds("postcode", [1, 2])
    names: list[Any] = [comparisons.NameComparison(name) for name in ("given_name", "surname")]
    if is_pair:
        names = [name.configure(term_frequency_adjustments=True) for name in names]
    return SettingsCreator(
        unique_id_column_name="rec_id",
        link_type="link_only" if is_pair else "dedupe_only",
        blocking_rules_to_generate_predictions=list(_BLOCKS_OF_TWO_SIDES if is_pair else _BLOCKS),
        comparisons=[
            *names,
            comparisons.DateOfBirthComparison(
                "date_of_birth", input_is_string=True, datetime_format="%Y%m%d"
            ),
            comparisons.DamerauLevenshteinAtThresholds("soc_sec_id", [1, 2] if is_pair else [2]),
            comparisons.ExactMatch("street_number").configure(term_frequency_adjustments=True),
            postcode.configure(term_frequency_adjustments=True),
        ],
    )


def _table(records: Mapping[str, Mapping[str, str]], ids: list[str]) -> Any:
    names = sorted({name for fields in records.values() for name in fields})
    columns: dict[str, Any] = {name: [records[each].get(name) for each in ids] for name in names}
    return pyarrow.table({"rec_id": ids, **columns})
