"""Editing a long text, and what it costs the other fields of its profile.

Two profiles of 12 fields: one with a text of 100 KB that was typed in many places, one with a short
text. Edits go to random places of the text; writes to a field beside it are interleaved over the
profiles, and so are checkpoints, which bring a profile to rest of which another field was written.
"""

import random
import statistics
import time
from collections.abc import Mapping
from typing import Any, Final

from benchmarks.processes import scratch_directory
from benchmarks.workload import initial_fields
from crdtstore import Field, Schema, Store, insert_text

TEXT_BYTES: Final = 100_000
_PLACES: Final = 2_000
_SCHEMA: Final = Schema(fields={"notes": Field("text")})
_PROFILES: Final = {"100 KB of text": TEXT_BYTES, "10 bytes of text": 10}

Row = dict[str, float]


def measure(edits: int, runs: int) -> dict[str, Row]:
    """Return the times of an edit, of a write beside it, and of bringing that to rest."""
    times_ms: dict[str, dict[str, list[float]]] = {
        name: {"edit": [], "field": [], "rest": []} for name in _PROFILES
    }
    with (
        scratch_directory("texts") as directory,
        Store.open(directory / "store", name="editor", schema=_SCHEMA) as store,
    ):
        chance = random.Random(1)
        for name, size in _PROFILES.items():
            _fill(store, name, size, chance)
        store.commit(checkpoint=True)
        for number in range(edits * runs):
            for name, size in _PROFILES.items():
                edit = {"notes": insert_text(chance.randrange(size), "x")}
                times_ms[name]["edit"].append(_timed(store, name, edit))
                store.commit()
            for name in _PROFILES:
                spent_ms = _timed(store, name, {"email": f"{number}@example.com"})
                times_ms[name]["field"].append(spent_ms)
                store.commit()
            if number % 20 == 0:
                store.commit(checkpoint=True)
                for name in _PROFILES:
                    store.write(name, {"email": f"rest {number}"}, source="crm")
                    started = time.perf_counter()
                    store.commit(checkpoint=True)
                    times_ms[name]["rest"].append((time.perf_counter() - started) * 1_000)
    return {
        name: {
            f"{what}_{part}_ms": figure
            for what, times in by_what.items()
            for part, figure in (("p50", statistics.median(times)), ("p99", _p99(times)))
        }
        for name, by_what in times_ms.items()
    }


def _fill(store: Store, name: str, size: int, chance: random.Random) -> None:
    store.write(name, initial_fields(1), source="crm")
    piece = "word " * max(size // 5 // (_PLACES if size > _PLACES else 1), 1)
    length = 0
    while length < size:
        place = chance.randrange(length + 1)
        store.write(name, {"notes": insert_text(place, piece[: size - length])}, source="crm")
        length += len(piece[: size - length])


def _timed(store: Store, name: str, fields: Mapping[str, Any]) -> float:
    started = time.perf_counter()
    store.write(name, fields, source="crm")
    return (time.perf_counter() - started) * 1_000


def _p99(times: list[float]) -> float:
    return sorted(times)[len(times) * 99 // 100]
