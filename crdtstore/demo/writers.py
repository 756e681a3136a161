"""Writers: what the CRM, the CDP and a steward write, and the sending of it over HTTP."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias

from crdtstore.demo import limits
from crdtstore.demo.client import Client
from crdtstore.demo.ledger import Ledger
from crdtstore.demo.records import Record

Write: TypeAlias = dict[str, Any]

LOGINS_EU: Final = 1
LOGINS_AP: Final = 2
"""Logins counted in every round of the cut, for every contested person, on either side."""


def crm_writes(records: Sequence[Record]) -> list[Write]:
    """Return what the CRM knows: its records, two tags and a consent for each."""
    return [
        _write(
            record,
            "crm",
            **record.fields,
            **_identifiers(record),
            tags={"add": ["imported", "lead"]},
            marketing={"grant": True},
        )
        for record in records
    ]


def cdp_writes(records: Sequence[Record]) -> list[Write]:
    """Return what the CDP knows: its records, and some logins counted for each."""
    return [
        _write(
            record,
            "cdp",
            **record.fields,
            **_identifiers(record),
            logins={"increment": record.number % 7 + 1},
        )
        for record in records
    ]


def connected_writes(record: Record, turn: int) -> list[Write]:
    """Return what eu takes for a person in one round of the cut."""
    number = record.number
    return [
        _write(record, "crm", phone=f"+61 2 5550 {number:04d} ext {turn}"),
        _write(
            record,
            "cdp",
            email=f"p{number}.{turn}@web.example",
            logins={"increment": LOGINS_EU},
            tags={"add": ["lead", "newsletter"]},
            marketing={"grant": True},
        ),
    ]


def cut_off_writes(record: Record, turn: int) -> list[Write]:
    """Return what ap takes for the same person in the same round, not knowing of it."""
    number = record.number
    return [
        _write(
            record,
            "crm",
            phone=f"+61 7 5550 {number:04d} ext {turn}",
            email=f"p{number}.{turn}@work.example",
        ),
        _write(record, "cdp", logins={"increment": LOGINS_AP}),
        _write(
            record,
            "steward",
            tags={"remove": ["imported", "lead"]},
            marketing={"revoke": True},
        ),
        _write(record, "steward", tags={"add": ["vip"]}),
    ]


async def send(client: Client, writes: Sequence[Write], ledger: Ledger) -> None:
    """Send writes in batches, several under way, and note each that is acknowledged."""
    batches = iter(_batches(writes))

    async def work() -> None:
        for batch in batches:
            for write, changed in zip(batch, await client.write(batch), strict=True):
                ledger.acknowledge(client.name, write, changed)

    async with asyncio.TaskGroup() as workers:
        for _ in range(limits.DEMO_BATCHES_IN_FLIGHT):
            workers.create_task(work())


def _identifiers(record: Record) -> dict[str, Any]:
    return {"identifiers": {"add": record.identifiers}} if record.identifiers else {}


def _batches(writes: Sequence[Write]) -> Iterator[Sequence[Write]]:
    for start in range(0, len(writes), limits.DEMO_BATCH_WRITES):
        yield writes[start : start + limits.DEMO_BATCH_WRITES]


def _write(record: Record, source: str, **fields: Any) -> Write:
    return {"id": record.profile_id, "source": source, "fields": fields}
