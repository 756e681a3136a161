"""Mappings: which property of a vendor's object is which field of a profile, in both directions.

A mapping is data, checked whole when the service starts: both ways must be unambiguous, so that
what goes to a vendor and comes back is the same value. The empty text and nothing are one: forms of
vendors do not tell them apart.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final

from crdtstore import Schema
from crdtstore.errors import ConfigurationError
from replicas.crm.forms import FORMS, FormError

DIRECTIONS: Final = ("both", "pull", "push")
CLEARS: Final = ("empty", "withdraw")
ERASURES: Final = ("delete", "keep")


@dataclass(frozen=True, slots=True)
class FieldMapping:
    """One field and the property in which a vendor keeps it.

    ``form`` names how the value is written: see ``replicas.crm.forms``. ``direction`` is ``both``,
    ``pull`` (the vendor's values come in, none are sent) or ``push``. ``identifier`` is the type of
    identifier that the value is, empty if none. ``clear`` says what an emptied property means:
    ``empty``, an edit as any other, so that the newest wins, or ``withdraw``, the vendor no longer
    says anything and other sources' values survive. ``values`` renames the vendor's values.
    """

    field: str
    property_name: str
    form: str = "text"
    direction: str = "both"
    identifier: str = ""
    clear: str = "empty"
    values: Mapping[str, str] = dataclasses.field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        where = f"mapping of field {self.field!r}"
        for name, value, allowed in (
            ("form", self.form, tuple(FORMS)),
            ("direction", self.direction, DIRECTIONS),
            ("clear", self.clear, CLEARS),
        ):
            if value not in allowed:
                raise ConfigurationError(f"{where}: {name} {value!r} is none of {allowed}")
        if not self.property_name:
            raise ConfigurationError(f"{where}: property is missing")
        if self.identifier and (self.form != "text" or self.values):
            raise ConfigurationError(f"{where}: an identifier is plain text")
        if self.form == "list" and self.is_pulled:
            raise ConfigurationError(f"{where}: a list is sent only: direction = 'push'")
        if self.values and self.form != "text":
            raise ConfigurationError(f"{where}: only text can be renamed by values")
        if len(set(self.values.values())) != len(self.values):
            raise ConfigurationError(f"{where}: two of the vendor's values would become one")

    @property
    def is_pulled(self) -> bool:
        """Whether the vendor's values come in."""
        return self.direction != "push"

    @property
    def is_pushed(self) -> bool:
        """Whether values are sent."""
        return self.direction != "pull"

    def holds(self, kind: str) -> bool:
        """Say whether the property can hold a field of a kind."""
        if kind in ("trait", "counter"):
            return not self.is_pulled
        if kind == "set":
            return self.form == "list"
        return kind == "register" or (kind == "consent" and self.form == "boolean")

    def from_vendor(self, raw: Any) -> Any:
        """Return the field's value for a property's; None for an empty one; raises FormError."""
        if raw is None or raw == "":
            return None
        if self.values:
            if raw not in self.values:
                raise FormError(
                    f"{self.property_name}: {raw!r} is none of the values that are mapped"
                )
            return self.values[raw]
        try:
            return FORMS[self.form].read(raw)
        except (ValueError, TypeError, OverflowError) as error:
            raise FormError(f"{self.property_name}: {raw!r} is no {self.form}: {error}") from None

    def to_vendor(self, value: Any) -> Any:
        """Return the property's value for a field's; None for an empty one; raises FormError."""
        if value is None or value == "" or value == []:
            return None
        if self.values:
            back = {theirs: ours for ours, theirs in self.values.items()}
            if value not in back:
                raise FormError(f"{self.field}: {value!r} has no value at the vendor")
            return back[value]
        try:
            return FORMS[self.form].write(value)
        except (ValueError, TypeError, OverflowError) as error:
            raise FormError(f"{self.field}: {value!r} is no {self.form}: {error}") from None


@dataclass(frozen=True)
class ObjectMapping:
    """One object of a vendor: a kind of record of which each is one person's.

    ``key`` is the property, unique and of the vendor's kind for foreign ids, that holds the profile
    id. ``creates`` makes a record for each person who has none, once the properties in ``required``
    have values. ``erasure`` says whether a record is deleted when its profile is erased.
    ``identifier`` is the type of identifier that the record's own id is. ``parent`` is a property
    by which rows are sorted before they are sent, so that rows of one parent do not wait for each
    other's locks.
    """

    name: str
    key: str
    fields: tuple[FieldMapping, ...]
    identifier: str = ""
    creates: bool = True
    required: tuple[str, ...] = ()
    erasure: str = "delete"
    parent: str = ""

    def __post_init__(self) -> None:
        where = f"object {self.name!r}"
        if not self.name or not self.key:
            raise ConfigurationError(f"{where}: name and key are needed")
        if self.erasure not in ERASURES:
            raise ConfigurationError(f"{where}: erasure {self.erasure!r} is none of {ERASURES}")
        if not self.fields:
            raise ConfigurationError(f"{where}: no field is mapped")
        for what, names in (
            ("field", [each.field for each in self.fields]),
            ("property", [each.property_name for each in self.fields]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ConfigurationError(f"{where}: {what} {twice[0]!r} is mapped twice")
        if self.key in self.properties:
            raise ConfigurationError(f"{where}: the key {self.key!r} is mapped to a field")
        for name in self.required:
            if name not in self.properties or not self.by_property[name].is_pushed:
                raise ConfigurationError(f"{where}: required {name!r} is not mapped to be pushed")

    @cached_property
    def properties(self) -> tuple[str, ...]:
        """The names of all mapped properties."""
        return tuple(each.property_name for each in self.fields)

    @cached_property
    def by_property(self) -> Mapping[str, FieldMapping]:
        """The mapped fields by the names of their properties."""
        return {each.property_name: each for each in self.fields}


@dataclass(frozen=True)
class CrmMapping:
    """All that is mapped between the store and one vendor."""

    objects: tuple[ObjectMapping, ...]

    def __post_init__(self) -> None:
        if not self.objects:
            raise ConfigurationError("a CRM needs at least one object")
        names = [each.name for each in self.objects]
        if len(set(names)) != len(names):
            raise ConfigurationError("an object is mapped twice")
        if sum(each.creates for each in self.objects) > 1:
            raise ConfigurationError("more than one object has creates: a person would get several")

    @cached_property
    def by_name(self) -> Mapping[str, ObjectMapping]:
        """The objects by name."""
        return MappingProxyType({each.name: each for each in self.objects})

    @property
    def created(self) -> ObjectMapping | None:
        """The object of which records are made, None if of none."""
        return next((each for each in self.objects if each.creates), None)

    def check_against(self, schema: Schema) -> None:
        """Refuse fields whose kind in the schema a CRM cannot hold; raises ConfigurationError."""
        for each in self.objects:
            for mapped in each.fields:
                kind = schema.kind_of(mapped.field)
                if kind is not None and not mapped.holds(kind):
                    raise ConfigurationError(
                        f"object {each.name!r}: field {mapped.field!r} is a {kind} in the schema; "
                        "a property holds a register, a consent in the form boolean, and if it is "
                        "only pushed, a trait, a counter, or a set in the form list"
                    )


_OBJECT_KEYS: Final = (
    "name", "key", "identifier", "creates", "required", "erasure", "parent", "fields",
)  # fmt: skip
_FIELD_KEYS: Final = ("property", "form", "direction", "identifier", "clear", "values")


def mapping_of(tables: object, *, identifier: str) -> CrmMapping:
    """Return the mapping that the ``objects`` of a configuration describe.

    ``identifier`` is the type of a record's own id where the table names none. Raises
    ConfigurationError, which names the place.
    """
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ConfigurationError("objects is a list of tables: [[salesforce.objects]]")
    return CrmMapping(tuple(_object_of(table, identifier) for table in tables))


def _object_of(table: dict[str, Any], identifier: str) -> ObjectMapping:
    where = f"object {table.get('name')!r}"
    _check_keys(table, _OBJECT_KEYS, where)
    options = _without(table, "fields")
    options.setdefault("identifier", identifier)
    fields = table.get("fields", {})
    if not isinstance(fields, dict) or not all(isinstance(body, dict) for body in fields.values()):
        raise ConfigurationError(f"{where}: fields is a table with a table for each field")
    for name, body in fields.items():
        _check_keys(body, _FIELD_KEYS, f"{where}: field {name!r}")
    mapped = tuple(
        FieldMapping(name, body.get("property", ""), **_without(body, "property"))
        for name, body in fields.items()
    )
    options["required"] = tuple(options.get("required", ()))
    return ObjectMapping(**{"name": "", "key": "", **options}, fields=mapped)


def _without(table: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in table.items() if name != key}


_KINDS: Final[dict[str, type]] = {"creates": bool, "required": list, "fields": dict, "values": dict}


def _check_keys(table: dict[str, Any], allowed: tuple[str, ...], where: str) -> None:
    for key, value in table.items():
        if key not in allowed:
            raise ConfigurationError(f"{where}: {key!r} is unknown; it takes {', '.join(allowed)}")
        kind = _KINDS.get(key, str)
        if type(value) is not kind:
            raise ConfigurationError(f"{where}: {key} is a {kind.__name__}, not {value!r}")
        if key == "required" and not all(type(name) is str for name in table[key]):
            raise ConfigurationError(f"{where}: required is a list of texts")
        if key == "values" and not all(type(name) is str for name in table[key].values()):
            raise ConfigurationError(f"{where}: values are texts")
