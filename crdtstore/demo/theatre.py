"""Theatre: where a story is played: signals, the data directory, the report, the end."""

import argparse
import asyncio
import contextlib
import dataclasses
import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from crdtstore.demo.commands import commands_of
from crdtstore.demo.editor import EditorServer
from crdtstore.demo.failure import DemoFailed
from crdtstore.demo.fleet import Fleet
from crdtstore.demo.report import Report
from crdtstore.demo.screen import Screen
from crdtstore.demo.story import Plan, Story

_INTERRUPTED = 130


def play(arguments: argparse.Namespace) -> int:
    """Play the demo to its end; return the exit code."""
    return asyncio.run(_play(arguments))


async def _play(arguments: argparse.Namespace) -> int:
    screen = Screen(sys.stderr if arguments.json else sys.stdout)
    report = Report()
    is_told = False
    with _interruptible(), contextlib.ExitStack() as stack:
        try:
            directory = _directory(arguments.data, stack)
            async with Fleet(directory) as fleet:
                if arguments.editor:
                    await _show_editor(fleet, screen, stays=not arguments.exit)
                    return 0
                story = Story(fleet, screen, _plan_of(arguments))
                report = story.report
                await _tell(story, fleet)
                report.commands = commands_of(report.urls, report.golden_records[-1].profile_id)
                if arguments.json:
                    _print_report(report)
                is_told = True
                await _show_around(report, fleet, screen, stays=not arguments.exit)
        except asyncio.CancelledError:
            screen.say("")
            screen.say("stopped" if is_told else "stopped before the end")
            return 0 if is_told else _INTERRUPTED
        except BrokenPipeError:
            raise
        except (DemoFailed, OSError) as error:
            report.error = str(error)
            print(f"crdtstore demo failed: {error}", file=sys.stderr)
            if arguments.json and not is_told:
                _print_report(report)
            return 1
    return 0


async def _show_editor(fleet: Fleet, screen: Screen, *, stays: bool) -> None:
    """Serve the page of the editor until interrupted; raises DemoFailed."""
    if find_spec("pycrdt") is None:
        raise DemoFailed("the editor needs pycrdt: pip install 'crdtstore[collaboration]'")
    server = EditorServer(fleet)
    await fleet.start()
    try:
        await server.start()
        screen.step(1, "One note at two replicas, eu and us: open the page in a browser.")
        screen.say(server.url)
        if stays:
            screen.say("It stays up until Ctrl-C.")
            await fleet.until_one_ends()
            fleet.check_alive()
    finally:
        await server.stop()


async def _tell(story: Story, fleet: Fleet) -> None:
    """Tell the story; if it fails because a replica's process ended, say that instead."""
    try:
        await story.tell()
    except DemoFailed:
        await asyncio.sleep(0.2)  # the end of a process shows a moment after that of its sockets
        fleet.check_alive()
        raise


async def _show_around(report: Report, fleet: Fleet, screen: Screen, *, stays: bool) -> None:
    """Print how to go on by hand, and stay until interrupted; raises DemoFailed."""
    if not stays:
        screen.say("")
        screen.say("Run it without --exit to try the replicas yourself.")
        return
    screen.step(8, "Try it: the replicas stay up until Ctrl-C.")
    for command in report.commands:
        screen.show_command(command)
    await fleet.until_one_ends()
    fleet.check_alive()


def _plan_of(arguments: argparse.Namespace) -> Plan:
    return Plan(
        persons=arguments.records,
        cut_s=arguments.cut_s,
        patience_s=arguments.patience_s,
        is_cut_kept=arguments.keep_cut,
    )


def _directory(wanted: Path | None, stack: contextlib.ExitStack) -> Path:
    """Return the directory for the data: the wanted one, which must be empty, or a passing one."""
    if wanted is None:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crdtstore-demo-")))
    try:
        wanted.mkdir(parents=True, exist_ok=True)
        if any(wanted.iterdir()):
            raise DemoFailed(f"{wanted} is not empty; the demo counts from nothing")
    except OSError as error:
        raise DemoFailed(f"{wanted} cannot be used: {error.strerror}") from error
    return wanted


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and SIGHUP cancel the story, once; then it ends in good order."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    is_cancelled = False

    def interrupt() -> None:
        nonlocal is_cancelled
        if not is_cancelled:
            is_cancelled = True
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, interrupt)
    yield


def _print_report(report: Report) -> None:
    print(json.dumps(dataclasses.asdict(report), ensure_ascii=False), flush=True)
