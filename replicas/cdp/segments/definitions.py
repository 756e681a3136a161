"""Definitions: all segments of a service, read from TOML and checked whole.

    [segments.vip]
    description = "Buys often, and may be written to"
    all = [
        { trait = "orders", ge = 3 },
        { trait = "last_order_ms", within_last = "90 days" },
        { consent = "newsletter", is = "granted" },
        { any = [ { identifier = "email" }, { identifier = "phone" } ] },
    ]

A segment has one of `all`, `any` and `none`.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from crdtstore import Field, Schema
from crdtstore.errors import ConfigurationError
from crdtstore.toml import parse_toml
from replicas.cdp import limits
from replicas.cdp.segments.conditions import GROUPS, Group, condition_of
from replicas.cdp.segments.errors import SegmentInvalid, SegmentUnknown
from replicas.cdp.segments.subjects import Record

SEGMENTS: Final = "segments"
"""The set field in which a profile's segments stand."""

SOURCE: Final = "cdp"
"""The source that writes them, in every region."""

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment: its name, what it is for, and its condition."""

    name: str
    description: str
    condition: Group

    def has(self, record: Record, now_ms: int) -> bool:
        """Say whether the person of a golden record is in it at a moment."""
        return self.condition.holds(record, now_ms)

    def check_traits(self, schema: Schema) -> None:
        """Check that traits which it reads are fields of a schema; raises SegmentInvalid."""
        for subject in self.condition.subjects():
            if subject.is_trait and subject.field not in schema.fields:
                raise SegmentInvalid(
                    f"{SEGMENTS}.{self.name}",
                    f"reads trait {subject.field!r}, which is neither in the traits_file nor in "
                    "the schema; what others compute is a field",
                )


@dataclass(frozen=True, slots=True)
class Verdict:
    """The segments of a person, and when that may change by time alone, if ever."""

    segments: frozenset[str]
    due_ms: int | None


@dataclass(frozen=True, slots=True)
class SegmentDefinitions:
    """All segments by name. ``digest`` tells other definitions from these."""

    segments: Mapping[str, Segment]
    fields: frozenset[str]
    digest: str

    @classmethod
    def load(cls, path: Path) -> "SegmentDefinitions":
        """Return the definitions in a TOML file; raises ConfigurationError."""
        try:
            with path.open("rb") as file:
                data = file.read(limits.SEGMENTS_FILE_BYTES_MAX + 1)
            if len(data) > limits.SEGMENTS_FILE_BYTES_MAX:
                maximum = limits.SEGMENTS_FILE_BYTES_MAX
                raise ConfigurationError(f"{path} is larger than {maximum:,} bytes")
            return cls.parse(data.decode("utf-8"))
        except OSError as error:
            raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ConfigurationError(f"{path} is not UTF-8") from None
        except SegmentInvalid as error:
            raise SegmentInvalid(f"{path}: {error.place}", error.message) from None

    @classmethod
    def parse(cls, text: str) -> "SegmentDefinitions":
        """Return the definitions that a TOML text is; raises SegmentInvalid."""
        try:
            table = parse_toml(text)
        except ValueError as error:
            raise SegmentInvalid("the file", f"is not TOML: {error}") from None
        for name in table:
            if name != SEGMENTS:
                raise SegmentInvalid(name, f"is not known here; there is [{SEGMENTS}.NAME]")
        found = table.get(SEGMENTS, {})
        if not isinstance(found, dict) or len(found) > limits.SEGMENTS_MAX:
            raise SegmentInvalid(SEGMENTS, f"is a table of at most {limits.SEGMENTS_MAX} segments")
        segments = {name: segment_of(name, each) for name, each in found.items()}
        return cls.of(segments, found)

    @classmethod
    def of(cls, segments: Mapping[str, Segment], written: object) -> "SegmentDefinitions":
        """Return definitions of some segments, and how they were written."""
        subjects = {each for segment in segments.values() for each in segment.condition.subjects()}
        fields = {subject.field for subject in subjects}
        packed = json.dumps(written, sort_keys=True, default=str, ensure_ascii=True)
        digest = hashlib.blake2b(packed.encode(), digest_size=16).hexdigest()
        return cls(MappingProxyType(dict(segments)), frozenset(fields), digest)

    def check_traits(self, schema: Schema) -> None:
        """Check that traits which are read are fields of a schema; raises SegmentInvalid."""
        for segment in self.segments.values():
            segment.check_traits(schema)

    def judge(self, record: Record, now_ms: int) -> Verdict:
        """Return the segments of the person of a golden record at a moment."""
        values = {field: record[field] for field in self.fields if field in record}
        found = frozenset(
            name for name, segment in self.segments.items() if segment.has(values, now_ms)
        )
        later = (moment for moment in self._turns(values, now_ms) if moment > now_ms)
        return Verdict(found, min(later, default=None))

    def get(self, name: str) -> Segment:
        """Return one segment; raises SegmentUnknown."""
        if name not in self.segments:
            raise SegmentUnknown(name)
        return self.segments[name]

    def _turns(self, values: Record, now_ms: int) -> Iterator[int]:
        for segment in self.segments.values():
            yield from segment.condition.turns(values, now_ms)


def segment_of(name: str, table: object) -> Segment:
    """Return the segment that a table is; raises SegmentInvalid, which says where it is wrong."""
    place = f"{SEGMENTS}.{name}"
    if not _NAME.fullmatch(name) or len(name) > limits.SEGMENT_NAME_CHARACTERS_MAX:
        raise SegmentInvalid(
            f"{SEGMENTS}.{name[:50]!r}",
            "a name has letters, digits, '_', '.' and '-', at most "
            f"{limits.SEGMENT_NAME_CHARACTERS_MAX} of them, and starts with no '.' or '-'",
        )
    if not isinstance(table, dict):
        raise SegmentInvalid(place, "is a table")
    parts: dict[str, Any] = {word: table[word] for word in GROUPS if word in table}
    for word in table:
        if word not in (*GROUPS, "description"):
            raise SegmentInvalid(place, f"{word!r} is none of {', '.join(GROUPS)}, description")
    if len(parts) != 1:
        raise SegmentInvalid(place, f"has one of {', '.join(GROUPS)}")
    description = table.get("description", "")
    if not isinstance(description, str):
        raise SegmentInvalid(f"{place}.description", "is a text")
    condition = condition_of(parts, place)
    assert isinstance(condition, Group), "a table of one group is a group"
    if any(subject.field == SEGMENTS for subject in condition.subjects()):
        raise SegmentInvalid(place, f"reads field {SEGMENTS!r}, which segments decide")
    return Segment(name, description, condition)


def with_segments(schema: Schema) -> Schema:
    """Return a schema in which the segments of a profile are an indexed set.

    Raises ConfigurationError if it declares that field as something else, or not our source.
    """
    declared = schema.fields.get(SEGMENTS)
    if declared is not None and declared.kind != "set":
        raise ConfigurationError(
            f"the schema declares field {SEGMENTS!r} as a {declared.kind}; segments are a set"
        )
    if schema.sources is not None and SOURCE not in schema.sources:
        raise ConfigurationError(f"the schema's sources lack {SOURCE!r}, which writes segments")
    return replace(schema, fields={**schema.fields, SEGMENTS: Field("set", indexed=True)})
