"""The bounds of the demo: each with its unit and the reason for its size."""

from typing import Final

DEMO_PORT_MIN: Final = 20_000
DEMO_PORT_MAX: Final = 31_999
"""Ports of the demo's replicas: above the usual services, below those that systems hand out."""

DEMO_RECORDS_MAX: Final = 5_000
"""Persons in the packaged data set."""

DEMO_BATCH_WRITES: Final = 100
"""Writes in one request of a demo writer: as a sync service sends them."""

DEMO_BATCHES_IN_FLIGHT: Final = 4
"""Requests that a demo writer has under way: enough to fill a group commit."""

DEMO_CONTESTED_MAX: Final = 500
"""Persons edited on both sides of the cut: enough to be no accident, few enough to be quick."""

DEMO_READS_IN_FLIGHT: Final = 32
"""Requests that the demo's audit has under way on each replica."""

DEMO_CUT_S: Final = 4.0
"""How long the demo keeps a region cut off: long enough to watch it fall behind."""

DEMO_CUT_ROUNDS: Final = 10
"""Rounds of edits during the cut: lag grows before the eyes, not in one jump."""

DEMO_START_TIMEOUT_S: Final = 30.0
"""A demo replica is ready within this, also on a busy machine."""

DEMO_PATIENCE_S: Final = 60.0
"""How long the demo waits for convergence: four times the longest pause between dials."""

DEMO_STOP_TIMEOUT_S: Final = 15.0
"""A demo replica that has not ended so long after SIGTERM is killed: it may drain for 10 s."""

DEMO_LOOK_S: Final = 0.1
"""The demo looks at its replicas this often: the error of the times that it prints."""

DEMO_STEWARD_LOOK_S: Final = 0.002
"""The demo looks this often whether a decision has arrived: it takes a few milliseconds."""

DEMO_LINE_S: Final = 1.0
"""Without a terminal the demo prints a line about its replicas this often."""
