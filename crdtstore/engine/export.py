"""Export: everything that a store holds on a person, for who asks what is held on them.

Every cell of every profile is told: values that did not survive, elements that were removed, what
stewards decided. Nothing is left out because it is not shown elsewhere.
"""

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from crdtstore.clock import datetime_of
from crdtstore.engine.conflict_log import Entry
from crdtstore.model.candidates import Candidate
from crdtstore.model.cells import DENIAL, KIND_OF_LETTER, SET, Cell, Cells, ParsedKey, parse_key
from crdtstore.model.cells import decode_element as element_of
from crdtstore.model.identity import identity_of
from crdtstore.model.persons import DroppedLink
from crdtstore.model.profile import Profile
from crdtstore.model.values import from_cell_value

EXPORT_FORMAT: Final = 1
"""Version of the form of an export."""


def export_of(
    record: Profile,
    profiles: Sequence[tuple[str, str, Cells]],
    candidates: Sequence[Candidate],
    dropped: Sequence[DroppedLink],
    lost: Sequence[Entry],
    names: Mapping[int, str],
) -> dict[str, Any]:
    """Return everything held on a person as a document that JSON can hold.

    ``profiles`` are id, version and cells of each, ``lost`` what the conflict log has of them;
    ``names`` are those of the replicas by origin.
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
            for entry in lost
        ],
        "profiles": [
            {
                "id": profile_id,
                "version": version,
                "identifiers": [
                    {"identifier": text, "since": _told(timestamp)}
                    for text, timestamp in sorted(
                        identity_of(profile_id, cells).identifiers.items()
                    )
                ],
                "held": [_held(key, cell, names) for key, cell in sorted(cells.items())],
            }
            for profile_id, version, cells in profiles
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
    return held | {
        "value": json_value(from_cell_value(value)),
        "at": _told(timestamp),
        "replica": names.get(origin, ""),
    }


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
