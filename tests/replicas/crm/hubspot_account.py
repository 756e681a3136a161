"""A HubSpot account in memory: contacts with the history of their properties, and its events."""

import itertools
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

KEY = "crdtstore_id"
MODIFIED = "lastmodifieddate"
PROPERTIES = {
    "email", "firstname", "lastname", "phone", "jobtitle", "date_of_birth", "score", "vip", KEY,
    "orders_count", "orders_total", "audiences",
}  # fmt: skip


class RowError(Exception):
    """A row is refused: category and message."""

    def __init__(self, category: str, message: str, **context: list[str]) -> None:
        super().__init__(message)
        self.category, self.message, self.context = category, message, context


class Account:
    """The contacts of one account. ``tell`` is called with each event that is subscribed to."""

    def __init__(self) -> None:
        self.records: dict[str, dict[str, Any]] = {}
        self.tell: Callable[[dict[str, Any]], None] = lambda event: None
        self.portal_id, self.app_id = 62515, "54321"
        self._ids = itertools.count(101)
        self._events = itertools.count(1)
        self._last_ms = 0

    def now_ms(self) -> int:
        """Return the time, never twice the same: an account has one history."""
        self._last_ms = max(self._last_ms + 1, time.time_ns() // 1_000_000)
        return self._last_ms

    def create(self, values: dict[str, str], source: tuple[str, str] = ("CRM_UI", "1")) -> str:
        """Make a contact; return its id. Raises RowError."""
        self._check(values, "")
        record_id = str(next(self._ids))
        at_ms = self.now_ms()
        record = {"id": record_id, "created_ms": at_ms, "archived": False, "history": {}}
        self.records[record_id] = record
        self._set(record, values, source, at_ms)
        self._event("contact.creation", record_id, at_ms, changeFlag="NEW")
        return record_id

    def update(
        self, record_id: str, values: dict[str, str], source: tuple[str, str] = ("CRM_UI", "1")
    ) -> None:
        """Change a contact. Raises RowError."""
        record = self.living(record_id)
        self._check(values, record_id)
        self._set(record, values, source, self.now_ms())

    def upsert(self, key: str, values: dict[str, str], source: tuple[str, str]) -> tuple[str, bool]:
        """Write by the unique property; return the id, and whether the contact is new."""
        for record in self.records.values():
            if not record["archived"] and value_of(record, KEY) == key:
                self.update(record["id"], values, source)
                return record["id"], False
        return self.create({**values, KEY: key}, source), True

    def archive(self, record_id: str) -> None:
        """Delete a contact, as in the user interface."""
        record = self.living(record_id)
        record.update(archived=True, archived_ms=self.now_ms())
        self._event("contact.deletion", record_id, record["archived_ms"])

    def restore(self, record_id: str) -> None:
        """Take a contact back."""
        record = self.records[record_id]
        record.update(archived=False, modified_ms=self.now_ms())
        self._event("contact.restore", record_id, record["modified_ms"])

    def merge(self, primary: str, other: str) -> None:
        """Merge two contacts into the first one."""
        at_ms = self.now_ms()
        self.living(other).update(archived=True, archived_ms=at_ms)
        self.living(primary)["modified_ms"] = at_ms
        self._event("contact.merge", primary, at_ms, primaryObjectId=int(primary),
                    mergedObjectIds=[int(other)], newObjectId=int(primary),
                    numberOfPropertiesMoved=0)  # fmt: skip

    def erase(self, record_id: str) -> None:
        """Erase a contact for reasons of privacy."""
        self.records.pop(record_id, None)
        self._event("contact.privacyDeletion", record_id, self.now_ms())

    def living(self, record_id: str) -> dict[str, Any]:
        """Return a contact that is there; raises RowError."""
        return self.found(record_id, is_archived=False)

    def found(self, record_id: str, *, is_archived: bool) -> dict[str, Any]:
        """Return a contact, or one that is archived; raises RowError."""
        record = self.records.get(record_id)
        if record is None or record["archived"] != is_archived:
            raise RowError(
                "OBJECT_NOT_FOUND", "Could not get some CONTACT objects", ids=[record_id]
            )
        return record

    def _check(self, values: dict[str, str], record_id: str) -> None:
        for name, value in values.items():
            if name not in PROPERTIES:
                raise RowError("VALIDATION_ERROR", f'Property "{name}" does not exist')
            if type(value) is not str or len(value) > 65_536:
                raise RowError("VALIDATION_ERROR", f"{name} was not a text of 65,536 characters")
            if name == "email" and value and "@" not in value:
                raise RowError("VALIDATION_ERROR", "Email address is invalid")
        for name in ("email", KEY):
            value = values.get(name)
            for record in self.records.values() if value else ():
                is_other = record["id"] != record_id and not record["archived"]
                if is_other and value_of(record, name) == value:
                    raise RowError(
                        "CONFLICT", f"Contact already exists. Existing ID: {record['id']}",
                        existingObjectId=[record["id"]],
                    )  # fmt: skip

    def _set(
        self, record: dict[str, Any], values: dict[str, str], source: tuple[str, str], at_ms: int
    ) -> None:
        record["modified_ms"] = at_ms
        for name, value in values.items():
            history = record["history"].setdefault(name, [])
            if history and history[0]["value"] == value:
                continue
            history.insert(0, {"value": value, "timestamp": text_of(at_ms),
                               "sourceType": source[0], "sourceId": source[1]})  # fmt: skip
            changed = {"propertyName": name, "propertyValue": value}
            self._event("contact.propertyChange", record["id"], at_ms, **changed,
                        changeSource=source[0], sourceId=source[1])  # fmt: skip

    def _event(self, kind: str, record_id: str, at_ms: int, **more: Any) -> None:
        self.tell(
            {
                "eventId": next(self._events),
                "subscriptionId": 12345,
                "portalId": self.portal_id,
                "appId": int(self.app_id),
                "occurredAt": at_ms,
                "subscriptionType": kind,
                "attemptNumber": 0,
                "objectId": int(record_id),
                "changeSource": "CRM",
                **more,
            }
        )


def text_of(at_ms: int) -> str:
    """Return a time as HubSpot writes it."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at_ms % 1000:03}Z"


def value_of(record: dict[str, Any], name: str) -> str | None:
    """Return the value of a property of a contact."""
    history = record["history"].get(name)
    return str(history[0]["value"]) if history else None
