"""Tight bounds: the same code with limits so small that a short run meets all of them."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from crdtstore import limits
from crdtstore.settings import Settings

CHOICES: Final[dict[str, tuple[int, ...]]] = {
    "WAYPOINT_RECORDS": (2, 5, 20),
    "CHECKPOINT_INTERVAL_MS": (300, 2_000, 8_000),
    "CHECKPOINT_SLICE_DOCUMENTS": (1, 3, 500),
    "CHUNK_DOCUMENTS_MAX": (1, 4, 2_000),
    "SNAPSHOT_FRESH_PROFILES_MIN": (2, 6, 1_000),
    "JOURNAL_CACHE_BYTES": (400, 5_000, limits.JOURNAL_CACHE_BYTES),
    "CREDIT_BYTES": (600, 5_000, limits.CREDIT_BYTES),
    "MESSAGE_FRAMES_BYTES": (300, 4_000, limits.MESSAGE_FRAMES_BYTES),
    "TRIM_RECORDS_MAX": (3, 2_000),
    "WRITES_PER_FRAME_MAX": (1, 3, 4_096),
    "RANGE_IDS_MAX": (2, 32),
    "RESTING_LOOK_MS": (200, limits.RESTING_LOOK_MS),
    "HEAL_DOCUMENTS": (1, 3, 500),
    "HEAL_QUEUE_MAX": (3, 10_000),
    "IDENTIFIER_PROFILES_MAX": (2, 4, 1_000),
    "COMPONENT_PROFILES_MAX": (6, 5_000),
    "INDEX_PAGE_KEYS": (1, 3, limits.INDEX_PAGE_KEYS),
}
"""Limits by name, each with sizes to draw from."""


def drawn_limits(chance: random.Random) -> dict[str, int]:
    """Draw a size for every limit; what a repair exchanges fits into what is accepted at once."""
    drawn = {name: chance.choice(sizes) for name, sizes in CHOICES.items()}
    drawn["HEAL_DOCUMENTS"] = min(drawn["HEAL_DOCUMENTS"], drawn["CHUNK_DOCUMENTS_MAX"])
    return drawn


def drawn_settings(chance: random.Random) -> Settings:
    """Draw settings with short journals and small caches."""
    return Settings(
        journal_bytes_max=chance.choice([400, 4_000, 40_000]),
        acknowledged_retention_ms=chance.choice([300, 3_000, 3_600_000]),
        cache_bytes=chance.choice([20_000, limits.CACHE_BYTES_DEFAULT]),
    )


@contextmanager
def limits_set_to(sizes: dict[str, int]) -> Iterator[None]:
    """Set limits for the time of a run, in this process."""
    module: Any = limits
    before = {name: getattr(module, name) for name in sizes}
    for name, size in sizes.items():
        setattr(module, name, size)
    try:
        yield
    finally:
        for name, size in before.items():
            setattr(module, name, size)
