"""Two CRM replicas in two regions converge with their vendors, whatever goes wrong.

Real services as processes, real HTTP; the vendors refuse, lose answers, end sessions, fail rows,
deliver events ten times in any order; the link between the regions is cut; services are killed.
"""

import asyncio
from pathlib import Path

from tests.patience import until
from tests.replicas.crm.chaos import (
    answers_lost_after_success,
    endure,
    everything_at_once,
    out_of_order,
)
from tests.replicas.crm.edits import (
    PERSONS,
    Edits,
    are_same,
    is_write,
    newcomer_is_one,
    nothing_is_lost,
    settle,
    stays_quiet,
    stores_show_the_same,
    until_shown,
)
from tests.replicas.crm.processes import world
from tests.replicas.crm.regions import salesforce_golden


def test_regions_converge_over_a_partition(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path, is_streaming=True) as here:
            edits = Edits(here)
            edits.records()
            await here.start()
            await settle(here, edits)
            await stays_quiet(here)
            here.link.cut()
            edits.at_salesforce("p0@example.com", "phone")
            edits.at_hubspot("p0@example.com", "title")
            await edits.in_store(here.eu, "p1@example.com", "phone")
            await edits.in_store(here.us, "p1@example.com", "title")
            edits.conflict("p2@example.com", "first_name")
            await asyncio.sleep(0.7)
            assert not are_same(here)
            clock = asyncio.get_running_loop().time
            before, started = here.salesforce.requests + here.hubspot.requests, clock()
            here.link.heal()
            await settle(here, edits)
            await stays_quiet(here)
            await stores_show_the_same(here)
            await nothing_is_lost(here, edits)
            edits.newcomer()
            await until(lambda: len(salesforce_golden(here.salesforce)) > PERSONS, "a newcomer")
            await until_shown(here, newcomer_is_one, "one newcomer")
            rows = here.salesforce.rows_written
            assert rows <= PERSONS + 7, "a record was written more often than it changed"
            after = here.salesforce.requests + here.hubspot.requests - before
            written = sum(count for name, count in after.items() if is_write(name))
            assert written <= 20, after
            # All else are polls, three for each 0.3 s, and a few single records read again.
            assert after.total() - written <= 3 * (clock() - started) / 0.3 + 30, after

    asyncio.run(main())


def test_regions_converge_while_vendors_misbehave_and_services_are_killed(tmp_path: Path) -> None:
    """The worst of it, and all of it at once; ``make crm-chaos`` also tries each one alone."""
    worst = (answers_lost_after_success, out_of_order, everything_at_once)
    asyncio.run(endure(tmp_path, seed=1, misbehaviours=worst))
