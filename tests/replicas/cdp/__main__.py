"""``make cdp``: a CDP in two regions, linked, and a shop's visitors who come to both.

The events are sent by the public Segment client, unchanged. What is printed is read from the
profiles and logs of the two services.
"""

import argparse
import asyncio
import random
import shutil
from pathlib import Path
from typing import Any

from segment.analytics import Client

from replicas.cdp.configuration import load_configuration
from replicas.cdp.service import Running, running
from tests.replicas.cdp.service import until, until_learned

_PORTS = {"eu": 8470, "us": 8480}
_KEY = "demo"


def write_config(directory: Path, name: str, peers: list[str]) -> Path:
    """Write the configuration of a region; return its path."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}.toml"
    path.write_text(
        f"""\
name = "{name}"
data = "{name}"
listen = "127.0.0.1:{_PORTS[name]}"
collect_listen = "127.0.0.1:{_PORTS[name] + 1}"
peers = {peers}
log_level = "warning"

[write_keys]
shop = "{_KEY}"
"""
    )
    return path


def visit(region: str, visitors: int, seed: int) -> None:
    """Send what some visitors do in a region."""
    client = Client(_KEY, host=f"http://127.0.0.1:{_PORTS[region] + 1}", upload_interval=0.1)
    chance = random.Random(seed)
    for number in range(visitors):
        phone, who = f"{region}-phone-{number}", f"customer-{number}"
        for _ in range(chance.randrange(1, 5)):
            client.page(anonymous_id=phone, name=chance.choice(["Home", "Shoes", "Hats"]))
        traits = {"email": f"c{number}@example.com", f"seen_in_{region}": True}
        client.identify(who, traits, anonymous_id=phone)
        for order in range(chance.randrange(1, 4)):
            total = round(chance.uniform(5, 80), 2)
            client.track(who, "Order Completed", {"total": total, "order": order})
    client.flush()
    client.join()


async def show(directory: Path, visitors: int) -> bool:
    """Run the story; say whether both regions came to the same profiles."""
    us = write_config(directory, "us", [])
    eu = write_config(directory, "eu", [f"http://127.0.0.1:{_PORTS['us']}"])
    async with running(load_configuration(us)) as there, running(load_configuration(eu)) as here:
        print(f"{visitors} visitors come to a shop in Europe, and to one in America", flush=True)
        visits = (asyncio.to_thread(visit, region, visitors, 1) for region in _PORTS)
        await asyncio.gather(*visits)
        for service in (here, there):
            await until_learned(service)
            counts = ", ".join(f"{count} {kind}" for kind, count in _kinds(service).items())
            print(f"  {service.configuration.name}: {service.log.last_sequence} events: {counts}")
        await _until_same(here, there)
        _print_person("the person as Europe sees it", here, "c1@example.com")
        _print_person("and as America does", there, "c1@example.com")
        await _withdraw(here)
        await _until_same(here, there)
        _print_person("after a denial of consent in Europe", there, "c1@example.com")
        erased = await _erase(there, here)
        print(f"erased in America: {erased} events are gone from the log in Europe")
        await _until_same(here, there)
    return here.replica.digest().digest == there.replica.digest().digest


def _kinds(service: Running) -> dict[str, int]:
    return dict(sorted(service.collector.accepted.items()))


def _print_person(title: str, service: Running, email: str) -> None:
    (person,) = service.replica.persons.find("email", email)
    print(f"{title}, of {len(person.profiles)} profiles:")
    for name, value in person.record.items():
        print(f"  {name} = {value}")


async def _until_same(here: Running, there: Running) -> None:
    def is_same() -> bool:
        return here.replica.digest().digest == there.replica.digest().digest

    await until(is_same, "both regions to be the same")


async def _withdraw(service: Running) -> None:
    def send() -> None:
        client = Client(_KEY, host=f"http://127.0.0.1:{_PORTS['eu'] + 1}")
        context: dict[str, Any] = {"consent": {"categoryPreferences": {"ads": False}}}
        client.track("customer-1", "Segment Consent Preference Updated", context=context)
        client.flush()
        client.join()

    await asyncio.to_thread(send)
    await until_learned(service)


async def _erase(there: Running, here: Running) -> int:
    await there.replica.persons.erase_identifier("email", "c1@example.com")
    await until(lambda: here.forgetting.forgotten > 0, "Europe to forget")
    return here.forgetting.forgotten


def main() -> int:
    """Run the story; return 0 if both regions were the same at its end."""
    parser = argparse.ArgumentParser("python -m tests.replicas.cdp", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("cdp-data"), help="made anew each time")
    parser.add_argument("--visitors", type=int, default=200)
    arguments = parser.parse_args()
    shutil.rmtree(arguments.data, ignore_errors=True)
    is_same = asyncio.run(show(arguments.data, arguments.visitors))
    print("both regions are the same" if is_same else "the regions differ")
    return 0 if is_same else 1


if __name__ == "__main__":
    raise SystemExit(main())
