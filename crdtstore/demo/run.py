"""``crdtstore demo``: three replicas on this machine, on real records, until Ctrl-C.

Its parts are imported when it runs: the command line is quick for every other command.
"""

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

from crdtstore.demo import limits

_INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the demo to its command."""
    parser.add_argument("--exit", action="store_true", help="end at once when all is shown")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON report; the story goes to stderr"
    )
    parser.add_argument(
        "--records", type=_records, default=limits.DEMO_RECORDS_MAX, metavar="N",
        help=f"how many persons (1 to {limits.DEMO_RECORDS_MAX:,}, the default)",
    )  # fmt: skip
    parser.add_argument(
        "--data", type=Path, metavar="DIR",
        help="keep the replicas' data here, in an empty directory (default: a temporary one)",
    )  # fmt: skip
    parser.add_argument(
        "--cut", type=_seconds, default=limits.DEMO_CUT_S, metavar="SECONDS", dest="cut_s",
        help=f"how long ap is cut off ({limits.DEMO_CUT_S:g})",
    )  # fmt: skip
    parser.add_argument(
        "--patience", type=_seconds, default=limits.DEMO_PATIENCE_S, metavar="SECONDS",
        dest="patience_s", help=f"how long to wait for convergence ({limits.DEMO_PATIENCE_S:g})",
    )  # fmt: skip
    parser.add_argument(
        "--editor", action="store_true",
        help="serve a page instead, on which one note is written at two replicas at one time",
    )  # fmt: skip
    parser.add_argument(
        "--keep-cut", action="store_true", help="never heal the cut: shows that the demo can fail"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the demo; return its exit code: 0 if all converged and adds up, else 1."""
    if find_spec("rich") is None:
        sys.stderr.write("crdtstore: the demo needs rich: pip install 'crdtstore[server]'\n")
        return 1
    try:
        from crdtstore.demo.theatre import play

        return play(arguments)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return 1


def _records(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= limits.DEMO_RECORDS_MAX:
        raise argparse.ArgumentTypeError(f"is a number from 1 to {limits.DEMO_RECORDS_MAX:,}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 24 * 3600:
        raise argparse.ArgumentTypeError("is a number of seconds above 0")
    return seconds
