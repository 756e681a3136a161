"""Everything that vendors do wrong, one after the other and all at once; services are killed.

    python -m tests.replicas.crm.chaos --seeds 20

For each misbehaviour: the link between the regions is cut, contacts are edited at both vendors and
in both replicas, and one service is killed with SIGKILL meanwhile; then the link is healed, and all
must come to show the same while the vendors still misbehave. Then they behave, and nothing more may
be written.
"""

import argparse
import asyncio
import random
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from tests.patience import PATIENCE_S
from tests.replicas.crm import hubspot_server, salesforce_server
from tests.replicas.crm.edits import (
    PERSONS,
    Edits,
    is_write,
    nothing_is_lost,
    settle,
    stays_quiet,
    stores_show_the_same,
)
from tests.replicas.crm.mischief import WELL
from tests.replicas.crm.processes import World, world

_POLLS = "poll_s = 0.3\nrequest_timeout_s = 1\n"
_FIELDS = ("first_name", "phone", "title")


def _rates(here: World, *rates: float) -> None:
    refusal, lost, ended, row, late = rates
    for mischief in (here.salesforce.mischief, here.hubspot.mischief):
        mischief.rates = (refusal, lost, ended, row, late)


def lock_storm(here: World) -> None:
    """Rows in chunks of several find locks, and some rows alone do too."""
    here.salesforce.lock_chunk = 1
    _rates(here, 0, 0, 0, 0.3, 0)


def limits_reached(here: World) -> None:
    """Two requests of five are refused, for there were too many."""
    _rates(here, 0.4, 0, 0, 0, 0)
    here.salesforce.mischief.refusals = [salesforce_server.REFUSALS[2]]
    here.hubspot.mischief.refusals = [hubspot_server.REFUSALS[2]]


def sessions_end(here: World) -> None:
    """Each fifth request finds that its session has ended."""
    _rates(here, 0, 0, 0.2, 0, 0)


def half_of_a_batch_fails(here: World) -> None:
    """Each row fails with a chance of one half."""
    _rates(here, 0, 0, 0, 0.5, 0)


def answers_lost_after_success(here: World) -> None:
    """What was asked is done, and the connection breaks, or the answer comes after the timeout."""
    _rates(here, 0, 0.2, 0, 0, 0.08)


def redelivered_ten_times(here: World) -> None:
    """Each event comes ten times, older ones with it."""
    here.hubspot.copies = here.salesforce.event_copies = 10


def out_of_order(here: World) -> None:
    """Events overtake each other."""
    here.hubspot.is_shuffled = here.hubspot.overtakes = True
    here.hubspot.copies = 2


def everything_at_once(here: World) -> None:
    """All of it, each a little less."""
    _rates(here, 0.1, 0.08, 0.05, 0.15, 0.01)
    here.hubspot.copies = here.salesforce.event_copies = 10
    here.hubspot.is_shuffled = here.hubspot.overtakes = True
    here.salesforce.lock_chunk = 4


Misbehaviour = Callable[[World], None]
MISBEHAVIOURS: Final[tuple[Misbehaviour, ...]] = (
    lock_storm, limits_reached, sessions_end, half_of_a_batch_fails, answers_lost_after_success,
    redelivered_ten_times, out_of_order, everything_at_once,
)  # fmt: skip
_SHOWS: Final[Mapping[Misbehaviour, str]] = MappingProxyType(
    {
        limits_reached: "refusal",
        sessions_end: "ended session",
        half_of_a_batch_fails: "failed row",
        answers_lost_after_success: "lost answer",
    }
)


def all_is_well(here: World) -> None:
    """Have both vendors behave."""
    for mischief in (here.salesforce.mischief, here.hubspot.mischief):
        mischief.rates, mischief.refusals = WELL, []
    here.hubspot.copies = here.salesforce.event_copies = 1
    here.hubspot.is_shuffled = here.hubspot.overtakes = False
    here.salesforce.lock_chunk = 0


async def endure(
    directory: Path, seed: int, misbehaviours: Sequence[Misbehaviour] = MISBEHAVIOURS
) -> list[str]:
    """Go through misbehaviours; return a line about each. Raises AssertionError.

    With an even seed Salesforce's events come over its Pub/Sub API.
    """
    chance = random.Random(seed)
    lines = []
    async with world(directory, _POLLS, is_streaming=seed % 2 == 0) as here:
        here.salesforce.mischief.chance = random.Random(seed + 1)
        here.hubspot.mischief.chance = random.Random(seed + 2)
        edits = Edits(here)
        edits.records()
        await here.start()
        await settle(here, edits)
        for misbehaviour in misbehaviours:
            lines.append(await _phase(here, edits, misbehaviour, chance))
        await stores_show_the_same(here)
        await nothing_is_lost(here, edits)
        # Each edit is written to the other vendor about once, whatever went wrong meanwhile.
        changes = sum(len(r["history"][n]) for r in here.hubspot.account.records.values()
                      for n in r["history"])  # fmt: skip
        rows = here.salesforce.rows_written
        assert rows <= PERSONS + 2 * edits.number, f"{rows} rows for {edits.number} edits"
        assert changes <= 5 * PERSONS + 2 * edits.number, f"{changes} for {edits.number} edits"
    return lines


def _told(here: World) -> Counter[str]:
    return here.salesforce.mischief.told + here.hubspot.mischief.told


async def _phase(
    here: World, edits: Edits, misbehaviour: Misbehaviour, chance: random.Random
) -> str:
    clock = asyncio.get_running_loop().time
    before, started = here.salesforce.requests + here.hubspot.requests, clock()
    made = edits.number
    misbehaviour(here)
    here.link.cut()
    await _edit_everywhere(here, edits, chance)
    here.link.heal()
    await settle(here, edits)
    shown = _SHOWS.get(misbehaviour)
    async with asyncio.timeout(PATIENCE_S):
        while shown is not None and not _told(here)[shown]:  # it comes by chance
            await _edit_everywhere(here, edits, chance)
            await settle(here, edits)
    all_is_well(here)
    await settle(here, edits)
    await stays_quiet(here)
    requests = here.salesforce.requests + here.hubspot.requests - before
    written = sum(count for name, count in requests.items() if is_write(name))
    edited, elapsed_s = edits.number - made, clock() - started
    line = (f"{misbehaviour.__name__}: {edited} edits, {written} requests that write, "
            f"{requests.total()} in all in {elapsed_s:.1f} s")  # fmt: skip
    for mischief in (here.salesforce.mischief, here.hubspot.mischief):
        mischief.told.clear()
    # An edit is sent alone at worst, and each time as often as it takes to get through.
    assert written <= 5 * edited, line
    # All else are polls, three for each 0.3 s, some repeated, and records read again.
    assert requests.total() - written <= 4 * elapsed_s / 0.3 + 3 * edited, line
    return line


async def _edit_everywhere(here: World, edits: Edits, chance: random.Random) -> None:
    """Edit everywhere, each person's fields on one side each, and kill a service meanwhile."""
    fields = [*_FIELDS]
    chance.shuffle(fields)
    killed = chance.choice((here.eu, here.us))
    other = here.us if killed is here.eu else here.eu
    numbers = range(0, PERSONS, 2)
    fatal = chance.choice(numbers)
    for number in numbers:
        email = f"p{number}@example.com"
        edits.at_salesforce(email, fields[0])
        edits.at_hubspot(email, fields[1])
        await edits.in_store(other, email, fields[2])
        await asyncio.sleep(chance.uniform(0, 0.1))
        if number == fatal:
            await killed.kill()
    await killed.start()


def main() -> int:
    """Try so many seeds; return how many failed."""
    parser = argparse.ArgumentParser("python -m tests.replicas.crm.chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=1)
    arguments = parser.parse_args()
    failed = 0
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as directory:
            try:
                lines = asyncio.run(endure(Path(directory), seed))
            except AssertionError:
                failed += 1
                print(f"seed {seed} failed:", traceback.format_exc(), flush=True)
            else:
                took_s = time.monotonic() - started
                print(f"seed {seed}: {took_s:.0f} s", *lines, sep="\n    ", flush=True)
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
