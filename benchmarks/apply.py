"""The apply path alone: frames in, documents joined. One core, no disk, no network.

What is measured: hash check, unpacking, validation, causal check, join, dirty marking; for frames
of 1,000 single-field edits of random profiles, all of them in the cache. What is not: making the
frames and committing them.
"""

import tempfile
import time
from itertools import islice

from benchmarks.measure import Figure, Stopwatch, figure
from benchmarks.workload import initial_fields, profile_id, random_edits
from crdtstore import Settings, Store
from crdtstore.limits import MEBIBYTE
from crdtstore.storage.memory_storage import MemoryStorage

BATCH = 1_000
_CACHE = Settings(cache_bytes=4096 * MEBIBYTE)


def measure(profiles: int, edits: int, runs: int) -> list[Figure]:
    """Return the figures of the apply path for a store of so many profiles."""
    writer = Store.open(MemoryStorage(), name="writer", settings=_CACHE)
    reader = Store.open(MemoryStorage(), name="reader", settings=_CACHE)
    for number in range(profiles):
        writer.write(profile_id(number), initial_fields(number), source="crm")
        if number % BATCH == 0:
            writer.commit()
    writer.commit()
    position = _deliver(writer, reader, 0, Stopwatch())
    pending = random_edits(profiles, edits * runs)

    def run() -> float:
        nonlocal position
        for _ in range(edits // BATCH):
            for profile, fields in islice(pending, BATCH):
                writer.write(profile, fields, source="crm")
            writer.commit()
        watch = Stopwatch()
        position = _deliver(writer, reader, position, watch)
        return edits / watch.seconds

    result = figure("apply", "edits/s", run, runs, f"frames of {BATCH:,}, {profiles:,} profiles")
    assert writer.digest().digest == reader.digest().digest
    return [result]


def _deliver(writer: Store, reader: Store, position: int, watch: Stopwatch) -> int:
    """Bring the writer's new frames to the reader; time only their application."""
    while records := writer.replication.records_after(position, 16 * MEBIBYTE):
        for _, raw in records:
            with watch:
                reader.replication.receive_frames([raw], reader.now_ms())
            reader.commit()
        position = records[-1][0]
    return position


def measure_store(profiles: int, edits: int, runs: int) -> list[Figure]:
    """Return the figure of local writes, without asyncio: plan, join, frame, fsync."""
    with tempfile.TemporaryDirectory(dir=".") as directory:
        store = Store.open(f"{directory}/store", name="writer", settings=_CACHE)
        for number in range(profiles):
            store.write(profile_id(number), initial_fields(number), source="crm")
            if number % BATCH == 0:
                store.commit()
        store.commit(checkpoint=True)
        pending = random_edits(profiles, edits * runs)

        def run() -> float:
            started = time.perf_counter()
            for _ in range(edits // BATCH):
                for profile, fields in islice(pending, BATCH):
                    store.write(profile, fields, source="crm")
                store.commit()
            return edits / (time.perf_counter() - started)

        result = figure("store", "edits/s", run, runs, f"commits of {BATCH:,}, fsync each")
        store.close()
    return [result]
