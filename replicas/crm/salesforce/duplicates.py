"""Looking before making: records that exist already under an identifier of a new one.

Salesforce knows no unique e-mail address. A record that somebody made a moment ago, and that we
have not read yet, would get a double. So identifiers of records to be made are looked up first.
"""

from collections.abc import Sequence
from typing import Final

from replicas.crm.conversation import Conversation, Request, member
from replicas.crm.crm import Edit, Outcome
from replicas.crm.mapping import ObjectMapping
from replicas.crm.salesforce.answers import check
from replicas.crm.salesforce.settings import SalesforceSettings

_VALUES_PER_QUERY: Final = 100


def doubles(settings: SalesforceSettings, edits: Sequence[Edit]) -> Conversation[list[Outcome]]:
    """Return conflicts for those edits whose record would be a double of one that exists."""
    found: dict[int, Outcome] = {}
    for mapped in settings.mapping.objects:
        new = [e for e in edits if e.object == mapped.name and not (e.record_id or e.is_deletion)]
        for field in mapped.fields:
            if field.identifier:
                named = [e for e in new if e.values.get(field.property_name) and id(e) not in found]
                for at in range(0, len(named), _VALUES_PER_QUERY):
                    part = named[at : at + _VALUES_PER_QUERY]
                    existing = yield from _existing(settings, mapped, field.property_name, part)
                    for edit in part:
                        value = str(edit.values[field.property_name]).lower()
                        ids = [i for i, key in existing.get(value, ()) if key != edit.profile_id]
                        if ids:
                            found[id(edit)] = _conflict(edit, field.property_name, ids)
    return list(found.values())


def _existing(
    settings: SalesforceSettings, mapped: ObjectMapping, name: str, edits: Sequence[Edit]
) -> Conversation[dict[str, list[tuple[str, str]]]]:
    """Return ids and keys of the records that have one of the edits' values in a property."""
    values = ", ".join("'" + quoted(str(edit.values[name])) + "'" for edit in edits)
    text = f"SELECT Id, {mapped.key}, {name} FROM {mapped.name} WHERE {name} IN ({values})"
    response = yield Request("GET", f"{settings.root}/query", query={"q": text})
    check(response, "looking for doubles")
    existing: dict[str, list[tuple[str, str]]] = {}
    for record in member(response.json(), "records", list):
        pair = str(record["Id"]), str(record.get(mapped.key) or "")
        existing.setdefault(str(record.get(name)).lower(), []).append(pair)
    return existing


def _conflict(edit: Edit, name: str, ids: Sequence[str]) -> Outcome:
    text = f"a record with this {name} exists, and is read first"
    return Outcome(edit, "conflict", "", "DUPLICATES_DETECTED", text, tuple(ids))


def quoted(text: str) -> str:
    """Return a text as it stands between the quotes of a query."""
    return text.replace("\\", "\\\\").replace("'", "\\'")
