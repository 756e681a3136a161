"""Change events of Salesforce: what each means for the records that it names.

The header of an event says which fields changed: as names over CometD, and as bitmaps over the
field list of the schema in Avro. A field that did not change arrives as null there, so null means
"cleared" only where the header says so. Gap events have no data: the record must be read again, or
the whole object where events overflowed.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from replicas.crm.crm import RecordKey, Sighting
from replicas.crm.errors import CrmAnswerInvalid
from replicas.crm.mapping import ObjectMapping
from replicas.crm.salesforce.settings import SalesforceSettings

SchemaFields: TypeAlias = Sequence[Any]
"""The fields of an event's schema in order: a name, or a compound field's name and its fields."""

_ID_LENGTHS: Final = (15, 18)


def changed_names(changed: Sequence[str], schema: SchemaFields) -> list[str]:
    """Return the names of fields that bitmaps or names stand for.

    ``0x0E`` has a bit for each field of the schema, the lowest one for the first; ``4-0x03`` is
    about the fields of the compound field at place 4.
    """
    names: list[str] = []
    for one in changed:
        place, dash, bits = one.rpartition("-")
        if not bits.startswith("0x"):
            names.append(one)
            continue
        fields, prefix = schema, ""
        if dash:
            compound = schema[int(place)]
            prefix, fields = f"{compound[0]}.", compound[1]
        number = int(bits, 16)
        for position, field in enumerate(fields):
            if number >> position & 1:
                names.append(prefix + (field if isinstance(field, str) else field[0]))
    return names


def sightings_of(
    settings: SalesforceSettings, payload: Mapping[str, Any], schema: SchemaFields = ()
) -> tuple[list[Sighting], str]:
    """Return what an event means, and the object of which events were lost, if any.

    Raises CrmAnswerInvalid for what is no change event.
    """
    header = payload.get("ChangeEventHeader")
    if not isinstance(header, dict):
        raise CrmAnswerInvalid("a change event has no header")
    name, kind = str(header.get("entityName")), str(header.get("changeType"))
    mapped = settings.mapping.by_name.get(name)
    if mapped is None:
        return [], ""
    ids = [str(one) for one in header.get("recordIds") or ()]
    if kind == "GAP_OVERFLOW" or any(len(one) not in _ID_LENGTHS or "*" in one for one in ids):
        return [], name
    at_ms = int(header.get("commitTimestamp") or 0)
    is_own = f"client={settings.tag}" in str(header.get("changeOrigin", "")).split(";")
    keys = [RecordKey(name, one) for one in ids]
    if kind == "CREATE":
        values = {**dict.fromkeys((mapped.key, *mapped.properties)), **_flat(payload, mapped)}
        return [Sighting("created", key, at_ms, values) for key in keys], ""
    if kind == "UPDATE":
        values = _changed_values(payload, header, mapped, schema)
        return [Sighting("change", key, at_ms, values, is_own=is_own) for key in keys], ""
    # DELETE too: only the record in the recycle bin tells whether it was merged, and into which.
    return [Sighting("unclear", key, at_ms) for key in keys], ""


def _changed_values(
    payload: Mapping[str, Any],
    header: Mapping[str, Any],
    mapped: ObjectMapping,
    schema: SchemaFields,
) -> dict[str, Any]:
    flat = _flat(payload, mapped)
    changed = set(_plain(changed_names(header.get("changedFields") or (), schema)))
    nulled = set(_plain(changed_names(header.get("nulledFields") or (), schema)))
    values: dict[str, Any] = {}
    for name in mapped.properties:
        if name in nulled:
            values[name] = None
        elif name in changed and flat.get(name) is not None:
            values[name] = flat[name]
    return values


def _plain(names: Sequence[str]) -> list[str]:
    """Return names of fields as records have them: Name.FirstName is FirstName."""
    return [_property_of(*name.split(".", 1)) if "." in name else name for name in names]


def _property_of(compound: str, part: str) -> str:
    return compound.removesuffix("Address") + part if compound.endswith("Address") else part


def _flat(payload: Mapping[str, Any], mapped: ObjectMapping) -> dict[str, Any]:
    """Return the mapped fields of an event; parts of compound fields are fields of their own."""
    flat: dict[str, Any] = {}
    for name, value in payload.items():
        if isinstance(value, dict):
            flat.update({_property_of(name, part): one for part, one in value.items()})
        else:
            flat[name] = value
    wanted = {mapped.key, *mapped.properties}
    return {name: value for name, value in flat.items() if name in wanted}
