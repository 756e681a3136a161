"""What indexes cost writers, and what queries take: ``python -m benchmarks.queries``.

Writers: the same writes with no index, one and four, in turns, each round on a new directory, with
a checkpoint of all documents at the end. Queries: on one store, each asked many times.
"""

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from crdtstore import Field, Schema, Store, add, export_store, increment

FORMATS = ("parquet", "arrow", "jsonl")
INDEXED = ("age", "city", "tags", "visits")
CITIES = [f"City {number}" for number in range(500)]


def schema_of(indexes: int) -> Schema:
    """Return the schema with the first so many fields indexed."""
    kinds = {"tags": "set", "visits": "counter"}
    return Schema(
        fields={
            name: Field(kinds.get(name, "register"), indexed=place < indexes)
            for place, name in enumerate(INDEXED)
        }
    )


def write_all(store: Store, profiles: int, draw: random.Random) -> None:
    """Write profiles of eight fields, a hundred to a commit."""
    for number in range(profiles):
        store.write(
            f"profile-{number:07}",
            {
                "age": draw.randrange(18, 90), "city": draw.choice(CITIES),
                "tags": add(draw.choice("abcdefgh") * 3, f"t{draw.randrange(1_000)}"),
                "visits": increment(draw.randrange(100)), "name": f"Ann {draw.random()}",
                "email": f"a{number}@example.com", "phone": "+49301234567", "vip": number % 7 == 0,
            },
            source="crm",
        )  # fmt: skip
        if number % 100 == 99:
            store.commit()


def updates(store: Store, profiles: int, draw: random.Random) -> None:
    """Change one indexed field and one other of a tenth of the profiles."""
    for number in range(profiles // 10):
        profile_id = f"profile-{draw.randrange(profiles):07}"
        fields = {"age": draw.randrange(18, 90), "name": f"Bea {draw.random()}"}
        store.write(profile_id, fields, source="crm")
        if number % 100 == 99:
            store.commit()


def measure_writers(profiles: int, rounds: int) -> None:
    """Print the seconds of writers with no index, one and four, the median of several rounds."""
    taken: dict[tuple[str, int], list[float]] = {}
    for number in range(rounds):
        order = [0, 1, 4]
        random.Random(number).shuffle(order)
        for indexes in order:
            with tempfile.TemporaryDirectory() as directory:
                store = Store.open(Path(directory) / "eu", name="eu", schema=schema_of(indexes))
                draw = random.Random(7)
                for name, work in (("new", write_all), ("changed", updates)):
                    started = time.process_time()
                    work(store, profiles, draw)
                    store.commit(checkpoint=True)
                    seconds = time.process_time() - started
                    taken.setdefault((name, indexes), []).append(seconds)
                store.close()
    for name, count in (("new", profiles), ("changed", profiles // 10)):
        base = statistics.median(taken[name, 0])
        for indexes in (0, 1, 4):
            seconds = statistics.median(taken[name, indexes])
            print(
                f"{name:>8} profiles, {indexes} indexes: {seconds / count * 1e6:6.1f} us of "
                f"processor each, {seconds / base:4.2f} of none"
            )


def measure_queries(profiles: int, repeats: int) -> None:
    """Print the median and the 99th percentile of queries on one store."""
    with tempfile.TemporaryDirectory() as directory:
        store = Store.open(Path(directory) / "eu", name="eu", schema=schema_of(4))
        write_all(store, profiles, random.Random(7))
        store.commit(checkpoint=True)
        queries: list[tuple[str, Callable[[], object]]] = [
            ("one value", lambda: store.queries.page('city eq "City 7"', limit=20)),
            ("one element", lambda: store.queries.page('tags eq "t7"', limit=20)),
            ("range and value", lambda: store.queries.page('age ge 30 and city eq "City 9"')),
            ("in order", lambda: store.queries.page("age ge 40", order="age", limit=20)),
            ("falling, all", lambda: store.queries.page(order="-visits", limit=20)),
            ("no index, common", lambda: store.queries.page("vip eq true", limit=20)),
            ("no index, rare", lambda: store.queries.page('phone eq "none"', limit=20)),
            ("count of a value", lambda: store.queries.count('city eq "City 7"')),
            ("count of a range", lambda: store.queries.count("age ge 30")),
            ("count, no index", lambda: store.queries.count("vip eq true")),
        ]
        print(f"{profiles:,} profiles at rest:")
        for name, ask in queries:
            times = []
            for _ in range(repeats):
                started = time.perf_counter()
                ask()
                times.append(1e3 * (time.perf_counter() - started))
                if sum(times) > 5e3:
                    break
            times.sort()
            last = times[int(0.99 * (len(times) - 1))]
            print(f"{name:>18}: p50 {statistics.median(times):9.2f} ms, p99 {last:9.2f} ms")
        store.close()
        measure_building(Path(directory))


def measure_building(directory: Path) -> None:
    """Print what it takes to build indexes when a store is opened, and to export it."""
    for indexes in (0, 1, 4):
        Store.open(directory / "eu", name="eu", schema=schema_of(0)).close()
        started = time.process_time()
        store = Store.open(directory / "eu", name="eu", schema=schema_of(indexes))
        seconds = time.process_time() - started
        print(f"opening with {indexes} indexes to build: {seconds:.2f} s of processor")
        store.close()
    with Store.open(directory / "eu", name="eu", schema=schema_of(4)) as store:
        for form in FORMATS:
            path = directory / f"profiles.{form}"
            started = time.process_time()
            *_, last = export_store(store, path, form=form)
            seconds = time.process_time() - started
            print(
                f"export of {last.profiles:,} profiles as {form}: {seconds:.2f} s of processor, "
                f"{path.stat().st_size:,} bytes"
            )


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queries", description=__doc__)
    parser.add_argument("--profiles", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=200)
    arguments = parser.parse_args()
    measure_writers(arguments.profiles // 5, arguments.rounds)
    measure_queries(arguments.profiles, arguments.repeats)


if __name__ == "__main__":
    main()
