"""Scoring: how probable it is that two profiles are of one person, by the library Splink.

Splink is the model of Fellegi and Sunter: for every field it weighs how often values agree among
profiles of one person against how often they do by chance. It learns both from the profiles that it
is given, without examples, in DuckDB in this process. One thread, and a seed for what it samples:
the same profiles and rules give the same scores.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from crdtstore import limits
from crdtstore.errors import ConfigurationError, LimitExceeded
from crdtstore.linkage.rules import Block, LinkageRules

Records = Mapping[str, Mapping[str, Any]]
"""Golden records, by the id of their profile."""

_SEED: Final = 1
_RECALL_OF_SURE: Final = 0.8
_LEVELS: Final = {"name": (4, 2), "code": (3, 1), "exact": (1, 1)}
"""The level of Splink's comparison from which values agree, and from which they are alike."""


class Suggestion(NamedTuple):
    """Two profiles, the less id first, that may be of one person, and how probable that is.

    Each field that is compared ``agrees``, is ``alike`` or ``differs``, unless one of the two has
    no value.
    """

    score: float
    profile_id: str
    other_id: str
    agrees: tuple[str, ...]
    alike: tuple[str, ...]
    differs: tuple[str, ...]


def scored_pairs(records: Records, rules: LinkageRules) -> list[Suggestion]:
    """Return the pairs with at least ``score_min``, the most probable first.

    It takes seconds or minutes of one core, and memory for the pairs of the blocks: it is no work
    for an event loop. Raises LimitExceeded if a block gives too many pairs, ConfigurationError if
    the library is not installed.
    """
    columns = {name: f"field_{number}" for number, name in enumerate(rules.compare)}
    rows = {profile_id: _row(record, rules.compare) for profile_id, record in records.items()}
    usable = _usable_blocks(rules.blocks, rows.values(), rules)
    sure = _usable_blocks(rules.sure, rows.values(), rules)
    if not usable or not sure:
        return []
    linker = _linker(rows, columns, rules, usable)
    _train(linker, columns, usable, sure)
    found = linker.inference.predict(threshold_match_probability=rules.score_min)
    pairs = [_pair_of(row, columns, rules) for row in found.as_record_list()]
    return sorted(pairs, key=lambda pair: (-pair.score, pair.profile_id, pair.other_id))


def _row(record: Mapping[str, Any], names: Iterable[str]) -> tuple[str | None, ...]:
    return tuple(_text(record.get(name)) for name in names)


def _text(value: Any) -> str | None:
    """Return a value as it is compared: small letters, single spaces; None if there is none."""
    if type(value) not in (str, int, float):
        return None
    return " ".join(str(value).lower().split()) or None


def _usable_blocks(
    blocks: Sequence[Block], rows: Iterable[tuple[str | None, ...]], rules: LinkageRules
) -> list[Block]:
    """Return the blocks that give any pair; raises LimitExceeded if one gives too many."""
    places = {name: place for place, name in enumerate(rules.compare)}
    listed = list(rows)
    usable = []
    for block in blocks:
        at = [places[name] for name in block]
        keys = Counter(
            key for row in listed if None not in (key := tuple(row[place] for place in at))
        )
        pairs = sum(count * (count - 1) // 2 for count in keys.values())
        if pairs > limits.LINKAGE_PAIRS_MAX:
            raise LimitExceeded(
                f"the block {', '.join(block)}", pairs, limits.LINKAGE_PAIRS_MAX, "pairs"
            )
        if pairs:
            usable.append(block)
    return usable


def _linker(
    rows: Mapping[str, tuple[str | None, ...]],
    columns: Mapping[str, str],
    rules: LinkageRules,
    blocks: Sequence[Block],
) -> Any:
    """Return Splink's linker over these rows."""
    try:
        import duckdb
        import pyarrow
        from splink import DuckDBAPI, Linker, SettingsCreator
    except ImportError:
        raise ConfigurationError(
            "suggestions are made by the library splink: pip install crdtstore[linkage]"
        ) from None
    settings = SettingsCreator(
        link_type="dedupe_only",
        unique_id_column_name="profile_id",
        blocking_rules_to_generate_predictions=[_block_on(block, columns) for block in blocks],
        comparisons=[_comparison(how, columns[name]) for name, how in rules.compare.items()],
        retain_matching_columns=True,
        retain_intermediate_calculation_columns=False,
    )
    ids = sorted(rows)
    table = pyarrow.table(
        {
            "profile_id": pyarrow.array(ids, pyarrow.string()),
            **{
                column: pyarrow.array([rows[each][place] for each in ids], pyarrow.string())
                for place, column in enumerate(columns.values())
            },
        }
    )
    api = DuckDBAPI(duckdb.connect(":memory:", config={"threads": 1}))
    return Linker(api.register(table), settings, log_level=logging.ERROR)


def _comparison(how: str, column: str) -> Any:
    from splink import comparison_library as library

    if how == "name":
        return library.NameComparison(column)
    made: Any = library
    if how == "code":
        comparison = made.DamerauLevenshteinAtThresholds(column, [1, 2])
    else:
        comparison = made.ExactMatch(column)
    return comparison.configure(term_frequency_adjustments=True)


def _train(
    linker: Any, columns: Mapping[str, str], blocks: Sequence[Block], sure: Sequence[Block]
) -> None:
    """Learn how many pairs are of one person, and how often their fields agree.

    From too few profiles Splink learns a likelihood of nought or one, and says so; what it began
    with stands then.
    """
    training = linker.training
    with suppress(ValueError):
        training.estimate_probability_two_random_records_match(
            [_block_on(block, columns) for block in sure], recall=_RECALL_OF_SURE
        )
    training.estimate_u_using_random_sampling(max_pairs=limits.LINKAGE_SAMPLE_PAIRS, seed=_SEED)
    learnt: set[str] = set()
    for block in blocks:
        if set(columns) - set(block) <= learnt:
            continue
        with suppress(ValueError):
            training.estimate_parameters_using_expectation_maximisation(
                _block_on(block, columns), estimate_without_term_frequencies=True
            )
        learnt |= set(columns) - set(block)


def _block_on(block: Block, columns: Mapping[str, str]) -> Any:
    from splink import block_on

    return block_on(*(columns[name] for name in block))


def _pair_of(row: Mapping[str, Any], columns: Mapping[str, str], rules: LinkageRules) -> Suggestion:
    agrees, alike, differs = [], [], []
    for name, column in columns.items():
        level = row[f"gamma_{column}"]
        equal, similar = _LEVELS[rules.compare[name]]
        if level >= equal:
            agrees.append(name)
        elif level >= similar:
            alike.append(name)
        elif level >= 0:
            differs.append(name)
    one, other = sorted((row["profile_id_l"], row["profile_id_r"]))
    score = round(row["match_probability"], 6)
    return Suggestion(score, one, other, tuple(agrees), tuple(alike), tuple(differs))
