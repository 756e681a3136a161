"""The component schemas of the OpenAPI document: every body that is asked for or answered."""

from typing import Any, Final

from crdtstore import limits

Schema = dict[str, Any]

CURSOR: Final[Schema] = {"type": "string", "maxLength": limits.CURSOR_TEXT_BYTES_MAX}
VERSION: Final[Schema] = {
    "type": "string",
    "description": "An opaque token that every change of the profile changes.",
    "examples": ["0-4f1d2c3b4a596877"],
}
ORIGIN: Final[Schema] = {
    "type": "string",
    "description": "The incarnation of a replica: 16 hexadecimal digits, empty if not known.",
}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_TEXT: Final[Schema] = {"type": "string"}
_FLAG: Final[Schema] = {"type": "boolean"}
_NULLABLE_TEXT: Final[Schema] = {"type": ["string", "null"]}

PROFILE_ID: Final[Schema] = {
    "type": "string",
    "minLength": 1,
    "maxLength": limits.PROFILE_ID_BYTES_MAX,
    "description": (
        f"At most {limits.PROFILE_ID_BYTES_MAX} UTF-8 bytes, something visible, "
        "no control characters."
    ),
    "examples": ["ann"],
}


def closed(properties: Schema, *, optional: tuple[str, ...] = ()) -> Schema:
    """Return the schema of a map with these keys, all required but the optional ones."""
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def listed(items: Schema, **bounds: int) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": items, **bounds}


def ref(name: str) -> Schema:
    """Return a reference to a component schema."""
    return {"$ref": f"#/components/schemas/{name}"}


_VALUE_TEXT: Final = (
    "Any JSON value: integers to signed 64 bits, finite numbers, text without lone surrogates, "
    f"nesting to {limits.VALUE_DEPTH_MAX}, at most {limits.VALUE_BYTES_MAX:,} bytes packed. "
    'Bytes are {"$bytes": "<base64>"} and datetimes {"$datetime": "<ISO 8601 with offset>"}; '
    'a map that looks like one of these has one more dollar, as in {"$$bytes": 1}. '
    "In msgpack bytes and timestamps are native, and there is no escaping."
)
_OPERATIONS_TEXT: Final = (
    "What to do with a field. null clears a register; a map whose keys are all among add, remove, "
    "increment, decrement, fold_in, grant, revoke, set, edit_text, unit and edit_list is an "
    'operation; anything else is a register\'s value. {"set": value} writes any value as it stands.'
)

_OPERATIONS: Final[list[Schema]] = [
    {"type": ["string", "number", "boolean", "null"]},
    closed({"add": listed({}), "remove": listed({})}, optional=("add", "remove")),
    closed({"increment": {"type": "number"}}),
    closed({"decrement": {"type": "number"}}),
    closed({"fold_in": ref("FoldIn")}),
    closed({"grant": {"const": True}}),
    closed({"revoke": {"const": True}}),
    closed({"set": {}}),
    ref("TextEdit"),
    ref("ListEdit"),
    {"type": "array"},
    {"type": "object"},
]

_FIELDS_IN: Final[Schema] = {
    "type": "object",
    "maxProperties": limits.FIELDS_PER_DOCUMENT_MAX,
    "propertyNames": {"minLength": 1, "maxLength": limits.FIELD_NAME_BYTES_MAX},
    "additionalProperties": ref("Operation"),
}
_SOURCE: Final[Schema] = {
    "type": "string",
    "minLength": 1,
    "maxLength": limits.SOURCE_NAME_BYTES_MAX,
    "description": "The system that says so.",
    "examples": ["salesforce"],
}

REPLICA_NAME: Final[Schema] = {
    "type": "string",
    "minLength": 1,
    "maxLength": limits.REPLICA_NAME_BYTES_MAX,
    "description": f"At most {limits.REPLICA_NAME_BYTES_MAX} UTF-8 bytes.",
    "examples": ["us"],
}
_REPLICA: Final[Schema] = closed(
    {
        "name": _TEXT,
        "origin": ORIGIN,
        "state": {"enum": ["live", "away", "indirect", "removed"]},
        "heard_at": {**_TEXT, "description": "When it was heard last, empty if never directly."},
        "lag_frames": {**_COUNT, "description": "Frames here that it had not confirmed then."},
    }
)

_PEER: Final[Schema] = closed(
    {
        "name": _TEXT,
        "url": {**_TEXT, "description": "Empty for a link that came in."},
        "origin": ORIGIN,
        "direction": {"enum": ["out", "in"]},
        "state": {"enum": ["connecting", "live", "snapshot", "refused", "down"]},
        "reason": {**_TEXT, "description": "The last error, empty if there was none."},
        "lag_frames": {**_COUNT, "description": "Frames that the peer has not confirmed."},
        "missing_frames": {**_COUNT, "description": "Frames that the peer has and we lack."},
        "sent_bytes": _COUNT,
        "received_bytes": _COUNT,
        "clock_skew_ms": {"type": "integer"},
        "snapshot_profiles": _COUNT,
    }
)

_DROPPED: Final[Schema] = closed(
    {
        "identifier": {**_TEXT, "description": "The identifier, or identity.match."},
        "profile": PROFILE_ID,
        "other": {**_TEXT, "description": "Empty where the identifier links nobody at all."},
        "reason": _TEXT,
    }
)
_FIELD_NAME: Final[Schema] = {
    "type": "string",
    "minLength": 1,
    "maxLength": limits.FIELD_NAME_BYTES_MAX,
}

COMPONENTS: Final[dict[str, Schema]] = {
    "Value": {"description": _VALUE_TEXT},
    "Operation": {"description": _OPERATIONS_TEXT, "anyOf": _OPERATIONS},
    "ProfilePatch": closed({"source": _SOURCE, "fields": _FIELDS_IN}),
    "Write": closed(
        {
            "id": PROFILE_ID,
            "source": _SOURCE,
            "fields": _FIELDS_IN,
            "if_version": {**_NULLABLE_TEXT, "description": "Write only at this version."},
        },
        optional=("if_version",),
    ),
    "Batch": closed({"writes": listed(ref("Write"), maxItems=limits.WRITES_PER_BATCH_MAX)}),
    "WriteResult": closed(
        {
            "id": PROFILE_ID,
            "version": VERSION,
            "changed": {**listed(_TEXT), "description": "The fields that the write changed."},
        }
    ),
    "BatchResult": closed(
        {
            "results": listed(
                {"anyOf": [ref("WriteResult"), closed({"error": ref("Problem")})]},
                maxItems=limits.WRITES_PER_BATCH_MAX,
            )
        }
    ),
    "EpochResult": closed({"id": PROFILE_ID, "version": VERSION}),
    "Profile": closed(
        {
            "id": PROFILE_ID,
            "version": VERSION,
            "fields": {"type": "object", "additionalProperties": ref("Value")},
            "conflicts": {
                **listed(
                    closed({"field": _TEXT, "kinds": listed(_TEXT), "declared": _NULLABLE_TEXT})
                ),
                "description": "Fields whose cells are of several kinds; absent without any.",
            },
        },
        optional=("conflicts",),
    ),
    "ProfilePage": closed(
        {
            "profiles": listed(ref("Profile"), maxItems=limits.PAGE_PROFILES_MAX),
            "next": {**_NULLABLE_TEXT, "description": "Goes into after; null at the end."},
            "plan": ref("QueryPlan"),
        },
        optional=("plan",),
    ),
    "ProfileCount": closed({"count": _COUNT, "plan": ref("QueryPlan")}, optional=("plan",)),
    "QueryPlan": closed(
        {
            "way": {"enum": ["index", "order", "scan", "totals"]},
            "indexes": listed(_TEXT),
            "keys_read": _COUNT,
            "profiles_read": _COUNT,
        }
    ),
    "Candidate": closed(
        {
            "field": _TEXT,
            "kind": {"enum": ["register", "counter", "trait", "set", "consent", "text", "list"]},
            "source": _TEXT,
            "value": ref("Value"),
            "survives": _FLAG,
            "rule": {**_TEXT, "description": "Why it survives, or does not."},
            "at": {"type": "string", "format": "date-time"},
            "timestamp": {"type": "integer", "format": "int64"},
            "origin": ORIGIN,
            "replica": _TEXT,
        }
    ),
    "Explanation": closed(
        {"id": PROFILE_ID, "version": VERSION, "candidates": listed(ref("Candidate"))}
    ),
    "Change": closed(
        {
            "cursor": CURSOR,
            "id": PROFILE_ID,
            "fields": listed(_TEXT),
            "sources": listed(_TEXT),
            "erased": _FLAG,
            "at": {"type": ["string", "null"], "format": "date-time"},
            "timestamp": {"type": "integer", "format": "int64"},
            "origin": ORIGIN,
            "replica": _TEXT,
            "conflicts": {**listed(_TEXT), "description": "Ids of conflicts found by the write."},
            "settled": {**listed(_TEXT), "description": "Ids of those that it settled."},
            "persons": {
                **listed(
                    closed({"id": PROFILE_ID, "profiles": listed(PROFILE_ID), "version": VERSION})
                ),
                "description": "Persons that it may have touched, as they are now; if asked for.",
            },
            "persons_complete": {**_FLAG, "description": "False if they are too many to be told."},
        },
        optional=("persons", "persons_complete"),
    ),
    "Digest": closed(
        {
            "profiles": _COUNT,
            "digest": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
            "vector": {"type": "object", "additionalProperties": _COUNT},
        }
    ),
    "VerifyReport": closed(
        {
            "documents": _COUNT,
            "profiles": _COUNT,
            "digest": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
            "damaged": listed(_TEXT),
            "index_keys": _COUNT,
            "index_faults": _COUNT,
            "is_sound": _FLAG,
        }
    ),
    "RepairRequest": closed(
        {
            "peer": {
                **_TEXT,
                "description": "The name of a linked replica, or its configured address.",
                "examples": ["us"],
            },
            "quick": {
                "type": "boolean",
                "description": "Read no record if the digests that both keep are equal. Damage "
                "that nobody has seen yet is then not found.",
            },
        },
        optional=("quick",),
    ),
    "RepairReport": closed(
        {
            "peer": _TEXT,
            **dict.fromkeys(("rounds", "ranges", "differing"), _COUNT),
            "ids": {
                **listed(_TEXT),
                "description": "The documents that differed, or many of them.",
            },
            **dict.fromkeys(("fetched", "pushed", "received_bytes", "sent_bytes"), _COUNT),
            "is_healed": {**_FLAG, "description": "Both replicas durably hold every join."},
            "reason": {**_TEXT, "description": "Why it is not healed, empty if it is."},
        }
    ),
    "Peers": closed({"peers": listed(_PEER)}),
    "Replicas": closed({"replicas": listed(_REPLICA)}),
    "RemovedReplica": closed({"name": _TEXT, "state": {"const": "removed"}}),
    "Status": closed(
        {
            "name": _TEXT,
            "space": _TEXT,
            "origin": ORIGIN,
            "incarnations": {"type": "integer", "minimum": 1},
            "uptime_s": {"type": "number"},
            "ready": _FLAG,
            "reason": {**_TEXT, "description": "Why it is not ready, empty if it is."},
            **dict.fromkeys(
                (
                    "profiles",
                    "frames",
                    "origins_active",
                    "origins_resting",
                    "journal_bytes",
                    "storage_bytes",
                    "disk_free_bytes",
                    "dirty_documents",
                    "cached_bytes",
                    "held_bytes",
                    "waiting_writers",
                    "quarantined",
                    "write_sessions",
                ),
                _COUNT,
            ),
            "feed_end": {**CURSOR, "description": "The cursor behind the last change."},
            "event_loop": {**_TEXT, "description": "The library of the event loop."},
            "loop_delay_p99_ms": {"type": "number", "minimum": 0},
            "loop_delay_max_ms": {"type": "number", "minimum": 0},
            "counters": {"type": "object", "additionalProperties": _COUNT},
            "peers": listed(_PEER),
        }
    ),
    "Health": closed({"status": {"enum": ["alive", "ready"]}}),
    "Problem": {
        "description": "What is wrong (RFC 9457). Limits add subject, size, limit and unit.",
        "type": "object",
        "properties": {
            "type": {"type": "string", "pattern": "^urn:crdtstore:error:[a-z-]+$"},
            "title": _TEXT,
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": _TEXT,
            "subject": _TEXT,
            "size": _COUNT,
            "limit": _COUNT,
            "unit": _TEXT,
            "expected": _TEXT,
            "actual": _NULLABLE_TEXT,
            "position": _COUNT,
        },
        "required": ["type", "title", "status", "detail"],
    },
}

_PERSON: Final[Schema] = {
    **COMPONENTS["Profile"]["properties"],
    "profiles": {**listed(PROFILE_ID, minItems=1), "description": "The profiles, by id."},
    "dropped": {**listed(_DROPPED), "description": "Links that the rules do not let hold."},
}
_DECISION: Final[Schema] = {"source": {**_SOURCE, "default": "steward"}}
_ONE_CANDIDATE: Final[Schema] = {
    "profile": PROFILE_ID,
    "field": _FIELD_NAME,
    "of": {**_SOURCE, "description": "The source of the candidate."},
}

COMPONENTS.update(
    {
        "Person": closed(_PERSON, optional=("conflicts",)),
        "FoundPerson": closed(
            {
                **_PERSON,
                "others": {
                    **listed(PROFILE_ID),
                    "description": "Others that hold it.",
                },
            },
            optional=("conflicts",),
        ),
        "PersonExplanation": closed(
            {
                "id": PROFILE_ID,
                "version": VERSION,
                "candidates": listed(
                    closed({**COMPONENTS["Candidate"]["properties"], "profile": PROFILE_ID})
                ),
            }
        ),
        "Pair": closed(
            {"profiles": listed(PROFILE_ID, minItems=2, maxItems=2), **_DECISION},
            optional=("source",),
        ),
        "OneOrPair": closed(
            {"profiles": listed(PROFILE_ID, minItems=1, maxItems=2), **_DECISION},
            optional=("source",),
        ),
        "Pin": closed(
            {"profile": PROFILE_ID, "field": _FIELD_NAME, "value": ref("Value"), **_DECISION},
            optional=("source",),
        ),
        "CandidateChoice": closed({**_ONE_CANDIDATE, **_DECISION}, optional=("source",)),
    }
)
