"""Quiet: simulated replicas refuse thousands of links on purpose, and need not log each."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_logs() -> Iterator[None]:
    """Keep all logs of this process quiet for a while."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(level)
