"""Schema: the fields of a space, their kinds, and how the survivor among sources is chosen.

A schema is a plain value. It may be written in Python or in TOML:

    sources = ["salesforce", "cdp", "steward"]

    [fields.email]
    policy = "source_priority"
    sources = ["salesforce", "cdp"]

    [fields."address.city"]

    [fields.title]
    policy = "trust_decay"
    trust.salesforce = { start = 90, floor = 40, decay_days = 365 }
    default = { start = 50, floor = 10, decay_days = 90 }

    [fields.visits]
    kind = "counter"
    indexed = true

    [groups.address]
    fields = ["address.city", "address.street"]
    policy = "recency"

    [identity]
    phone_region = "DE"
    types.email = { limit = 3 }

A field that no schema names takes any one kind, and as a register survives by recency. Replicas
with different schemas converge all the same: a schema decides how cells are read, never how they
join. What stands under ``[identity]`` is told in ``crdtstore.identity_rules``.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from crdtstore import limits
from crdtstore.errors import SchemaError, UnknownSource
from crdtstore.identity_rules import (
    RESERVED_KINDS,
    RESERVED_PREFIX,
    IdentityRules,
    identity_rules_of,
)
from crdtstore.names import check_field_name, check_source_name
from crdtstore.policy import (
    Policy,
    Trust,
    check_schema_name,
    custom,
    distinct_names,
    fill_only,
    frequency,
    longest,
    maximum,
    minimum,
    oldest,
    recency,
    source_priority,
    trust_decay,
)
from crdtstore.toml import parse_toml
from crdtstore.toml_tables import check_keys, checked_table

__all__ = [
    "GROUP_POLICIES",
    "KINDS",
    "Field",
    "Group",
    "IdentityRules",
    "Policy",
    "Schema",
    "Trust",
    "custom",
    "fill_only",
    "frequency",
    "longest",
    "maximum",
    "minimum",
    "oldest",
    "recency",
    "source_priority",
    "trust_decay",
]

KINDS: Final = ("register", "counter", "trait", "set", "consent", "text", "list")
"""What a field may be."""

GROUP_POLICIES: Final = (
    "recency", "source_priority", "frequency", "oldest", "trust_decay", "fill_only",
)  # fmt: skip
"""The policies that can choose a source for a whole group: those that do not order values.

A policy of your own can, too.
"""


_RECENCY: Final = recency()
_DEFAULT_IDENTITY: Final = IdentityRules()


@dataclass(frozen=True, slots=True)
class Field:
    """A declared field: its kind, and for a register its policy (None: recency, or its group's).

    ``indexed`` keeps an index of its surviving values, for queries; it is this replica's own
    choice, and no part of the schema's digest.
    """

    kind: str = "register"
    policy: Policy | None = None
    indexed: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise SchemaError(f"{self.kind!r} is no kind of field; there are {', '.join(KINDS)}")
        if self.policy is not None and not isinstance(self.policy, Policy):
            raise SchemaError(f"a policy is a Policy, such as recency(), not {self.policy!r}")
        if self.policy is not None and self.kind != "register":
            raise SchemaError(
                f"a {self.kind} takes no policy: only registers have candidates to choose from"
            )
        if type(self.indexed) is not bool:
            raise SchemaError(f"indexed is true or false, not {self.indexed!r}")


@dataclass(frozen=True, slots=True)
class Group:
    """Registers that survive together: all values of one source, or none of it."""

    fields: tuple[str, ...]
    policy: Policy = _RECENCY

    def __post_init__(self) -> None:
        object.__setattr__(self, "fields", distinct_names(self.fields, check_field_name, "fields"))
        if len(self.fields) < 2:
            raise SchemaError("a group has at least two fields")
        if not isinstance(self.policy, Policy):
            raise SchemaError(f"a policy is a Policy, such as recency(), not {self.policy!r}")
        if self.policy.choose is None and self.policy.name not in GROUP_POLICIES:
            raise SchemaError(
                f"the policy {self.policy.name!r} orders values, and a group has many; "
                f"a group takes {', '.join(GROUP_POLICIES)}"
            )


@dataclass(frozen=True)
class Schema:
    """The declared fields, sources and groups of a space. ``sources`` None allows any source.

    ``identity`` are the rules by which profiles are found to be of one person. A member of a group
    that ``fields`` does not name is a register. Raises SchemaError, which says what is wrong,
    where, and what is allowed.
    """

    fields: Mapping[str, Field] = field(default_factory=dict, hash=False)
    sources: tuple[str, ...] | None = None
    groups: Mapping[str, Group] = field(default_factory=dict, hash=False)
    identity: IdentityRules = _DEFAULT_IDENTITY

    def __post_init__(self) -> None:
        for name, kind in (("fields", Field), ("groups", Group)):
            members = getattr(self, name)
            if not isinstance(members, Mapping):
                raise SchemaError(f"schema: {name} maps names to a {kind.__name__} each")
            for key, member in members.items():
                check_schema_name(key, check_field_name, f"schema: {name}")
                if not isinstance(member, kind):
                    raise SchemaError(f"schema: {name}.{key}: is not a {kind.__name__}")
            object.__setattr__(self, name, MappingProxyType(dict(members)))
        if self.sources is not None:
            declared = distinct_names(self.sources, check_source_name, "schema: sources")
            object.__setattr__(self, "sources", declared)
            if not self.sources:
                raise SchemaError("schema: sources names none; leave it out to allow any source")
        if not isinstance(self.identity, IdentityRules):
            raise SchemaError(f"schema: identity is an IdentityRules, not {self.identity!r}")
        self._check_reserved()
        self._check_indexed()
        self._check_groups()
        self._check_policies()

    @classmethod
    def from_toml(cls, text: str) -> "Schema":
        """Return the schema that a TOML text describes; raises SchemaError."""
        try:
            table = parse_toml(text)
        except ValueError as error:
            raise SchemaError(f"schema: this is not TOML: {error}") from None
        return _schema_of(table)

    @classmethod
    def load(cls, path: str | Path) -> "Schema":
        """Return the schema in a TOML file; raises SchemaError, which names the file."""
        try:
            return cls.from_toml(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise SchemaError(f"{path}: cannot be read: {error.strerror}") from error
        except UnicodeDecodeError:
            raise SchemaError(f"{path}: is not UTF-8 text") from None
        except SchemaError as error:
            raise SchemaError(f"{path}: {error}") from None

    @cached_property
    def digest(self) -> str:
        """32 hex digits: the same for schemas that mean the same, however they were written."""
        kinds = {name: self.kind_of(name) for name in [*self.fields, *self.group_of_field]}
        content: dict[str, Any] = {
            "fields": {
                name: [kind, None if name in self.group_of_field else self.policy_of(name).content]
                for name, kind in kinds.items()
            },
            "sources": None if self.sources is None else sorted(self.sources),
            "groups": {
                name: [sorted(group.fields), group.policy.content]
                for name, group in self.groups.items()
            },
        }
        if self.identity != _DEFAULT_IDENTITY:
            content["identity"] = self.identity.content
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
        return hashlib.blake2b(canonical, digest_size=16, person=b"crdtstore.schema").hexdigest()

    @cached_property
    def group_of_field(self) -> Mapping[str, str]:
        """The name of the group to which each grouped field belongs."""
        return MappingProxyType(
            {member: name for name, group in self.groups.items() for member in group.fields}
        )

    def kind_of(self, field: str) -> str | None:
        """Return the declared kind of a field; None if the schema does not name it."""
        declared = self.fields.get(field)
        if declared is not None:
            return declared.kind
        return "register" if field in self.group_of_field else RESERVED_KINDS.get(field)

    def policy_of(self, field: str) -> Policy:
        """Return the policy by which a register survives: its own, its group's, or recency."""
        group = self.group_of_field.get(field)
        if group is not None:
            return self.groups[group].policy
        declared = self.fields.get(field)
        return _RECENCY if declared is None or declared.policy is None else declared.policy

    def check_source(self, source: str) -> None:
        """Raise UnknownSource if the schema declares its sources and this is none of them."""
        if self.sources is not None and source not in self.sources:
            raise UnknownSource(
                f"{source!r} is no source of this schema; declared are {', '.join(self.sources)}"
            )

    def __reduce__(self) -> tuple[Any, ...]:
        return Schema, (dict(self.fields), self.sources, dict(self.groups), self.identity)

    def _check_reserved(self) -> None:
        for name, kind in RESERVED_KINDS.items():
            declared = self.kind_of(name)
            if declared != kind:
                raise SchemaError(f"schema: field {name!r} is a {kind}, not a {declared}")

    def _check_indexed(self) -> None:
        indexed = [name for name, declared in self.fields.items() if declared.indexed]
        if len(indexed) > limits.INDEXED_FIELDS_MAX:
            raise SchemaError(
                f"schema: {len(indexed)} fields are indexed; the limit is "
                f"{limits.INDEXED_FIELDS_MAX}, for each makes every checkpoint slower"
            )
        for name in indexed:
            if name.startswith(RESERVED_PREFIX):
                raise SchemaError(f"schema: field {name!r} is in no golden record to be indexed")
            if self.fields[name].kind in ("text", "list"):
                raise SchemaError(
                    f"schema: field {name!r} is a {self.fields[name].kind}, which has no index"
                )

    def _check_groups(self) -> None:
        homes: dict[str, str] = {}
        for name, group in self.groups.items():
            for member in group.fields:
                where = f"schema: groups.{name}: field {member!r}"
                declared = self.fields.get(member, Field())
                if member in homes:
                    raise SchemaError(f"{where} is in group {homes[member]!r} already")
                if declared.kind != "register":
                    raise SchemaError(f"{where} is a {declared.kind}; a group holds registers")
                if declared.policy is not None:
                    raise SchemaError(f"{where} has a policy of its own; the group's decides")
                homes[member] = name

    def _check_policies(self) -> None:
        if self.sources is None:
            return
        members: list[tuple[str, Field | Group]] = [
            *((f"fields.{name}", member) for name, member in self.fields.items()),
            *((f"groups.{name}", member) for name, member in self.groups.items()),
        ]
        for where, member in members:
            named = () if member.policy is None else (*member.policy.sources, *member.policy.trust)
            for source in named:
                if source not in self.sources:
                    raise SchemaError(
                        f"schema: {where}: the policy names the source {source!r}; "
                        f"declared are {', '.join(self.sources)}"
                    )


UNREAD: Final = Schema()
"""The schema of a store that is opened only to be copied: indexes that it has are left alone."""

_POLICY_KEYS: Final = ("policy", "sources", "trust", "default")


def _schema_of(table: dict[str, Any]) -> Schema:
    check_keys(table, ("sources", "fields", "groups", "identity"), "schema")
    return Schema(
        fields=_members(table, "fields", _field_of),
        sources=table.get("sources"),
        groups=_members(table, "groups", _group_of),
        identity=identity_rules_of(checked_table(table.get("identity", {}), "schema: identity")),
    )


def _members(
    table: dict[str, Any], name: str, member_of: Callable[[dict[str, Any]], Any]
) -> dict[str, Any]:
    """Return the fields or the groups of a table; every error says in which one it arose."""
    members = {}
    for key, body in checked_table(table.get(name, {}), f"schema: {name}").items():
        where = f"schema: {name}.{key}"
        try:
            members[key] = member_of(checked_table(body, "its body"))
        except SchemaError as error:
            raise SchemaError(f"{where}: {error}") from None
    return members


def _field_of(body: dict[str, Any]) -> Field:
    check_keys(body, ("kind", "indexed", *_POLICY_KEYS), "a field")
    kind, indexed = body.get("kind", "register"), body.get("indexed", False)
    return Field(kind=kind, policy=_policy_of(body), indexed=indexed)


def _group_of(body: dict[str, Any]) -> Group:
    check_keys(body, ("fields", *_POLICY_KEYS), "a group")
    return Group(fields=body.get("fields", ()), policy=_policy_of(body) or _RECENCY)


def _policy_of(body: dict[str, Any]) -> Policy | None:
    options = {key: body[key] for key in _POLICY_KEYS[1:] if key in body}
    if "policy" not in body:
        if options:
            raise SchemaError(f"the option {next(iter(options))!r} needs a policy that takes it")
        return None
    if "trust" in options:
        trusts = checked_table(options["trust"], "trust")
        options["trust"] = {source: _trust_of(trust) for source, trust in trusts.items()}
    if "default" in options:
        options["default"] = _trust_of(options["default"])
    return Policy(body["policy"], **options)


def _trust_of(body: object) -> Trust:
    numbers = checked_table(body, "the trust of a source")
    keys = ("start", "floor", "decay_days")
    check_keys(numbers, keys, "trust")
    for key in keys:
        if key not in numbers:
            raise SchemaError(f"trust: {key} is missing; it takes {', '.join(keys)}")
    return Trust(**numbers)
