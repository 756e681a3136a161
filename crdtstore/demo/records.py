"""The records of the demo: FEBRL data set 4, two sides of the same persons.

The data set's own number of a person is in the profile ids, so that the demo can count; the store
is told the social security number alone.
"""

import csv
import gzip
import io
import re
from dataclasses import dataclass
from importlib import resources
from typing import Final

_RECORD_ID: Final = re.compile(r"rec-(\d+)-(?:org|dup-\d+)")

SYSTEMS: Final = {"a": "crm", "b": "cdp"}
"""The systems that have the two sides; their names are those of the sources too."""


@dataclass(frozen=True, slots=True)
class Record:
    """What one side of the data set says of a person; fields that it leaves empty are absent."""

    system: str
    number: int
    fields: dict[str, str]

    @property
    def profile_id(self) -> str:
        """The id of the profile that its system has of the person."""
        return f"{self.system}-{self.number}"

    @property
    def identifiers(self) -> list[str]:
        """What the record says that may lead to the person: a number that may be mistyped."""
        return [f"soc_sec_id:{self.fields['soc_sec_id']}"] if "soc_sec_id" in self.fields else []


def read_side(side: str) -> list[Record]:
    """Return the 5,000 records of side "a" (of the CRM) or "b" (of the CDP), in file order."""
    packed = resources.files("crdtstore.demo").joinpath(f"data/febrl4{side}.csv.gz").read_bytes()
    text = gzip.decompress(packed).decode()
    rows = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)
    return [_record_of(SYSTEMS[side], row) for row in rows]


def first_persons(records: list[Record], count: int) -> list[Record]:
    """Return the records of the ``count`` persons with the lowest numbers, in file order."""
    numbers = set(sorted(record.number for record in records)[:count])
    return [record for record in records if record.number in numbers]


def number_of(profile_id: str) -> int:
    """Return the number of the person that a profile is of, by the data set itself."""
    return int(profile_id.rpartition("-")[2])


def schema_text() -> str:
    """Return the demo's schema as TOML."""
    return resources.files("crdtstore.demo").joinpath("data/schema.toml").read_text("utf-8")


def _record_of(system: str, row: dict[str, str]) -> Record:
    matched = _RECORD_ID.fullmatch(row["rec_id"].strip())
    assert matched is not None, row["rec_id"]
    fields = {
        field: value.strip() for field, value in row.items() if field != "rec_id" and value.strip()
    }
    return Record(system, int(matched[1]), fields)
