"""Export: everything that a store holds on a person, for who asks what is held on them.

Every cell of every profile is told: values that did not survive, elements that were removed, what
stewards decided. Nothing is left out because it is not shown elsewhere.
"""

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from crdtstore.clock import datetime_of
from crdtstore.engine.conflict_log import Entry
from crdtstore.engine.text_fields import delta_form
from crdtstore.model.candidates import Candidate
from crdtstore.model.cells import (
    COLLABORATIVE_KINDS,
    DENIAL,
    KIND_OF_LETTER,
    SET,
    Cell,
    ParsedKey,
    parse_key,
)
from crdtstore.model.cells import decode_element as element_of
from crdtstore.model.document import Document
from crdtstore.model.identity import identity_of
from crdtstore.model.persons import DroppedLink
from crdtstore.model.profile import Profile
from crdtstore.model.texts import Text
from crdtstore.model.update_contents import TEXT
from crdtstore.model.values import from_cell_value

EXPORT_FORMAT: Final = 1
"""Version of the form of an export."""


class Held(NamedTuple):
    """What is held on one profile: also its texts, and what the conflict log has of it."""

    profile_id: str
    document: Document
    texts: Sequence[tuple[str, Text]]
    lost: Sequence[Entry]


def export_of(
    record: Profile,
    profiles: Sequence[Held],
    candidates: Sequence[Candidate],
    dropped: Sequence[DroppedLink],
    names: Mapping[int, str],
) -> dict[str, Any]:
    """Return everything held on a person as a document that JSON can hold.

    ``names`` are those of the replicas by origin. Raises StorageCorrupt for a damaged text.
    """
    return {
        "format": EXPORT_FORMAT,
        "id": record.id,
        "version": record.version,
        "fields": {field: json_value(value) for field, value in record.items()},
        "rules": {
            candidate.field: candidate.rule for candidate in candidates if candidate.survives
        },
        "dropped": [
            {"identifier": link.identifier, "profile": link.profile_id,
             "other": link.other_id, "reason": link.reason}
            for link in dropped
        ],
        "conflicts": [
            {"profile": entry.profile_id, "is_settled": entry.settled is not None,
             **_held(entry.key, entry.lost, names)}
            for held in profiles
            for entry in held.lost
        ],
        "profiles": [
            {
                "id": profile_id,
                "version": document.version,
                "identifiers": [
                    {"identifier": text, "since": _told(timestamp)}
                    for text, timestamp in sorted(
                        identity_of(profile_id, document.cells).identifiers.items()
                    )
                ],
                "held": [_held(key, cell, names) for key, cell in sorted(document.cells.items())],
                "texts": [_text(name, text, names) for name, text in texts],
            }
            for profile_id, document, texts, _ in profiles
        ],
    }  # fmt: skip


def json_value(value: Any) -> Any:
    """Return a value as JSON has it: bytes in base64, a moment as its text, each in a map."""
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, datetime):
        return {"datetime": value.isoformat()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    if isinstance(value, dict):
        return {name: json_value(item) for name, item in value.items()}
    return value


def _held(key: str, cell: Cell, names: Mapping[int, str]) -> dict[str, Any]:
    parsed = parse_key(key)
    held: dict[str, Any] = {
        "field": parsed.field,
        "kind": KIND_OF_LETTER[parsed.letter],
        "source": parsed.source,
    }
    if parsed.letter in (SET, DENIAL):
        return held | _held_claim(parsed, cell, names)
    timestamp, origin, value = cell
    when = {"at": _told(timestamp), "replica": names.get(origin, "")}
    if parsed.letter in COLLABORATIVE_KINDS:
        return held | {"edits": value} | when
    return held | {"value": json_value(from_cell_value(value))} | when


def _text(name: str, text: Text, names: Mapping[int, str]) -> dict[str, Any]:
    """Return a collaborative field: what it says, formatted as it is, and its newest edits."""
    said = {"delta": delta_form(text)} if text.kind == TEXT else {"items": text.value}
    return {
        "field": name[1:],
        "kind": text.kind,
        **json_value(said),
        "edits": [
            {"source": edit.source, "inserted": edit.inserted, "deleted": edit.deleted,
             "at": _told(edit.timestamp), "replica": names.get(edit.origin, "")}
            for edit in text.history
        ],
    }  # fmt: skip


def _held_claim(parsed: ParsedKey, cell: Cell, names: Mapping[int, str]) -> dict[str, Any]:
    added, removed = cell
    value = json_value(element_of(parsed.element)) if parsed.letter == SET else False
    return {
        "value": value,
        "at": _told(added),
        "replica": names.get(parsed.origin, ""),
        "stands": added > removed,
    }


def _told(timestamp: int) -> str:
    return datetime_of(timestamp).isoformat()
