"""Query jobs of Bulk API 2.0 of the local Salesforce: records as they are now, page by page."""

import csv
import io
import itertools
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from tests.replicas.crm import soql
from tests.replicas.crm.salesforce_jobs import refusal
from tests.replicas.crm.salesforce_org import COLUMNS, Org

PAGE_MAX = 50_000


class QueryJobs:
    """The query jobs of one org. ``forget`` drops their results, as after a week."""

    def __init__(self, org: Org) -> None:
        self.made = 0
        self.fails = False
        self._org = org
        self._jobs: dict[str, dict[str, Any]] = {}
        self._found: dict[str, list[tuple[Any, ...]]] = {}
        self._numbers = itertools.count(1)

    def add_to(self, app: web.Application, root: str) -> None:
        """Add the addresses of query jobs to an application."""
        add = app.router.add_route
        add("POST", f"{root}/jobs/query", self._make)
        add("GET", f"{root}/jobs/query/{{job}}", self._job)
        add("GET", f"{root}/jobs/query/{{job}}/results", self._results)

    def forget(self) -> None:
        """Drop all jobs."""
        self._jobs.clear()
        self._found.clear()

    async def _make(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body.get("operation") not in ("query", "queryAll"):
            return refusal(400, "INVALIDOPERATION", "operation is query or queryAll")
        name, columns, rows = soql.run(body["query"], self._org.tables, lambda _: COLUMNS)
        if columns is None:
            return refusal(400, "API_ERROR", "COUNT is not supported by query jobs")
        if body["operation"] == "query":
            rows = [row for row in rows if not row["IsDeleted"]]
        job = f"750{next(self._numbers):012}"
        self.made += 1
        self._found[job] = [tuple(row[column] for column in columns) for row in rows]
        now = datetime.now(UTC) + self._org.skew
        self._jobs[job] = {
            "id": job, "operation": body["operation"], "object": name, "apiVersion": 62.0,
            "createdDate": now.strftime("%Y-%m-%dT%H:%M:%S.000+0000"), "state": "UploadComplete",
            "concurrencyMode": "Parallel", "contentType": "CSV", "lineEnding": "LF",
            "columnDelimiter": "COMMA", "columns": columns,
        }  # fmt: skip
        return self._shown(job)

    async def _job(self, request: web.Request) -> web.Response:
        job = self._jobs.get(request.match_info["job"])
        if job is None:
            return refusal(404, "NOT_FOUND", "The requested resource does not exist")
        following = {"UploadComplete": "InProgress", "InProgress": "JobComplete"}
        job["state"] = "Failed" if self.fails else following.get(job["state"], job["state"])
        return self._shown(job["id"])

    def _shown(self, name: str) -> web.Response:
        job = self._jobs[name]
        shown = {key: value for key, value in job.items() if key != "columns"}
        if job["state"] == "JobComplete":
            shown["numberRecordsProcessed"] = len(self._found[name])
        return web.json_response(shown)

    async def _results(self, request: web.Request) -> web.Response:
        job = self._jobs.get(request.match_info["job"])
        if job is None:
            return refusal(404, "NOT_FOUND", "The requested resource does not exist")
        if job["state"] != "JobComplete":
            return refusal(400, "INVALIDJOBSTATE", "the job has no results yet")
        start = int(request.query.get("locator", "0"))
        count = min(int(request.query.get("maxRecords", PAGE_MAX)), PAGE_MAX)
        found = self._found[job["id"]]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerow(job["columns"])
        for row in found[start : start + count]:
            writer.writerow([_cell(value) for value in row])
        end = start + count
        headers = {
            "Sforce-Locator": str(end) if end < len(found) else "null",
            "Sforce-NumberOfRecords": str(len(found[start:end])),
        }
        return web.Response(text=text.getvalue(), content_type="text/csv", headers=headers)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if type(value) is bool else str(value).replace("+0000", "Z")
