"""Records as Salesforce's queries tell them, and what each means: from JSON, or from CSV."""

from collections.abc import Iterable
from typing import Any, Final

from replicas.crm.conversation import member
from replicas.crm.crm import RecordKey, Sighting
from replicas.crm.forms import ms_from
from replicas.crm.mapping import ObjectMapping

_MERGEABLE: Final = ("Account", "Contact", "Lead")
_SECOND_MS: Final = 1000
_TRUE: Final = (True, "true")


def columns_of(mapped: ObjectMapping) -> Iterable[str]:
    """Return what is asked of each record of an object."""
    merged = ("MasterRecordId",) if mapped.name in _MERGEABLE else ()
    return dict.fromkeys(
        ("Id", "IsDeleted", *merged, "SystemModstamp", mapped.key, *mapped.properties)
    )


def sighting_of(mapped: ObjectMapping, record: dict[str, Any]) -> Sighting:
    """Return what a record means; texts of CSV are read by the forms, as those of JSON."""
    key = RecordKey(mapped.name, member(record, "Id", str))
    at_ms = ms_from(member(record, "SystemModstamp", str))
    # The vendor cuts the time off at the second: the change was somewhere within it.
    span_ms = _SECOND_MS - 1 if at_ms % _SECOND_MS == 0 else 0
    if record.get("IsDeleted") in _TRUE:
        into = str(record.get("MasterRecordId") or "")
        return Sighting("deleted", key, at_ms, span_ms=span_ms, into=into)
    values = {name: record.get(name) for name in (mapped.key, *mapped.properties)}
    return Sighting("state", key, at_ms, values, span_ms=span_ms)
