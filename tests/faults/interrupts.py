"""Ctrl-C of the console script, from its first moment on: one line at most, and no traceback."""

import os
import signal
import subprocess
import sys
import time

from tests.faults.ground import Ground
from tests.patience import PATIENCE_S
from tests.processes.servers import ROOT

SCRIPT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
from crdtstore_script import main
print("on", flush=True)
sys.exit(main())
"""


def interrupted_script(ground: Ground) -> None:
    """Interrupt ``crdtstore serve`` while it loads, while it opens its store, while it serves."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "CRDTSTORE_LOG_LEVEL": "error",
        "CRDTSTORE_NAME": "eu",
        "CRDTSTORE_DATA": str(ground.directory / "eu"),
    }
    while True:
        for delay_ms in (0, 30, 80, 150, 300, 600):
            process = subprocess.Popen(
                [sys.executable, "-c", SCRIPT, "serve", "--listen", "127.0.0.1:0"],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=environment,
            )
            assert process.stdout is not None
            assert process.stdout.readline() == "on\n"
            time.sleep(delay_ms / 1000 * ground.chance.uniform(0.8, 1.2))
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=PATIENCE_S)
            assert said in ("", "crdtstore: interrupted\n"), said
            assert process.returncode in (0, 130)
            ground.tally.times += 1
        if not ground.is_time_left:
            return
