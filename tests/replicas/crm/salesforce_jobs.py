"""Bulk API 2.0 of the local Salesforce: jobs, their rows, and three lists of results."""

import csv
import io
import itertools
from typing import Any

from aiohttp import web

from tests.replicas.crm.mischief import Mischief
from tests.replicas.crm.salesforce_org import Org, RowError


class Jobs:
    """The jobs of one org. A job leaves the rows from ``stop_after`` on unprocessed."""

    def __init__(self, org: Org, mischief: Mischief) -> None:
        self.stop_after = 10**9
        self._org = org
        self._mischief = mischief
        self._jobs: dict[str, dict[str, Any]] = {}
        self._numbers = itertools.count(1)

    def add_to(self, app: web.Application, root: str) -> None:
        """Add the addresses of jobs to an application."""
        add = app.router.add_route
        add("POST", f"{root}/jobs/ingest", self._job_make)
        add("GET", f"{root}/jobs/ingest/{{job}}", self._job)
        add("PATCH", f"{root}/jobs/ingest/{{job}}", self._job_end)
        add("PUT", f"{root}/jobs/ingest/{{job}}/batches", self._job_rows)
        add("GET", f"{root}/jobs/ingest/{{job}}/{{list}}", self._job_results)

    async def _job_make(self, request: web.Request) -> web.Response:
        body = await request.json()
        job = f"750{next(self._numbers):012}"
        job_type = "V2Ingest"
        self._jobs[job] = {**body, "id": job, "state": "Open", "rows": [], "jobType": job_type,
                           "contentUrl": f"services/data/v62.0/jobs/ingest/{job}/batches",
                           "client": client_of(request)}  # fmt: skip
        return self._job_shown(job)

    async def _job_rows(self, request: web.Request) -> web.Response:
        text = (await request.read()).decode()
        self._jobs[request.match_info["job"]]["rows"] = list(csv.DictReader(io.StringIO(text)))
        return web.Response(status=201)

    async def _job_end(self, request: web.Request) -> web.Response:
        job = self._jobs[request.match_info["job"]]
        if (await request.json())["state"] != "UploadComplete" or job["state"] != "Open":
            return refusal(400, "INVALIDJOBSTATE", "the job is not open")
        job.update(state="InProgress", successful=[], failed=[], unprocessed=[])
        for row in job["rows"]:
            self._bulk_row(job, row)
        for name in ("successful", "failed", "unprocessed"):
            job[name].reverse()
        return self._job_shown(job["id"])

    def _bulk_row(self, job: dict[str, Any], row: dict[str, str]) -> None:
        if len(job["successful"]) >= self.stop_after:
            job["unprocessed"].append(row)
            return
        key = job.get("externalIdFieldName", "Id")
        values = {
            name: None if value == "#N/A" else {"true": True, "false": False}.get(value, value)
            if name == "Vip__c" else float(value) if name == "Score__c" else value
            for name, value in row.items() if value != "" and name not in (key, "Id")
        }  # fmt: skip
        try:
            if self._mischief.fails_row():
                raise RowError("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access")
            if job["operation"] == "update":
                record_id = self._org.update(job["object"], row["Id"], values, job["client"])
                is_new = False
            elif job["operation"] == "insert":
                record_id, is_new = self._org.create(job["object"], values, job["client"]), True
            else:
                record_id, is_new = self._org.upsert(job["object"], row[key], values, job["client"])
            job["successful"].append(
                {"sf__Id": record_id, "sf__Created": str(is_new).lower(), **row}
            )
        except RowError as error:
            said = error.result
            fields = ",".join(said["fields"]) or ""
            text = f"{said['statusCode']}:{said['message']}:{fields} --"
            job["failed"].append({"sf__Id": row.get("Id", ""), "sf__Error": text, **row})

    async def _job(self, request: web.Request) -> web.Response:
        job = self._jobs[request.match_info["job"]]
        if job["state"] == "InProgress":
            job["state"] = "JobComplete"
        return self._job_shown(job["id"])

    def _job_shown(self, name: str) -> web.Response:
        job = self._jobs[name]
        hidden = ("rows", "successful", "failed", "unprocessed", "client")
        shown = {key: value for key, value in job.items() if key not in hidden}
        shown["numberRecordsFailed"] = len(job.get("failed", ()))
        shown["numberRecordsProcessed"] = len(job.get("failed", ())) + len(
            job.get("successful", ())
        )
        return web.json_response(shown)

    async def _job_results(self, request: web.Request) -> web.Response:
        job = self._jobs[request.match_info["job"]]
        lists = {"successfulResults": "successful", "failedResults": "failed",
                 "unprocessedrecords": "unprocessed"}  # fmt: skip
        rows = job[lists[request.match_info["list"]]]
        names = list(rows[0] if rows else job["rows"][0])
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return web.Response(text=text.getvalue(), content_type="text/csv")


def refusal(status: int, code: str, message: str) -> web.Response:
    """Return an answer that refuses a request as a whole."""
    return web.json_response([{"errorCode": code, "message": message}], status=status)


def client_of(request: web.Request) -> str:
    """Return the name under which a client's changes are told in change events."""
    options = request.headers.get("Sforce-Call-Options", "")
    return options.removeprefix("client=") or "unknown"
