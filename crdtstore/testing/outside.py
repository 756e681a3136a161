"""The world outside of a function: what it asks beyond its arguments, as far as can be seen.

Every call of a built-in function is observed while the watch lasts, at any depth, so a clock or
chance that is read without consequence today is found too. Log records are stamped by a clock of
their own, and are no matter. The collector of garbage rests meanwhile: it calls what others hung
into it.
"""

import gc
import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from types import FrameType
from typing import Any, Final

_CLOCKS: Final = frozenset(
    f"{name}{end}"
    for name in ("time", "monotonic", "perf_counter", "process_time", "clock_gettime")
    for end in ("", "_ns")
)
_TODAY: Final = frozenset({"now", "utcnow", "today"})
_SHARED_CHANCE: Final = random.random.__self__  # type: ignore[attr-defined]


@contextmanager
def watched() -> Iterator[list[str]]:
    """Note each clock and each source of chance that is asked, by name."""
    asked: list[str] = []

    def observe(frame: FrameType, event: str, callee: Any) -> None:
        if event == "c_call" and (name := _name_of(frame, callee)):
            asked.append(name)

    before, collects = sys.getprofile(), gc.isenabled()
    gc.disable()
    sys.setprofile(observe)
    try:
        yield asked
    finally:
        sys.setprofile(before)
        if collects:
            gc.enable()


def _name_of(frame: FrameType, callee: Any) -> str:
    """Return the name of a clock or of a source of chance, "" for any other function."""
    name, home = callee.__name__, getattr(callee, "__self__", None)
    if getattr(callee, "__module__", None) == "time" and name in _CLOCKS:
        is_of_a_log = str(frame.f_globals.get("__name__")).startswith("logging")
        return "" if is_of_a_log else f"time.{name}"
    if name in _TODAY and isinstance(home, type) and issubclass(home, date):
        return f"{home.__name__}.{name}"
    if home is _SHARED_CHANCE:
        return "random"
    return "os.urandom" if callee is os.urandom else ""
