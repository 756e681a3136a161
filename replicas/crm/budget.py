"""The budget of API calls, and the circuit breaker: when the next request may go. Pure.

A vendor limits calls in short windows and per day. All lanes of work (events, pushes, pulls, loads)
share one budget; ``replicas.crm.turnstile`` lets them through in turn. Loads in the background stop
earlier than edits do, when a day's calls run out.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from replicas.crm import limits


@dataclass(frozen=True, slots=True)
class Window:
    """So many calls within any so many seconds."""

    calls: int
    seconds: float


class Budget:
    """The calls that are left. Times are seconds of a clock that never goes back."""

    def __init__(self, windows: Sequence[Window]) -> None:
        self.calls = 0
        self.daily: tuple[int, int] | None = None
        self._windows = [(window, deque[float]()) for window in windows]

    def wait_s(self, now_s: float, *, is_background: bool) -> float:
        """Return after how many seconds the next call may go, 0 for now."""
        if is_background and self._is_day_nearly_used():
            return limits.PAUSE_S
        wait_s = 0.0
        for window, sent in self._windows:
            while sent and sent[0] <= now_s - window.seconds:
                sent.popleft()
            if len(sent) >= window.calls:
                wait_s = max(wait_s, sent[-window.calls] + window.seconds - now_s)
        return wait_s

    def count(self, now_s: float) -> None:
        """Take note of a call."""
        self.calls += 1
        for _, sent in self._windows:
            sent.append(now_s)
        if self.daily is not None:
            self.daily = (self.daily[0] + 1, self.daily[1])

    def heard(self, usage: tuple[int, int]) -> None:
        """Take note of what the vendor says: calls used of a day's, and how many there are."""
        self.daily = usage

    def _is_day_nearly_used(self) -> bool:
        if self.daily is None:
            return False
        used, total = self.daily
        return used >= total * limits.BACKGROUND_SHARE


class Breaker:
    """Lets nothing through while a vendor is down, or asked to be left alone.

    After some failures in a row it is open for a while; then one request tries, and closes it if it
    succeeds.
    """

    def __init__(self) -> None:
        self.reason = ""
        self.failures = 0
        self._open_until_s = 0.0

    @property
    def is_closed(self) -> bool:
        """Whether requests go through as they come."""
        return not self.reason

    def wait_s(self, now_s: float) -> float:
        """Return after how many seconds a request may try, 0 for now."""
        return max(0.0, self._open_until_s - now_s) if self.reason else 0.0

    def succeeded(self) -> None:
        """Take note that the vendor answered."""
        self.failures = 0
        self.reason = ""

    def failed(self, now_s: float, reason: str) -> None:
        """Take note of an attempt that failed."""
        self.failures += 1
        if self.failures >= limits.BREAKER_FAILURES_MAX:
            self.reason = f"{self.failures} attempts in a row failed, the last one: {reason}"
            self._open_until_s = now_s + limits.BREAKER_OPEN_S

    def pause(self, now_s: float, seconds: float, reason: str) -> None:
        """Leave the vendor alone for so long, as it asked."""
        self.reason = reason
        self._open_until_s = max(self._open_until_s, now_s + seconds)
