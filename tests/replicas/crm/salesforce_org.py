"""A Salesforce org in memory: records, their rules, and the change events that they make."""

import itertools
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from crdtstore import identifier

PREFIXES = {"Contact": "003", "Lead": "00Q"}
TEXTS = {"FirstName": 40, "LastName": 80, "Email": 80, "Phone": 40, "Title": 128, "AccountId": 18}
KEY = "Crdtstore_Id__c"
COLUMNS = {
    "Id", "IsDeleted", "MasterRecordId", "SystemModstamp", "LastModifiedById", KEY,
    "Birthdate", "Score__c", "Vip__c", *TEXTS,
}  # fmt: skip
WRITABLE = {*TEXTS, KEY, "Birthdate", "Score__c", "Vip__c"}
_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")


class RowError(Exception):
    """A row is refused: code, message, fields."""

    def __init__(self, code: str, message: str, *fields: str) -> None:
        super().__init__(code)
        self.result = {"statusCode": code, "message": message, "fields": list(fields)}


class Org:
    """The records of an org by type and id. ``events`` are (replay id, payload)."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in PREFIXES}
        self.events: list[tuple[int, dict[str, Any]]] = []
        self.first_replay = 1
        self.skew = timedelta()
        self._numbers = itertools.count(1)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.skew

    def upsert(self, name: str, key: str, values: dict[str, Any], client: str) -> tuple[str, bool]:
        """Write by external id; return the id, and whether the record was made."""
        found = [
            row
            for row in self.tables[name].values()
            if row.get(KEY) == key and not row["IsDeleted"]
        ]
        assert len(found) < 2
        if found:
            return self.update(name, found[0]["Id"], values, client), False
        return self.create(name, {**values, KEY: key}, client), True

    def create(self, name: str, values: dict[str, Any], client: str = "SfdcUi") -> str:
        """Make a record; return its id. Raises RowError."""
        self._check(name, values, "")
        if not values.get("LastName"):
            raise RowError("REQUIRED_FIELD_MISSING", "Required fields are missing", "LastName")
        plain = f"{PREFIXES[name]}{next(self._numbers):012}"
        record_id = identifier("salesforce_id", plain).partition(":")[2]
        row: dict[str, Any] = dict.fromkeys(COLUMNS)
        row.update(Id=record_id, IsDeleted=False, **values)
        self.tables[name][record_id] = row
        self._changed(name, row, "CREATE", list(values), client)
        return record_id

    def fill(self, count: int) -> None:
        """Have so many contacts, made some time ago: there are no events of them."""
        moment = (self.now() - timedelta(hours=5)).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
        for number in range(count):
            plain = f"{PREFIXES['Contact']}{next(self._numbers):012}"
            record_id = identifier("salesforce_id", plain).partition(":")[2]
            row: dict[str, Any] = dict.fromkeys(COLUMNS)
            row.update(Id=record_id, IsDeleted=False, SystemModstamp=moment, Title="CEO",
                       FirstName=f"First {number}", LastName=f"Last {number}",
                       Email=f"person{number}@example.com", Phone=f"+49 30 {number}")  # fmt: skip
            self.tables["Contact"][record_id] = row

    def update(
        self, name: str, record_id: str, values: dict[str, Any], client: str = "SfdcUi"
    ) -> str:
        """Change a record; return its id. Raises RowError."""
        row = self.living(name, record_id)
        self._check(name, values, record_id)
        changed = [field for field, value in values.items() if row.get(field) != value]
        row.update(values)
        if changed:
            self._changed(name, row, "UPDATE", changed, client)
        return str(row["Id"])

    def delete(self, name: str, record_id: str, client: str = "SfdcUi", into: str = "") -> None:
        """Put a record into the recycle bin; merged if ``into`` names another. Raises RowError."""
        row = self.living(name, record_id)
        row.update(IsDeleted=True, MasterRecordId=into or None)
        self._changed(name, row, "DELETE", [], client)

    def undelete(self, name: str, record_id: str) -> None:
        """Take a record out of the recycle bin."""
        row = self.tables[name][record_id]
        row.update(IsDeleted=False, MasterRecordId=None)
        self._changed(name, row, "UNDELETE", [], "SfdcUi")

    def merge(self, name: str, winner: str, loser: str) -> None:
        """Merge two records, as in the user interface."""
        self.delete(name, loser, into=winner)
        self.update(name, winner, {"Title": "merged"})

    def gap(self, name: str, record_id: str, kind: str) -> None:
        """Make a gap event: it says that something happened, and not what."""
        self._event(name, [record_id], kind, {}, [], [], "SfdcUi")

    def living(self, name: str, record_id: str) -> dict[str, Any]:
        """Return a record that is there; raises RowError."""
        row = self.tables[name].get(record_id)
        if row is None:
            raise RowError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
        if row["IsDeleted"]:
            raise RowError("ENTITY_IS_DELETED", "entity is deleted")
        return row

    def forget_events(self) -> None:
        """Drop all events there are, as after three days."""
        self.first_replay += len(self.events)
        self.events = []

    def _check(self, name: str, values: dict[str, Any], record_id: str) -> None:
        for field, value in values.items():
            if field not in WRITABLE:
                raise RowError("INVALID_FIELD_FOR_INSERT_UPDATE", "no such field", field)
            if value is None:
                if field == "LastName":
                    raise RowError("REQUIRED_FIELD_MISSING", "Required fields are missing", field)
                continue
            if field in TEXTS and (type(value) is not str or len(value) > TEXTS[field]):
                raise RowError("STRING_TOO_LONG", f"{field}: data value too large", field)
            if field == "Email" and not _EMAIL.fullmatch(value):
                raise RowError("INVALID_EMAIL_ADDRESS", f"invalid email address: {value}", field)
            if field == "Score__c" and type(value) not in (int, float):
                raise RowError(
                    "INVALID_TYPE_ON_FIELD_IN_RECORD", "value not of required type", field
                )
            if field == "Vip__c" and type(value) is not bool:
                raise RowError(
                    "INVALID_TYPE_ON_FIELD_IN_RECORD", "value not of required type", field
                )
        key = values.get(KEY)
        for row in self.tables[name].values() if key else ():
            if row.get(KEY) == key and row["Id"] != record_id and not row["IsDeleted"]:
                raise RowError("DUPLICATE_VALUE", f"duplicate value found: {KEY}", KEY)

    def _changed(
        self, name: str, row: dict[str, Any], kind: str, changed: list[str], client: str
    ) -> None:
        moment = self.now().replace(microsecond=0)
        row["SystemModstamp"] = moment.strftime("%Y-%m-%dT%H:%M:%S.000+0000")
        values = {field: row[field] for field in changed}
        nulled = [field for field in changed if row[field] is None]
        self._event(name, [row["Id"]], kind, values, changed, nulled, client)

    def _event(
        self,
        name: str,
        ids: list[str],
        kind: str,
        values: dict[str, Any],
        changed: list[str],
        nulled: list[str],
        client: str,
    ) -> None:
        header = {
            "entityName": name,
            "recordIds": ids,
            "changeType": kind,
            "changeOrigin": f"com/salesforce/api/rest/62.0;client={client}",
            "transactionKey": "0001",
            "sequenceNumber": 1,
            "commitTimestamp": round(self.now().timestamp() * 1000),
            "commitNumber": len(self.events) + 1,
            "commitUser": "005000000000001AAA",
            "nulledFields": nulled if kind == "UPDATE" else [],
            "diffFields": [],
            "changedFields": [*changed, "LastModifiedDate"] if kind == "UPDATE" else [],
        }
        compound = {
            field: values.pop(field) for field in ("FirstName", "LastName") if field in values
        }
        if compound:
            values = {**values, "Name": compound}
            names = [f"Name.{f}" if f in compound else f for f in header["changedFields"]]
            header["changedFields"] = names
            header["nulledFields"] = [
                f"Name.{f}" if f in compound else f for f in header["nulledFields"]
            ]
        replay = self.first_replay + len(self.events)
        self.events.append((replay, {"ChangeEventHeader": header, **values}))
