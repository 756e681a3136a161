"""The log of a process that may not write any more: nothing is taken that is not durable."""

import subprocess
import sys
from pathlib import Path

from replicas.cdp.event_log import EventLog
from tests.processes.servers import ROOT

_SCRIPT = """
import resource, sys
from replicas.cdp.errors import LogUnusable
from replicas.cdp.event_log import EventLog
from replicas.cdp.events import Event

log = EventLog(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))

def append(number):
    log.append([Event("track", f"m{number}", "p", properties={"text": "x" * 50_000})])

taken = 0
try:
    while True:
        append(taken)
        taken += 1
except LogUnusable as error:
    assert "cannot be written" in str(error)
assert 5 < taken < 30, taken
assert log.last_sequence == taken
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
for number in range(taken + 5):
    append(number)
assert log.last_sequence == taken + 5
assert len(log.read(0, 1_000)) == taken + 5
print(taken + 5)
"""


def test_what_the_disk_refuses_is_refused_and_taken_when_it_is_sent_again(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(tmp_path / "events")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    log = EventLog(tmp_path / "events")
    assert [event.message_id for _, event in log.read(0, 1_000)] == [
        f"m{number}" for number in range(int(done.stdout))
    ]
    log.close()
