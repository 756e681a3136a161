"""Settings of a store: what an operator may choose, each with its unit and default."""

from dataclasses import dataclass, field, fields
from typing import Final

from crdtstore import limits
from crdtstore.errors import ConfigurationError

_TEXTS: Final = frozenset({"witness_directory", "suppression_key"})
_MAY_BE_ZERO: Final = frozenset({"commit_interval_ms", "erasure_grace_ms"})


@dataclass(frozen=True, slots=True)
class Settings:
    """How a store uses memory, disk and time.

    ``commit_interval_ms`` waits so long between two commits, so that more writers share one fsync;
    0 commits as soon as the one before is durable. A write is answered after its fsync in either
    case. ``journal_retention_ms`` and ``journal_bytes_max`` bound how far back peers and readers of
    the change feed can go on without a snapshot; what all known replicas have made durable is kept
    for ``acknowledged_retention_ms`` only, unless the feed is read. ``witness_directory`` lies in
    memory that outlives the process but not the machine, "" in the system's own: see
    ``crdtstore.storage.witness``. An erasure keeps the journal before it for ``erasure_grace_ms``
    at the most, for replicas and readers of the feed that are away. ``suppression_key`` is a secret
    that all replicas share: traces of erased identifiers are made with it. Raises
    ConfigurationError for a value out of range.
    """

    cache_bytes: int = limits.CACHE_BYTES_DEFAULT
    map_bytes_initial: int = limits.MAP_BYTES_INITIAL
    map_bytes_max: int = limits.MAP_BYTES_MAX_DEFAULT
    journal_retention_ms: int = limits.JOURNAL_RETENTION_MS_DEFAULT
    acknowledged_retention_ms: int = limits.ACKNOWLEDGED_RETENTION_MS_DEFAULT
    journal_bytes_max: int = limits.JOURNAL_BYTES_MAX_DEFAULT
    clock_skew_ms_max: int = limits.CLOCK_SKEW_MS_DEFAULT
    commit_interval_ms: int = 0
    witness_directory: str = ""
    erasure_grace_ms: int = limits.ERASURE_GRACE_MS_DEFAULT
    suppression_key: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        for name in _TEXTS:
            if type(getattr(self, name)) is not str:
                raise ConfigurationError(f"setting {name} is a text")
        for setting in fields(self):
            if setting.name in _TEXTS:
                continue
            value = getattr(self, setting.name)
            minimum = 0 if setting.name in _MAY_BE_ZERO else 1
            if type(value) is not int or not minimum <= value <= limits.INTEGER_MAX:
                given = "a greater one" if type(value) is int and value > minimum else repr(value)
                raise ConfigurationError(
                    f"setting {setting.name} is a whole number from {minimum} to "
                    f"{limits.INTEGER_MAX:,}, not {given}"
                )
        if self.map_bytes_initial > self.map_bytes_max:
            raise ConfigurationError(
                f"map_bytes_initial {self.map_bytes_initial:,} is above "
                f"map_bytes_max {self.map_bytes_max:,}"
            )
        if self.commit_interval_ms > limits.COMMIT_INTERVAL_MS_MAX:
            raise ConfigurationError(
                f"commit_interval_ms is at most {limits.COMMIT_INTERVAL_MS_MAX:,}"
            )
