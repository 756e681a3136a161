"""Change events in Avro, as the Pub/Sub API has them: with bitmaps over a schema's fields."""

import hashlib
import io
import json
from typing import Any

import fastavro

_HEADER = {
    "type": "record", "name": "ChangeEventHeader", "fields": [
        {"name": "entityName", "type": "string"},
        {"name": "recordIds", "type": {"type": "array", "items": "string"}},
        {"name": "changeType", "type": {"type": "enum", "name": "ChangeType", "symbols": [
            "CREATE", "UPDATE", "DELETE", "UNDELETE", "GAP_CREATE", "GAP_UPDATE", "GAP_DELETE",
            "GAP_UNDELETE", "GAP_OVERFLOW"]}},
        {"name": "changeOrigin", "type": "string"},
        {"name": "transactionKey", "type": "string"},
        {"name": "sequenceNumber", "type": "int"},
        {"name": "commitTimestamp", "type": "long"},
        {"name": "commitNumber", "type": "long"},
        {"name": "commitUser", "type": "string"},
        {"name": "nulledFields", "type": {"type": "array", "items": "string"}},
        {"name": "diffFields", "type": {"type": "array", "items": "string"}},
        {"name": "changedFields", "type": {"type": "array", "items": "string"}},
    ],
}  # fmt: skip
_NAME = {
    "type": "record", "name": "Switchable_PersonName",
    "fields": [{"name": one, "type": ["null", "string"]} for one in
               ("Salutation", "FirstName", "LastName")],
}  # fmt: skip
_TYPES = {"Score__c": "double", "Vip__c": "boolean"}
_PLAIN = (
    "OwnerId", "AccountId", "Email", "Phone", "Title", "Birthdate", "Score__c", "Vip__c",
    "Crdtstore_Id__c", "LastModifiedDate",
)  # fmt: skip


class EventSchema:
    """The schema of the change events of one object; ``more`` are fields that were added to it."""

    def __init__(self, name: str, more: tuple[str, ...] = ()) -> None:
        fields: list[Any] = [
            {"name": "ChangeEventHeader", "type": _HEADER},
            *({"name": one, "type": ["null", "string"]} for one in more),
            {"name": "Name", "type": ["null", _NAME]},
            *({"name": one, "type": ["null", _TYPES.get(one, "string")]} for one in _PLAIN),
        ]
        raw = {"type": "record", "name": f"{name}ChangeEvent", "fields": fields}
        self.json = json.dumps(raw)
        self.id = hashlib.sha256(self.json.encode()).hexdigest()[:22]
        self._names = [field["name"] for field in fields]
        self._parsed = fastavro.parse_schema(raw)

    def encode(self, payload: dict[str, Any]) -> bytes:
        """Return an event in Avro, with bitmaps in its header instead of names."""
        header = dict(payload["ChangeEventHeader"])
        for name in ("changedFields", "nulledFields", "diffFields"):
            header[name] = self._bitmaps(header[name])
        record = {name: payload.get(name) for name in self._names}
        record["ChangeEventHeader"] = header
        if record["Name"] is not None:
            empty = dict.fromkeys(("Salutation", "FirstName", "LastName"))
            record["Name"] = {**empty, **record["Name"]}
        out = io.BytesIO()
        fastavro.schemaless_writer(out, self._parsed, record)
        return out.getvalue()

    def _bitmaps(self, names: list[str]) -> list[str]:
        top, nested = 0, 0
        for name in names:
            compound, dot, part = name.partition(".")
            if dot:
                nested |= 1 << ["Salutation", "FirstName", "LastName"].index(part)
            else:
                top |= 1 << self._names.index(compound)
        place = self._names.index("Name")
        return [*([f"0x{top:X}"] if top else []), *([f"{place}-0x{nested:02X}"] if nested else [])]
