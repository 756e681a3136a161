"""Reading a person of many profiles: components by the index, links, and one golden record.

Every profile has 12 fields, an e-mail address that all share, and a record id of its own; their
documents are in the cache, and the index at rest.
"""

import statistics
import time
from typing import Final

from benchmarks.processes import scratch_directory
from benchmarks.workload import initial_fields, profile_id
from crdtstore import IdentityRules, Schema, Store, TypeRules, add

PROFILES: Final = (2, 50)
_SCHEMA: Final = Schema(identity=IdentityRules(types={"crm_id": TypeRules(limit=1_000)}))

Row = dict[str, float]


def measure(persons: int, reads: int, runs: int) -> dict[str, Row]:
    """Return the times to find and to read one of so many persons, by their profiles."""
    return {f"{each} profiles": _measure(each, persons, reads, runs) for each in PROFILES}


def _measure(profiles: int, persons: int, reads: int, runs: int) -> Row:
    with (
        scratch_directory("persons") as directory,
        Store.open(directory / "store", name="reader", schema=_SCHEMA) as store,
    ):
        for number in range(persons * profiles):
            identifiers = add(_address(number // profiles), f"crm_id:{number}")
            fields = {**initial_fields(number), "identifiers": identifiers}
            store.write(profile_id(number), fields, source="crm")
        store.commit(checkpoint=True)
        times_ms: dict[str, list[float]] = {"find": [], "read": []}
        for number in range(reads * runs):
            person = number % persons
            started = time.perf_counter()
            (found,) = store.persons.find("email", _address(person).removeprefix("email:"))
            between = time.perf_counter()
            read = store.persons.read(profile_id(person * profiles))
            ended = time.perf_counter()
            assert len(read.profiles) == profiles
            assert found.id == read.id
            times_ms["find"].append((between - started) * 1_000)
            times_ms["read"].append((ended - between) * 1_000)
    row: Row = {}
    for name, times in times_ms.items():
        medians = [statistics.median(times[run::runs]) for run in range(runs)]
        row |= {
            f"{name}_ms": statistics.median(medians),
            f"{name}_ms_lowest": min(medians),
            f"{name}_ms_highest": max(medians),
        }
    return row


def _address(person: int) -> str:
    return f"email:p{person}@example.com"
