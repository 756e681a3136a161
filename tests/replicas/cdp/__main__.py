"""``make cdp``: a CDP in two regions, linked, and a shop's visitors who come to both.

The events are sent by the public Segment client, unchanged. What is printed is read from the
profiles, segments and logs of the two services.
"""

import argparse
import asyncio
import random
import shutil
import time
from pathlib import Path
from typing import Any

from segment.analytics import Client

from replicas.cdp.configuration import load_configuration
from replicas.cdp.segments.audience import size_of
from replicas.cdp.service import Running, running
from replicas.cdp.traits.reading import trait_account, trait_values
from tests.patience import until
from tests.replicas.cdp.service import until_learned

_PORTS = {"eu": 8470, "us": 8480}
_KEY = "demo"
_SETTLES_S = 0.05
_WHO = "c1@example.com"
_TRAITS = """\
[traits.orders]
event = "Order Completed"
fold = "count"

[traits.spent_30d]
event = "Order Completed"
fold = "sum"
property = "total"
decimals = 2
window = "30d"

[traits.usual_page]
kind = "page"
property = "@name"
fold = "most_frequent"
"""
_SEGMENTS = """\
[segments.regulars]
all = [{ trait = "orders", ge = 4 }]

[segments.to_be_written_to]
all = [{ identifier = "email" }, { consent = "consent.ads", is = "granted" }]
"""


def write_config(directory: Path, name: str, peers: list[str]) -> Path:
    """Write the configuration of a region; return its path."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "traits.toml").write_text(_TRAITS)
    (directory / "segments.toml").write_text(_SEGMENTS)
    path = directory / f"{name}.toml"
    path.write_text(
        f"""\
name = "{name}"
data = "{name}"
listen = "127.0.0.1:{_PORTS[name]}"
collect_listen = "127.0.0.1:{_PORTS[name] + 1}"
peers = {peers}
traits_file = "traits.toml"
segments_file = "segments.toml"
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
        context = {"consent": {"categoryPreferences": {"ads": number % 3 > 0}}}
        client.identify(who, traits, anonymous_id=phone, context=context)
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
            await _until_computed(service)
            counts = ", ".join(f"{count} {kind}" for kind, count in _kinds(service).items())
            print(f"  {service.configuration.name}: {service.log.last_sequence} events: {counts}")
        await _until_same(here, there)
        print("the orders of one person, as each region counted what came to it:")
        _print_trait(there)
        _print_person("the person as Europe sees it", here)
        _print_person("and as America does", there)
        await _print_segments(there)
        await _withdraw(here)
        await _until_same(here, there)
        _print_person("after a denial of consent in Europe", there)
        await _print_segments(there)
        erased = await _erase(there, here)
        print(f"erased in America: {erased} events are gone from the log in Europe")
        await _until_same(here, there)
        await _print_segments(here)
    return here.replica.digest().digest == there.replica.digest().digest


def _kinds(service: Running) -> dict[str, int]:
    return dict(sorted(service.collector.accepted.items()))


def _print_person(title: str, service: Running) -> None:
    (person,) = service.replica.persons.find("email", _WHO)
    now_ms = time.time_ns() // 1_000_000
    traits = trait_values(service.replica, service.configuration.traits, person.id, now_ms)
    print(f"{title}, of {len(person.profiles)} profiles:")
    for name, value in person.record.items():
        print(f"  {name} = {traits.get(name, value)}")


def _print_trait(service: Running) -> None:
    (person,) = service.replica.persons.find("email", _WHO)
    accounts = trait_account(service.replica, service.configuration.traits, person.id, "orders")
    for each in accounts:
        print(f"  orders at {each['replica']}: {each['payload']}")


async def _print_segments(service: Running) -> None:
    assert service.followers.segments is not None, "the configuration has segments"
    for name in service.followers.segments.definitions.segments:
        size = await size_of(service.replica, name)
        print(f"  segment {name}: {size} persons")


async def _until_computed(service: Running) -> None:
    """Wait until profiles and traits have what the log has."""
    await until_learned(service)
    last = service.log.last_sequence
    await until(lambda: service.folding.position >= last, "traits")


async def _until_same(here: Running, there: Running) -> None:
    """Wait until both regions are the same, and stay so: segments follow what changes."""

    def is_same() -> bool:
        return here.replica.digest().digest == there.replica.digest().digest

    for _ in range(5):
        await until(is_same, "both regions to be the same")
        await asyncio.sleep(_SETTLES_S)
    await until(is_same, "both regions to stay the same")


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
    await there.replica.persons.erase_identifier("email", _WHO)
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
