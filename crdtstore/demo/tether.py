"""Tether: runs the command line of crdtstore for as long as the process that started it lives.

    python -m crdtstore.demo.tether serve --name eu ...

is ``crdtstore serve --name eu ...``, which moreover ends when its standard input does. The demo
holds the other end of that pipe, so no replica outlives it, however it ends.
"""

import os
import runpy
import signal
import sys
import threading
import time

from crdtstore.demo import limits


def main() -> None:
    """Watch standard input, and run the command line."""
    pipe = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    threading.Thread(target=_end_with, args=(pipe,), name="tether", daemon=True).start()
    sys.argv[0] = "crdtstore"
    runpy.run_module("crdtstore.cli.main", run_name="__main__", alter_sys=True)


def _end_with(pipe: int) -> None:
    """Wait for the end of a pipe; then end this process, politely first."""
    while os.read(pipe, 4_096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(limits.DEMO_STOP_TIMEOUT_S)
    os._exit(1)


if __name__ == "__main__":
    main()
