"""Parts of ours alone, with no network: frames applied in memory, and a store without asyncio.

``apply`` is hash check, unpacking, validation, causal check, join and dirty marking for frames of
1,000 single-field edits of random profiles, all of them in the cache; making the frames and
committing them is not in it. ``store`` is local writes: plan, join, frame, journal, fsync.
"""

import statistics
import time
from collections.abc import Callable
from itertools import islice

from benchmarks.processes import scratch_directory
from benchmarks.workload import initial_fields, profile_id, random_edits
from crdtstore import Settings, Store
from crdtstore.limits import MEBIBYTE
from crdtstore.storage.memory_storage import MemoryStorage

BATCH = 1_000
_CACHE = Settings(cache_bytes=4096 * MEBIBYTE)

Row = dict[str, float]


def measure_all(profiles: int, edits: int, runs: int) -> dict[str, Row]:
    """Return the rates of both parts."""
    return {
        "apply": measure_apply(profiles, edits, runs),
        "store": measure_store(profiles, edits, runs),
    }


def measure_apply(profiles: int, edits: int, runs: int) -> Row:
    """Return the rate of the apply path for a store of so many profiles."""
    writer = Store.open(MemoryStorage(), name="writer", settings=_CACHE)
    reader = Store.open(MemoryStorage(), name="reader", settings=_CACHE)
    _load(writer, profiles)
    position, _ = _deliver(writer, reader, 0)
    pending = random_edits(profiles, edits * runs)

    def run() -> float:
        nonlocal position
        for _ in range(edits // BATCH):
            for profile, fields in islice(pending, BATCH):
                writer.write(profile, fields, source="crm")
            writer.commit()
        position, elapsed_s = _deliver(writer, reader, position)
        return edits / elapsed_s

    rates = _rates(run, runs)
    assert writer.digest().digest == reader.digest().digest
    return rates


def measure_store(profiles: int, edits: int, runs: int) -> Row:
    """Return the rate of local writes in commits of 1,000, each with its fsync."""
    with scratch_directory("store") as directory:
        store = Store.open(directory / "store", name="writer", settings=_CACHE)
        _load(store, profiles)
        store.commit(checkpoint=True)
        pending = random_edits(profiles, edits * runs)

        def run() -> float:
            started = time.perf_counter()
            for _ in range(edits // BATCH):
                for profile, fields in islice(pending, BATCH):
                    store.write(profile, fields, source="crm")
                store.commit()
            return edits / (time.perf_counter() - started)

        rates = _rates(run, runs)
        store.close()
    return rates


def _load(store: Store, profiles: int) -> None:
    for number in range(profiles):
        store.write(profile_id(number), initial_fields(number), source="crm")
        if number % BATCH == 0:
            store.commit()
    store.commit()


def _deliver(writer: Store, reader: Store, position: int) -> tuple[int, float]:
    """Bring the writer's new frames to the reader; return the seconds of their application."""
    elapsed_s = 0.0
    while records := writer.replication.records_after(position, 16 * MEBIBYTE):
        for _, raw in records:
            started = time.perf_counter()
            reader.replication.receive_frames([raw], reader.now_ms())
            elapsed_s += time.perf_counter() - started
            reader.commit()
        position = records[-1][0]
    return position, elapsed_s


def _rates(run: Callable[[], float], runs: int) -> Row:
    values = [run() for _ in range(runs)]
    return {
        "edits_per_s": statistics.median(values),
        "lowest_per_s": min(values),
        "highest_per_s": max(values),
    }
