"""Target: one decoder of bytes from outside, and what must hold for any bytes given to it."""

import random
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.fuzzing.mutation import mutated_bytes

MEBIBYTE = 1 << 20


class Broken(AssertionError):
    """A target's property does not hold."""


@dataclass(frozen=True)
class Target:
    """A decoder under test.

    ``run`` takes any bytes, and raises for whatever must not happen: an error that is not the
    decoder's own, or a property that does not hold. ``examples`` are valid inputs, ``mutated``
    changes one by its structure. The bounds hold for each input: ``seconds_max`` of the process's
    time, and at the peak ``memory_bytes`` and ``memory_ratio`` times the input's size.
    """

    name: str
    run: Callable[[bytes], None]
    examples: Callable[[], list[bytes]]
    mutated: Callable[[bytes, random.Random], bytes] = mutated_bytes
    input_bytes_max: int = 8_192
    seconds_max: float = 2.0
    memory_bytes: int = 4 * MEBIBYTE
    memory_ratio: int = 150
    modules: tuple[str, ...] = field(default=("crdtstore",))

    def measured(self, data: bytes) -> tuple[float, int]:
        """Run one input; return the seconds and the peak of memory that it took, within bounds."""
        tracemalloc.start()
        try:
            before_bytes = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            started = time.process_time()
            self.run(data)
            seconds = time.process_time() - started
            peak_bytes = tracemalloc.get_traced_memory()[1] - before_bytes
        finally:
            tracemalloc.stop()
        bound_bytes = self.memory_bytes + self.memory_ratio * len(data)
        if peak_bytes > bound_bytes:
            raise Broken(f"{len(data):,} bytes took {peak_bytes:,} bytes; bound {bound_bytes:,}")
        if seconds > self.seconds_max:
            raise Broken(f"{len(data):,} bytes took {seconds:.1f} s; bound {self.seconds_max} s")
        return seconds, peak_bytes
