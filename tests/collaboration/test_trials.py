"""The worker for updates: what would end, hang or bloat this process ends the worker instead."""

import asyncio

import pytest

from crdtstore.collaboration.trials import TextTrials, TrialsBusy, UpdateRefused
from crdtstore.errors import InvalidValue
from crdtstore.model.texts import Text
from crdtstore.model.updates import decode_update
from tests.fuzzing.update_grammar import nested, number, real_updates
from tests.patience import PATIENCE_S

HANGS = b"\x01\x01\x01\x00\x04\x01\x04list\x04\xf0\x9f\x98\x80\x00"
"""A string at the root of a list: reading that as a list never ends."""

CRASHES = nested(60_000)
"""Well formed, and deeper than the stack of a thread."""

PANICS = bytes.fromhex("01010a01000000")
"""A block of no length: whoever encodes the document panics, by no ``Exception``."""

REFUSED = b"\x01\x01\x01\x00\x1f"
"""Native code says itself that this is no update."""


def run(scenario):
    async def main():
        trials = TextTrials()
        try:
            await asyncio.wait_for(scenario(trials), PATIENCE_S)
        finally:
            await trials.close()

    asyncio.run(main())


async def refused(trials, update, reason, kind="list"):
    with pytest.raises(UpdateRefused, match=reason):
        await trials.try_update("it", Text(kind), update)


@pytest.mark.parametrize(
    ("update", "reason", "counter"),
    [
        (HANGS, "did not come to an end", "hangs"),
        (CRASHES, "crashed", "deaths"),
        (PANICS, "crashed", "deaths"),
        (REFUSED, "does not take", "refused"),
    ],
    ids=["hangs", "crashes", "panics", "refused"],
)
def test_what_harms_native_code_costs_one_worker(update, reason, counter, monkeypatch):
    async def scenario(trials):
        await refused(trials, update, reason)
        assert trials.counters[counter] == 1
        monkeypatch.undo()
        trials._not_before_s = 0.0
        for good in real_updates("list")[:3]:
            text = Text("list")
            await trials.try_update("another", text, good)
            text.take(good, decode_update(good, "list"))

    if counter == "hangs":
        monkeypatch.setattr("crdtstore.limits.TRIAL_TIMEOUT_S", 1.0)
    with pytest.raises(InvalidValue):
        decode_update(update, "list")
    run(scenario)


def test_a_worker_that_keeps_dying_is_started_more_and_more_seldom(monkeypatch):
    async def scenario(trials):
        for pause_s in (50, 100, 200):
            assert trials._pause_s == pause_s
            await refused(trials, PANICS, "crashed")
            with pytest.raises(TrialsBusy, match="just died"):
                await trials.try_update("it", Text("text"), PANICS)
            trials._not_before_s = 0.0  # the pause is over
        await trials.try_update("it", Text("text"), real_updates("text")[0])
        assert trials._pause_s == 50

    monkeypatch.setattr("crdtstore.limits.TRIAL_PAUSE_S_MIN", 50)
    monkeypatch.setattr("crdtstore.limits.TRIAL_PAUSE_S_MAX", 1_000)
    run(scenario)


def test_a_worker_that_does_not_come_up_refuses_nothing(monkeypatch, tmp_path):
    """A machine that is busy, say: no update is blamed for that, and it is tried later."""

    async def scenario(trials):
        update = real_updates("text")[0]
        with monkeypatch.context() as patch:
            patch.setattr("crdtstore.limits.TRIAL_TIMEOUT_S", 0.2)
            patch.setattr("crdtstore.limits.TRIAL_START_TIMEOUT_S", 0.4)
            patch.setattr("crdtstore.collaboration.trials._PROGRAM", tmp_path / "endless.py")
            with pytest.raises(TrialsBusy, match="does not come up"):
                await trials.try_update("it", Text("text"), update)
        trials._not_before_s = 0.0
        await trials.try_update("it", Text("text"), update)
        assert trials.counters["hangs"] == trials.counters["deaths"] == 0
        assert trials.counters["starts"] == 2

    (tmp_path / "endless.py").write_text("import time; time.sleep(600)")
    run(scenario)


def test_memory_is_bounded(monkeypatch):
    async def scenario(trials):
        text = Text("text")
        huge = b"\x01\x01\x01\x00\x04\x01\x04text" + number(90 << 20) + b"a" * (90 << 20) + b"\x00"
        with pytest.raises(UpdateRefused):
            await trials.try_update("it", text, huge)
        trials._not_before_s = 0.0
        await trials.try_update("another", Text("text"), real_updates("text")[0])

    monkeypatch.setattr("crdtstore.limits.TRIAL_MEMORY_BYTES", 300 << 20)
    run(scenario)


def test_too_many_that_wait_are_sent_away(monkeypatch):
    async def scenario(trials):
        first = asyncio.create_task(trials.try_update("it", Text("text"), real_updates("text")[0]))
        await asyncio.sleep(0)
        with pytest.raises(TrialsBusy, match="wait"):
            await trials.try_update("it", Text("text"), real_updates("text")[0])
        await first

    monkeypatch.setattr("crdtstore.limits.TRIALS_WAITING_MAX", 1)
    run(scenario)


def test_the_worker_is_sent_only_what_it_lacks(monkeypatch):
    async def scenario(trials):
        sizes = []
        ask = trials._ask

        async def weigh(process, request):
            sizes.append(len(request))
            return await ask(process, request)

        trials._ask = weigh
        text = Text("text")
        for update in real_updates("text")[:6]:
            await trials.try_update("it", text, update)
            text.take(update, decode_update(update, "text"))
        assert max(sizes) < 400
        text.compact()
        update = real_updates("text")[-1]
        await trials.try_update("it", text, update)
        assert sizes[-1] > 400, "the whole text, anew"

    run(scenario)


def test_a_cancelled_trial_leaves_no_answer_to_the_next(monkeypatch):
    async def scenario(trials):
        text = Text("text")
        await trials.try_update("it", text, real_updates("text")[0])
        for _ in range(5):
            task = asyncio.create_task(trials.try_update("it", text, real_updates("text")[0]))
            await asyncio.sleep(0.0005)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await trials.try_update("it", text, real_updates("text")[0])

    run(scenario)
