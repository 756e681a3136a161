"""Racing: one task's end is the end of all, and its error is raised."""

import asyncio

import pytest

from crdtstore.racing import until_one_ends


def test_the_end_of_one_ends_the_others() -> None:
    async def run() -> None:
        endless = asyncio.create_task(asyncio.Event().wait())
        await until_one_ends([endless, asyncio.create_task(asyncio.sleep(0))])
        assert endless.cancelled()

    asyncio.run(run())


def test_the_error_by_which_one_ends_is_raised() -> None:
    async def fail() -> None:
        raise ConnectionResetError("gone")

    async def run() -> None:
        endless = asyncio.create_task(asyncio.Event().wait())
        with pytest.raises(ConnectionResetError, match="gone"):
            await until_one_ends([endless, asyncio.create_task(fail())])
        assert endless.cancelled()

    asyncio.run(run())


def test_a_race_that_is_cancelled_leaves_no_task_behind() -> None:
    async def run() -> None:
        endless = asyncio.create_task(asyncio.Event().wait())
        race = asyncio.create_task(until_one_ends([endless]))
        await asyncio.sleep(0)
        race.cancel()
        with pytest.raises(asyncio.CancelledError):
            await race
        assert endless.cancelled()

    asyncio.run(run())
