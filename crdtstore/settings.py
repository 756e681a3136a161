"""Settings of a store: what an operator may choose, each with its unit and default."""

from dataclasses import dataclass, fields

from crdtstore import limits
from crdtstore.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Settings:
    """How a store uses memory, disk and time.

    ``commit_interval_ms`` waits so long between two commits, so that more writers share one fsync;
    0 commits as soon as the one before is durable. A write is answered after its fsync in either
    case. ``journal_retention_ms`` and ``journal_bytes_max`` bound how far back peers and readers of
    the change feed can go on without a snapshot; what all known replicas have made durable is kept
    for ``acknowledged_retention_ms`` only, unless the feed is read. ``witness_directory`` lies in
    memory that outlives the process but not the machine, "" in the system's own: see
    ``crdtstore.storage.witness``. Raises ConfigurationError for a value out of range.
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

    def __post_init__(self) -> None:
        if type(self.witness_directory) is not str:
            raise ConfigurationError(
                f"setting witness_directory is a text, not {self.witness_directory!r}"
            )
        for setting in fields(self):
            if setting.name == "witness_directory":
                continue
            value = getattr(self, setting.name)
            minimum = 0 if setting.name == "commit_interval_ms" else 1
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
