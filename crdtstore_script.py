"""The console script ``crdtstore``: quiet when it is interrupted, from its first moment on.

The package itself takes some tenths of a second to load, so this stands outside of it, and loads it
where an interrupt is expected.
"""

import sys


def main() -> int:
    """Run the command line; return its exit code, 130 if it was interrupted."""
    try:
        from crdtstore.cli.main import main as run

        return run()
    except KeyboardInterrupt:
        print("crdtstore: interrupted", file=sys.stderr)
        return 130
