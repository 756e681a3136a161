"""Linkage rules: which fields are compared, and how, to find profiles that may be of one person.

    blocks = [["date_of_birth"], ["postcode"], ["surname", "given_name"]]
    sure = [["soc_sec_id"], ["surname", "given_name", "date_of_birth"]]
    score_min = 0.9

    [compare]
    given_name = "name"
    date_of_birth = "code"
    state = "exact"

| comparison | two values are alike                                                      |
|------------|---------------------------------------------------------------------------|
| name       | by Jaro-Winkler similarity: for words that people write in several ways   |
| code       | by edits, two at most: for numbers, dates, postcodes, telephone numbers   |
| exact      | never: they are equal or not                                              |
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from crdtstore import limits
from crdtstore.errors import SchemaError
from crdtstore.names import check_field_name
from crdtstore.toml import parse_toml
from crdtstore.toml_tables import check_keys, checked_table

COMPARISONS: Final = ("name", "code", "exact")
"""The ways in which two values of a field are compared."""

Block = tuple[str, ...]
"""Fields that two profiles must have in common, all of them."""


@dataclass(frozen=True, slots=True)
class LinkageRules:
    """What is compared. ``compare`` maps each field to one of ``COMPARISONS``.

    Only pairs that have all fields of one of the ``blocks`` in common are looked at. The likelihood
    of agreement is learnt from the pairs of some blocks, so two of them have no field in common.
    Who has all fields of one of ``sure`` in common is one person but for a few, and so are most who
    are one: it tells how many pairs to expect. ``score_min`` is the least probability of a
    suggestion. Raises SchemaError.
    """

    compare: Mapping[str, str]
    blocks: tuple[Block, ...]
    sure: tuple[Block, ...]
    score_min: float = 0.9

    def __post_init__(self) -> None:
        if not isinstance(self.compare, Mapping) or not self.compare:
            raise SchemaError("linkage: compare maps fields to comparisons")
        for name, comparison in self.compare.items():
            check_field_name(name)
            if comparison not in COMPARISONS:
                raise SchemaError(
                    f"linkage: {name} is compared as {', '.join(COMPARISONS)}, not {comparison!r}"
                )
        if len(self.compare) > limits.LINKAGE_FIELDS_MAX:
            raise SchemaError(
                f"linkage: at most {limits.LINKAGE_FIELDS_MAX} fields are compared, "
                f"not {len(self.compare)}"
            )
        object.__setattr__(self, "compare", MappingProxyType(dict(self.compare)))
        for name in ("blocks", "sure"):
            object.__setattr__(self, name, self._checked_blocks(name, getattr(self, name)))
        if not any(set(one).isdisjoint(other) for one, other in combinations(self.blocks, 2)):
            raise SchemaError("linkage: two of the blocks must have no field in common")
        if type(self.score_min) not in (int, float) or not 0 < self.score_min <= 1:
            raise SchemaError(
                f"linkage: score_min is above 0 and at most 1, not {self.score_min!r}"
            )

    def _checked_blocks(self, name: str, blocks: Iterable[Iterable[str]]) -> tuple[Block, ...]:
        is_list = isinstance(blocks, list | tuple) and bool(blocks)
        if not is_list or not all(isinstance(block, list | tuple) and block for block in blocks):
            raise SchemaError(f"linkage: {name} is a list of lists of fields, not {blocks!r}")
        for block in blocks:
            for field in block:
                if type(field) is not str or field not in self.compare:
                    raise SchemaError(f"linkage: {name} has {field!r}, which is not compared")
        return tuple(tuple(block) for block in blocks)

    @classmethod
    def from_toml(cls, text: str) -> "LinkageRules":
        """Return the rules that a TOML text describes; raises SchemaError."""
        try:
            table = parse_toml(text)
        except ValueError as error:
            raise SchemaError(f"linkage: this is not TOML: {error}") from None
        check_keys(table, ("compare", "blocks", "sure", "score_min"), "linkage")
        for name in ("compare", "blocks", "sure"):
            if name not in table:
                raise SchemaError(f"linkage: {name} is missing")
        given: dict[str, Any] = {**table, "compare": checked_table(table["compare"], "compare")}
        return cls(**given)

    @classmethod
    def load(cls, path: str | Path) -> "LinkageRules":
        """Return the rules in a TOML file; raises SchemaError, which names the file."""
        try:
            return cls.from_toml(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise SchemaError(f"{path}: cannot be read: {error.strerror}") from error
        except UnicodeDecodeError:
            raise SchemaError(f"{path}: is not UTF-8 text") from None
        except SchemaError as error:
            raise SchemaError(f"{path}: {error}") from None
