"""``python -m tests.faults``: the campaign of real processes and real faults."""

import argparse


def main() -> None:
    """Read the command line, and run the campaign."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="for all faults together (5)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments chosen by chance (1)")
    parser.add_argument("--only", default="", help="faults whose name contains this")
    arguments = parser.parse_args()
    from tests.faults.campaign import run

    run(arguments.minutes, arguments.seed, arguments.only)


if __name__ == "__main__":
    main()
