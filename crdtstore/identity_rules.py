"""Identity rules: which profiles are of one person, as data; and the fields that identity uses.

    [identity]
    phone_region = "DE"                         # for numbers without a country code
    priority = ["user_id", "email"]             # the other types follow, by name
    limit = 5                                   # values of a type that one person may have
    blocked_values = ["test@example.com"]       # a value, or type:value
    blocked_patterns = ["phone:.*555.*"]        # a regular expression for the whole type:value
    profiles_max = 100
    identifiers_max = 1000

    [identity.types.device_id]
    limit = 10
    window_days = 30                            # so many in any 30 days; without it, ever

What stands there is laid over the defaults: those of Segment Unify, its blocked values, limits and
priorities, with senders that nobody reads and telephone numbers of nothing but zeros.
``crdtstore.model.persons`` says what the rules do.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from crdtstore import limits
from crdtstore.errors import SchemaError
from crdtstore.toml_tables import check_keys, checked_table

IDENTIFIERS: Final = "identifiers"
"""The set field that holds a profile's identifiers, each as ``type:value``."""

MATCH: Final = "identity.match"
"""The set field with the ids of profiles that a steward said are of the same person."""

NOT_MATCH: Final = "identity.not_match"
"""The set field with the ids of profiles that a steward said are of another person."""

IGNORED: Final = "identity.ignored"
"""The set field with the candidates of a profile that a steward left out."""

PIN_PREFIX: Final = "identity.pin."
"""What comes before a field's name in that of the register with the value pinned for it."""

RESERVED_PREFIX: Final = "identity."
"""What the names of all fields of stewards begin with; golden records do not show them."""

RESERVED_KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {IDENTIFIERS: "set", MATCH: "set", NOT_MATCH: "set", IGNORED: "set"}
)
"""The fields that identity uses, and their kinds in every schema."""

_BLOCKED_VALUES: Final = ("-1", "anonymous", "nan", "none", "null", "undefined", "unknown")
_BLOCKED_PATTERNS: Final = (
    r"[^:]*:[0-]*",
    r"phone:\+[0-9]{1,3}0{5,}",
    r"email:(do-?not-?reply|no-?reply|mailer-daemon|postmaster)@.*",
)

_TYPE_NAME: Final = re.compile(r"[a-z][a-z0-9_.-]{0,31}")
_REGION: Final = re.compile(r"([A-Z]{2})?")


@dataclass(frozen=True, slots=True)
class TypeRules:
    """How many values of a type one person may have: ``limit`` ever, or in any ``window_days``."""

    limit: int
    window_days: int = 0

    def __post_init__(self) -> None:
        _check_number("limit", self.limit, 1, limits.PERSON_IDENTIFIERS_MAX)
        _check_number("window_days", self.window_days, 0, limits.DECAY_DAYS_MAX)


@dataclass(frozen=True, slots=True)
class IdentityRules:
    """The rules of one space; what a caller leaves out is as Segment Unify has it.

    ``types`` are laid over the defaults, type by type; ``limit`` is that of all other types.
    Blocked values and patterns, compared without regard to case, are added to the defaults unless
    ``blocks_defaults`` is false. ``profiles_max`` and ``identifiers_max`` cap one person. Raises
    SchemaError.
    """

    priority: tuple[str, ...] = ("user_id", "email")
    types: Mapping[str, TypeRules] = field(default_factory=dict, hash=False)
    limit: int = 5
    blocked_values: tuple[str, ...] = ()
    blocked_patterns: tuple[str, ...] = ()
    blocks_defaults: bool = True
    profiles_max: int = 100
    identifiers_max: int = limits.PERSON_IDENTIFIERS_MAX
    phone_region: str = ""

    def __post_init__(self) -> None:
        for name in ("priority", "blocked_values", "blocked_patterns"):
            object.__setattr__(self, name, _texts(name, getattr(self, name)))
        for kind in self.priority:
            check_type_name(kind, "identity: priority")
        if not isinstance(self.types, Mapping):
            raise SchemaError("identity: types maps types of identifiers to their rules")
        for kind, rules in self.types.items():
            check_type_name(kind, "identity: types")
            if not isinstance(rules, TypeRules):
                raise SchemaError(f"identity: types.{kind} is not a TypeRules")
        object.__setattr__(self, "types", MappingProxyType({"user_id": TypeRules(1), **self.types}))
        for pattern in self.blocked_patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise SchemaError(
                    f"identity: blocked_patterns: {pattern!r} is no regular expression: {error}"
                ) from None
        if type(self.blocks_defaults) is not bool:
            raise SchemaError("identity: blocks_defaults is true or false")
        _check_number("limit", self.limit, 1, limits.PERSON_IDENTIFIERS_MAX)
        _check_number("profiles_max", self.profiles_max, 1, limits.PERSON_PROFILES_MAX)
        _check_number("identifiers_max", self.identifiers_max, 1, limits.PERSON_IDENTIFIERS_MAX)
        if type(self.phone_region) is not str or not _REGION.fullmatch(self.phone_region):
            raise SchemaError(
                f"identity: phone_region is two capital letters, as DE, not {self.phone_region!r}"
            )

    def type_rules(self, kind: str) -> TypeRules:
        """Return the rules of a type of identifiers."""
        rules = self.types.get(kind)
        return TypeRules(self.limit) if rules is None else rules

    def rank(self, identifier: str) -> tuple[int, str]:
        """Return the priority of an identifier's type: the lesser, the higher."""
        kind = type_of(identifier)
        if kind in self.priority:
            return self.priority.index(kind), kind
        return len(self.priority), kind

    def is_blocked(self, identifier: str) -> bool:
        """Say whether an identifier says nothing about who a person is."""
        text = identifier.lower()
        values = (*self.blocked_values, *(_BLOCKED_VALUES if self.blocks_defaults else ()))
        if text in values or text.partition(":")[2] in values:
            return True
        pattern = _compiled(self.blocked_patterns, self.blocks_defaults)
        return pattern is not None and pattern.fullmatch(text) is not None

    @property
    def content(self) -> dict[str, Any]:
        """The meaning of the rules as JSON: equal for rules that decide alike."""
        content = {each.name: getattr(self, each.name) for each in fields(self)}
        for name in ("blocked_values", "blocked_patterns"):
            content[name] = sorted(content[name])
        content["types"] = {
            kind: [rules.limit, rules.window_days] for kind, rules in self.types.items()
        }
        return content

    def __reduce__(self) -> tuple[Any, ...]:
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return _remade, ({**values, "types": dict(self.types)},)


def type_of(identifier: str) -> str:
    """Return the type of an identifier."""
    return identifier.partition(":")[0]


def check_type_name(kind: object, where: str) -> None:
    """Check the name of a type of identifiers; raises SchemaError, which says where."""
    if not is_type_name(kind):
        raise SchemaError(
            f"{where}: a type has small letters, digits, '_', '.' and '-', 32 at most, and begins "
            f"with a letter, unlike {kind!r}"
        )


def is_type_name(kind: object) -> bool:
    """Say whether this may be the type of an identifier."""
    return type(kind) is str and _TYPE_NAME.fullmatch(kind) is not None


def identity_rules_of(table: dict[str, Any]) -> IdentityRules:
    """Return the rules that the table ``[identity]`` describes; raises SchemaError."""
    check_keys(table, tuple(each.name for each in fields(IdentityRules)), "identity")
    types = {}
    for kind, body in checked_table(table.get("types", {}), "identity: types").items():
        where = f"identity: types.{kind}"
        numbers = checked_table(body, where)
        check_keys(numbers, ("limit", "window_days"), where)
        if "limit" not in numbers:
            raise SchemaError(f"{where}: limit is missing")
        types[kind] = TypeRules(**numbers)
    return IdentityRules(**{**table, "types": types})


def _remade(values: dict[str, Any]) -> IdentityRules:
    return IdentityRules(**values)


@lru_cache(maxsize=64)
def _compiled(patterns: tuple[str, ...], with_defaults: bool) -> re.Pattern[str] | None:
    wanted = (*patterns, *(_BLOCKED_PATTERNS if with_defaults else ()))
    if not wanted:
        return None
    return re.compile("|".join(f"(?:{pattern})" for pattern in wanted), re.IGNORECASE)


def _texts(name: str, texts: Iterable[str]) -> tuple[str, ...]:
    if isinstance(texts, str | Mapping) or not isinstance(texts, Iterable):
        raise SchemaError(f"identity: {name} is a list of texts, not {texts!r}")
    found = tuple(texts)
    if not all(type(text) is str and text for text in found):
        raise SchemaError(f"identity: {name} is a list of texts, not {texts!r}")
    if name != "priority":
        return tuple(text.lower() if name == "blocked_values" else text for text in found)
    if len(set(found)) != len(found):
        raise SchemaError("identity: priority names a type twice")
    return found


def _check_number(name: str, value: object, least: int, most: int) -> None:
    if type(value) is not int or not least <= value <= most:
        raise SchemaError(
            f"identity: {name} is a whole number from {least:,} to {most:,}, not {value!r}"
        )
