"""Room: whether more events may come, or the profiles are too far behind the log."""

from replicas.cdp.errors import TooBusy
from replicas.cdp.event_log import EventLog
from replicas.cdp.learning import Learning


class Room:
    """How far the profiles may be behind the log: ``behind_max`` events."""

    def __init__(self, log: EventLog, learning: Learning, behind_max: int) -> None:
        self._log = log
        self._learning = learning
        self._behind_max = behind_max

    def check(self) -> None:
        """Raise TooBusy if they are further behind."""
        behind = self._log.last_sequence - self._learning.position
        if behind > self._behind_max:
            raise TooBusy(f"profiles are {behind:,} events behind; try again later")
