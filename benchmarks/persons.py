"""Reading a person of many profiles: components by the index, links, and one golden record.

Every profile has 12 fields, an e-mail address that all share, and a record id of its own; their
documents are in the cache, and the index at rest.
"""

import statistics
import tempfile
import time

from benchmarks.measure import Figure, figure
from benchmarks.workload import initial_fields, profile_id
from crdtstore import IdentityRules, Schema, Store, TypeRules, add

PROFILES = 50
_SCHEMA = Schema(identity=IdentityRules(types={"crm_id": TypeRules(limit=1_000)}))


def measure(persons: int, reads: int, runs: int) -> list[Figure]:
    """Return the median time to read one of so many persons."""
    with tempfile.TemporaryDirectory(dir=".") as directory:
        store = Store.open(f"{directory}/store", name="reader", schema=_SCHEMA)
        for number in range(persons * PROFILES):
            identifiers = add(f"email:p{number // PROFILES}@example.com", f"crm_id:{number}")
            fields = {**initial_fields(number), "identifiers": identifiers}
            store.write(profile_id(number), fields, source="crm")
        store.commit(checkpoint=True)

        def run() -> float:
            times_ms = []
            for number in range(reads):
                started = time.perf_counter()
                person = store.persons.read(profile_id(number % persons * PROFILES))
                times_ms.append((time.perf_counter() - started) * 1_000)
                assert len(person.profiles) == PROFILES
            return statistics.median(times_ms)

        result = figure("person", "ms p50", run, runs, f"a person of {PROFILES} profiles")
        store.close()
    return [result]
