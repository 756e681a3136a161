"""``make crm``: both local vendors, a CRM replica beside each, linked, to try by hand.

Contacts are made and edited at both vendors all the time; what is edited shows up at the other one.
"""

import argparse
import asyncio
import contextlib
import random
import shutil
from pathlib import Path

from replicas.crm.configuration import load_configuration
from replicas.crm.service import running
from tests.replicas.crm.hubspot_server import HubSpotServer
from tests.replicas.crm.regions import (
    by_email,
    hubspot_golden,
    salesforce_golden,
    write_hubspot,
    write_salesforce,
)
from tests.replicas.crm.salesforce_server import SalesforceServer

_SALESFORCE, _HUBSPOT, _EU, _US, _HOOKS = 8460, 8461, 8450, 8451, 8452


async def show(directory: Path, seconds: float) -> bool:
    """Run everything, for so many seconds (0: until interrupted); say whether all is the same."""
    salesforce = await SalesforceServer().start(_SALESFORCE)
    hubspot = await HubSpotServer().start(_HUBSPOT)
    for number in range(20):
        email, name = f"person{number}@example.com", f"Person {number}"
        if number % 3:
            salesforce.org.create("Contact", {"LastName": name, "Email": email})
        if number % 2 or not number % 3:
            hubspot.account.create({"lastname": name, "email": email})
    eu = write_salesforce(directory / "eu", salesforce, port=_EU, peers=[f"http://127.0.0.1:{_US}"])
    us = write_hubspot(directory / "us", hubspot, port=_US, peers=[], hook_port=_HOOKS)
    async with running(load_configuration(us)), running(load_configuration(eu)):
        print(f"Salesforce {salesforce.url}  HubSpot {hubspot.url}")
        print(f"beside Salesforce: http://127.0.0.1:{_EU}/crm/status, configured by {eu}")
        print(f"beside HubSpot:    http://127.0.0.1:{_US}/crm/status, configured by {us}")
        print("every two seconds a contact is edited at each vendor; Ctrl-C ends it", flush=True)
        await _edit(salesforce, hubspot, seconds)
        is_same = await _are_same(salesforce, hubspot)
    await salesforce.stop()
    await hubspot.stop()
    return is_same


async def _edit(salesforce: SalesforceServer, hubspot: HubSpotServer, seconds: float) -> None:
    chance = random.Random(1)
    started = asyncio.get_running_loop().time()
    number = 0
    while not seconds or asyncio.get_running_loop().time() - started < seconds:
        await asyncio.sleep(2)
        number += 1
        contact = chance.choice(list(salesforce.org.tables["Contact"]))
        salesforce.org.update("Contact", contact, {"Phone": f"+1 555 {number:04}"})
        hubspot.account.update(
            chance.choice(list(hubspot.account.records)), {"jobtitle": f"Title {number}"}
        )
        rows = salesforce.rows_written, hubspot.requests.total()
        print(f"edit {number}: {rows[0]} rows written to Salesforce, {rows[1]} requests to HubSpot")


async def _are_same(salesforce: SalesforceServer, hubspot: HubSpotServer) -> bool:
    for _ in range(100):
        if by_email(salesforce_golden(salesforce)) == by_email(hubspot_golden(hubspot)):
            return True
        await asyncio.sleep(0.1)
    return False


def main() -> int:
    """Run the show; return 0 if both vendors were the same at its end."""
    parser = argparse.ArgumentParser("python -m tests.replicas.crm", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("crm-data"), help="made anew each time")
    parser.add_argument("--seconds", type=float, default=0.0, help="0: until Ctrl-C")
    arguments = parser.parse_args()
    shutil.rmtree(arguments.data, ignore_errors=True)
    with contextlib.suppress(KeyboardInterrupt):
        is_same = asyncio.run(show(arguments.data, arguments.seconds))
        print("both vendors show the same" if is_same else "the vendors differ")
        return 0 if is_same else 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
