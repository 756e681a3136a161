"""``make crm-backfill``: loads a million contacts from a local Salesforce, killed in the middle.

The Salesforce is a process of its own, and so is the service. When half is loaded, the service is
killed with SIGKILL, and started again: it goes on where it was. When all is loaded and compared,
every record of a sample must be a person in the store, and nothing must have been written to
Salesforce.
"""

import argparse
import asyncio
import contextlib
import multiprocessing
import random
import shutil
import time
from pathlib import Path
from typing import Any

from benchmarks.ports import free_port
from tests.patience import until
from tests.replicas.crm.processes import ServiceProcess
from tests.replicas.crm.regions import write_salesforce
from tests.replicas.crm.salesforce_server import SalesforceServer

_SAMPLE = 200


def serve_records(port: int, count: int) -> None:
    """Be a Salesforce with so many contacts, until killed."""

    async def main() -> None:
        server = SalesforceServer()
        server.org.fill(count)
        await server.start(port)
        await asyncio.Event().wait()

    asyncio.run(main())


class Backfill:
    """One run: the service beside a Salesforce with ``count`` contacts."""

    def __init__(self, directory: Path, count: int) -> None:
        self.count = count
        self.rss_kib_max = 0
        self.lines: list[str] = []
        here = SalesforceServer()
        here.url = f"http://127.0.0.1:{free_port()}"
        self._vendor = multiprocessing.get_context("spawn").Process(
            target=serve_records, args=(int(here.url.rpartition(":")[2]), count), daemon=True
        )
        self._url = here.url
        port = free_port()
        config = write_salesforce(directory, here, port=port, peers=[], more="")
        self.service = ServiceProcess(config, port)

    async def run(self) -> None:
        """Load everything, with a kill in the middle; raises AssertionError."""
        self._vendor.start()
        try:
            await until(self._vendor_answers, "the vendor", patience_s=120 + self.count / 5_000)
            await self._measure()
        finally:
            await self.service.kill()
            self._vendor.kill()

    async def _measure(self) -> None:
        started = time.perf_counter()
        await self.service.start()
        await self._until_done(self.count // 2)
        half_s = time.perf_counter() - started
        before = await self._done()
        await self.service.kill()
        self._say(f"killed at {before:,} records after {half_s:.1f} s")
        again = time.perf_counter()
        await self.service.start()
        after = await self._done()
        self._say(f"started again in {time.perf_counter() - again:.1f} s, at {after:,} records")
        assert after > 0, "the load began anew"
        await self._until_done(self.count)
        load_s = time.perf_counter() - started
        self._say(f"{self.count:,} records loaded in {load_s:.1f} s: "
                  f"{self.count / load_s:,.0f} a second")  # fmt: skip
        await until(
            self._is_compared, "all profiles to be compared", patience_s=120 + self.count / 500
        )
        all_s = time.perf_counter() - started
        self._say(f"loaded and compared with their records in {all_s:.1f} s: "
                  f"{self.count / all_s:,.0f} a second")  # fmt: skip
        await self._check()
        size_mib = sum(f.stat().st_size for f in self.service.config.parent.rglob("*")
                       if f.is_file()) / 2**20  # fmt: skip
        self._say(f"the service took at most {self.rss_kib_max / 1024:,.0f} MiB of its own memory, "
                  f"{size_mib:,.0f} MiB of disk")  # fmt: skip

    async def _check(self) -> None:
        """A sample is as at the vendor; nothing was written there; requests are few."""
        chance = random.Random(1)
        for number in chance.sample(range(self.count), min(_SAMPLE, self.count)):
            email = f"person{number}@example.com"
            person = await self.service.ask("GET", f"/v1/persons?identifier=email:{email}")
            fields = person["fields"]
            assert (fields["last_name"], fields["title"]) == (f"Last {number}", "CEO"), person
            assert len(person["profiles"]) == 1, person
        status = await self._status()
        digest = await self.service.ask("GET", "/v1/digest")
        assert digest["profiles"] == self.count, digest
        assert status["outflow"]["edits"] == 0, status["outflow"]
        assert status["dead_letters"] == status["rereads"] == 0, status
        self._say(f"requests since the restart: {status['requests']}")

    async def _vendor_answers(self) -> bool:
        assert self._vendor.is_alive(), "the vendor ended"
        with contextlib.suppress(OSError):
            port = int(self._url.rpartition(":")[2])
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return True
        return False

    async def _status(self) -> Any:
        process = self.service.process_id
        with contextlib.suppress(OSError, StopIteration):
            lines = Path(f"/proc/{process}/status").read_text().splitlines()
            own = next(line for line in lines if line.startswith("RssAnon"))
            self.rss_kib_max = max(self.rss_kib_max, int(own.split()[1]))
        return (await self.service.ask("GET", "/crm/status"))["salesforce"]

    async def _done(self) -> int:
        return int((await self._status())["progress"]["Contact"]["done"])

    async def _until_done(self, wanted: int) -> None:
        """Wait until so many records are loaded, with a progress bar."""
        from rich.progress import Progress

        with Progress(transient=True) as bars:
            bar = bars.add_task("Contact", total=self.count)
            deadline = time.monotonic() + 120 + wanted / 200
            while (done := await self._done()) < wanted:
                bars.update(bar, completed=done)
                assert time.monotonic() < deadline, f"only {done:,} records were loaded"
                await asyncio.sleep(0.5)

    async def _is_compared(self) -> bool:
        status = await self._status()
        return bool(status["is_compared"])

    def _say(self, line: str) -> None:
        self.lines.append(line)
        print(line, flush=True)


def main() -> int:
    """Run a backfill of so many records; return 0 if all went well."""
    parser = argparse.ArgumentParser("python -m tests.replicas.crm.backfill", description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--data", type=Path, default=Path("crm-data"), help="made anew each time")
    arguments = parser.parse_args()
    shutil.rmtree(arguments.data, ignore_errors=True)
    asyncio.run(Backfill(arguments.data, arguments.records).run())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
