"""What a CRM is to this service: what is seen of its records, what is sent to them, and how.

A vendor is added by writing one class with the methods of ``Crm``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from replicas.crm.conversation import Conversation, Response, Session, Verdict


class RecordKey(NamedTuple):
    """The name of one record at a vendor."""

    object: str
    id: str


@dataclass(frozen=True, slots=True)
class Sighting:
    """What was seen of a record.

    | kind     | means                                                                         |
    |----------|-------------------------------------------------------------------------------|
    | state    | the record is so now: ``values`` of all mapped properties                     |
    | created  | the record was so when it was made: news only if it is not known yet           |
    | change   | somebody changed these ``values``; with ``is_own`` it was this service        |
    | deleted  | it is in the recycle bin; merged into the record ``into`` if that is not empty |
    | erased   | its person was erased for reasons of privacy                                  |
    | vanished | it is there no more, in no recycle bin either, and nothing tells why          |
    | unclear  | something happened to it: it must be read again                               |

    ``values`` are as the vendor writes them, by property. ``at_ms`` is the vendor's time of the
    change, which happened within ``span_ms`` from there; ``times_ms`` are those of single
    properties, where the vendor tells.
    """

    kind: Literal["state", "created", "change", "deleted", "erased", "vanished", "unclear"]
    key: RecordKey
    at_ms: int = 0
    values: Mapping[str, Any] = field(default_factory=dict)
    span_ms: int = 0
    times_ms: Mapping[str, int] = field(default_factory=dict)
    is_own: bool = False
    into: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """Some sightings, and the cursor behind them. ``total`` is how many there are in all, if known.

    ``is_last`` says that nothing more is there at present. ``lost`` names objects of which events
    were lost: all of their records must be read anew. ``is_snapshot`` says that the records are as
    they were some time after the load began, not as they are now.
    """

    sightings: Sequence[Sighting]
    cursor: str
    is_last: bool
    total: int | None = None
    lost: tuple[str, ...] = ()
    is_snapshot: bool = False


@dataclass(frozen=True, slots=True)
class Edit:
    """What is to be done to one record, for one profile.

    ``record_id`` is empty for one that is to be made. ``values`` are as the vendor writes them.
    """

    object: str
    profile_id: str
    record_id: str
    values: Mapping[str, Any]
    is_deletion: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an edit.

    | result    | means                                                                        |
    |-----------|------------------------------------------------------------------------------|
    | done      | the record is so now; ``record_id`` is its id                                |
    | retry     | the vendor was busy with it, again and again: a later attempt may succeed    |
    | conflict  | it contradicts other records: a steward must decide                          |
    | permanent | the vendor will never take it as it is                                       |
    """

    edit: Edit
    result: Literal["done", "retry", "conflict", "permanent"]
    record_id: str = ""
    code: str = ""
    message: str = ""
    other_ids: tuple[str, ...] = ()


class Crm(Protocol):
    """One CRM: the conversations by which it is read and written.

    ``source`` is the name under which its values stand in the store.
    """

    source: str
    read_max: int

    def log_in(self, now_s: float) -> Conversation[Session]:
        """Get a token; raises CrmAccessDenied."""
        ...

    def judge(self, response: Response) -> Verdict:
        """Say what a response means for the exchange as a whole."""
        ...

    def pull(self, object_name: str, cursor: str) -> Conversation[Page]:
        """Read the next page of records after a cursor, "" for all records there are."""
        ...

    def read(self, object_name: str, ids: Sequence[str]) -> Conversation[list[Sighting]]:
        """Read records, at most ``read_max``; those that are gone are deleted or vanished."""
        ...

    def push(self, edits: Sequence[Edit]) -> Conversation[list[Outcome]]:
        """Write records; return what became of each edit, every one exactly once, in any order."""
        ...
