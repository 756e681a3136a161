"""CDNOW: 69,659 real purchases folded into traits, and compared with what pandas computes of them.

    python -m benchmarks.cdnow                fetches the purchases by pip, and prints the figures
    python -m benchmarks.cdnow --file PATH    reads CDNOW_master.txt from there

The purchases of 23,570 customers of an early shop for music, from January 1997 to June 1998 (Fader
and Hardie), are in the wheel of Lifetimes (MIT). They are not ours to give on, so they are fetched.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.processes import scratch_directory
from crdtstore import Replica
from replicas.cdp.event_log import EventLog
from replicas.cdp.events import Event
from replicas.cdp.traits.definitions import TraitDefinitions
from replicas.cdp.traits.folding import Folding
from replicas.cdp.traits.reading import trait_values

PACKAGE: Final = "Lifetimes==0.11.3"
MEMBER: Final = "lifetimes/datasets/CDNOW_master.txt"
DAY_MS: Final = 86_400_000
WINDOW_DAYS: Final = 90

TRAITS: Final = """
[traits.orders]
event = "Order Completed"
fold = "count"

[traits.spent]
event = "Order Completed"
fold = "sum"
property = "total"
decimals = 2
unit = "USD"

[traits.discs]
event = "Order Completed"
fold = "sum"
property = "discs"
decimals = 0

[traits.mean]
event = "Order Completed"
fold = "average"
property = "total"
decimals = 2

[traits.dearest]
event = "Order Completed"
fold = "maximum"
property = "total"
decimals = 2

[traits.first_ms]
event = "Order Completed"
fold = "minimum"
property = "@timestamp"
decimals = 0

[traits.last_ms]
event = "Order Completed"
fold = "maximum"
property = "@timestamp"
decimals = 0

[traits.amounts]
event = "Order Completed"
fold = "unique_count"
property = "total"

[traits.median]
event = "Order Completed"
fold = "quantiles"
property = "total"
ranks = [50]

[traits.large]
event = "Order Completed"
fold = "count"
where = { total = { ge = 50 } }

[traits.orders_90d]
event = "Order Completed"
fold = "count"
window = "90d"
bucket = "1d"

[traits.spent_90d]
event = "Order Completed"
fold = "sum"
property = "total"
decimals = 2
window = "90d"
bucket = "1d"
"""


class Purchase(NamedTuple):
    """One line of the file."""

    customer: str
    day_ms: int
    discs: int
    total: float


def fetch(directory: Path) -> Path:
    """Fetch the purchases into a directory."""
    words = ["pip", "download", "--quiet", "--no-deps", "--dest", str(directory), PACKAGE]
    subprocess.run([sys.executable, "-m", *words], check=True)
    (wheel,) = directory.glob("[Ll]ifetimes-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(MEMBER, directory))


def purchases_in(path: Path) -> list[Purchase]:
    """Return the purchases in a file."""
    found = []
    for line in path.read_text(encoding="ascii").splitlines():
        words = line.split()
        if words and words[0].isdigit():
            day = datetime.strptime(words[1], "%Y%m%d").replace(tzinfo=UTC)
            day_ms = int(day.timestamp()) * 1000
            found.append(Purchase(words[0], day_ms, int(words[2]), float(words[3])))
    return found


def _event(number: int, purchase: Purchase) -> Event:
    properties = {"total": purchase.total, "discs": purchase.discs}
    return Event(
        "track", f"cdnow-{number}", purchase.customer, "Order Completed", properties=properties,
        timestamp_ms=purchase.day_ms, received_at_ms=purchase.day_ms,
    )  # fmt: skip


async def folded(
    purchases: Sequence[Purchase], directory: Path, now_ms: int
) -> tuple[dict[str, dict[str, Any]], float]:
    """Return the traits of each customer at a time, and the seconds that folding took."""
    log = EventLog(directory / "events")
    definitions = TraitDefinitions.parse(TRAITS)
    events = [_event(number, purchase) for number, purchase in enumerate(purchases)]
    for first in range(0, len(events), 10_000):
        log.append(events[first : first + 10_000])
    async with Replica.open(
        directory / "replica", name="cdnow", schema=definitions.declared()
    ) as replica:
        folding = Folding(replica, log, definitions)
        begun = time.perf_counter()
        while await folding.fold_once():
            pass
        seconds = time.perf_counter() - begun
        customers = sorted({purchase.customer for purchase in purchases})
        traits = {each: trait_values(replica, definitions, each, now_ms) for each in customers}
    log.close()
    return traits, seconds


def computed(purchases: Sequence[Purchase], now_ms: int) -> dict[str, dict[str, Any]]:
    """Return what pandas computes, for each customer; sums in cents, so that they are exact."""
    import pandas as pd

    table = pd.DataFrame(purchases)
    table["cents"] = (table.total * 100).round().astype("int64")
    table["is_large"] = table.total >= 50
    recent = table[table.day_ms // DAY_MS > now_ms // DAY_MS - WINDOW_DAYS]
    groups = table.groupby("customer")
    columns = pd.DataFrame(
        {
            "orders": groups.size(),
            "spent": groups.cents.sum() / 100,
            "discs": groups.discs.sum(),
            "mean": groups.cents.sum() / (100 * groups.size()),
            "dearest": groups.cents.max() / 100,
            "first_ms": groups.day_ms.min(),
            "last_ms": groups.day_ms.max(),
            "amounts": groups.cents.nunique(),
            "median": groups.total.quantile(0.5, interpolation="lower"),
            "large": groups.is_large.sum(),
            "orders_90d": recent.groupby("customer").size(),
            "spent_90d": recent.groupby("customer").cents.sum() / 100,
        }
    )
    rows = columns.to_dict("index")
    return {str(customer): {str(k): v for k, v in row.items()} for customer, row in rows.items()}


def differences(got: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Return what differs between the traits of one customer and what pandas has of it.

    All must be equal, but for the median, which is within 1 %. Pandas has NaN, or 0, for nothing.
    """
    found = []
    for name, value in wanted.items():
        mine = got.get(name)
        if name == "median":
            is_same = mine is not None and abs(mine["p50"] - value) <= 0.0101 * value
        else:
            is_same = value in (0, mine) or value != value if mine is None else mine == value
        if not is_same:
            found.append(f"{name}: {mine} is not {value}")
    return found


def compare(purchases: Sequence[Purchase], directory: Path) -> dict[str, Any]:
    """Fold purchases, compare each trait of each customer, and return the figures."""
    now_ms = max(purchase.day_ms for purchase in purchases) + DAY_MS // 2
    traits, seconds = asyncio.run(folded(purchases, directory, now_ms))
    wanted = computed(purchases, now_ms)
    wrong = [
        f"{customer}: {difference}"
        for customer, row in wanted.items()
        for difference in differences(traits[customer], row)
    ]
    return {
        "purchases": len(purchases),
        "customers": len(wanted),
        "compared": sum(map(len, wanted.values())),
        "different": len(wrong),
        "examples": wrong[:5],
        "seconds": round(seconds, 2),
        "events_per_s": round(len(purchases) / seconds),
    }


def main() -> int:
    """Run the comparison; return 1 if anything differs."""
    parser = argparse.ArgumentParser("python -m benchmarks.cdnow", description=__doc__)
    parser.add_argument("--file", type=Path, help="CDNOW_master.txt")
    arguments = parser.parse_args()
    with scratch_directory("cdnow") as directory:
        path = arguments.file or fetch(Path(tempfile.mkdtemp(dir=directory)))
        figures = compare(purchases_in(path), directory)
    for name, figure in figures.items():
        print(f"{name:>14}: {figure}")
    return 1 if figures["different"] else 0


if __name__ == "__main__":
    sys.exit(main())
