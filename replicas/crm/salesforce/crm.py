"""Salesforce as a Crm."""

from collections.abc import Sequence
from itertools import groupby

from replicas.crm.conversation import Conversation, Response, Session, Verdict
from replicas.crm.crm import Edit, Outcome, Page, Sighting
from replicas.crm.rounds import Row, in_rounds
from replicas.crm.salesforce import answers, bulk, collections, duplicates, login, queries
from replicas.crm.salesforce.settings import SalesforceSettings


class Salesforce:
    """One Salesforce org: the conversations by which it is read and written."""

    def __init__(self, settings: SalesforceSettings) -> None:
        self.settings = settings
        self.source = settings.source
        self.read_max = settings.collection_max

    def log_in(self, now_s: float) -> Conversation[Session]:
        """Get a token; raises CrmAccessDenied."""
        return login.log_in(self.settings, now_s)

    def judge(self, response: Response) -> Verdict:
        """Say what a response means for the exchange as a whole."""
        return answers.judge(response)

    def pull(self, object_name: str, cursor: str) -> Conversation[Page]:
        """Read the next page of records after a cursor."""
        return queries.pull(self.settings, self.settings.mapping.by_name[object_name], cursor)

    def read(self, object_name: str, ids: Sequence[str]) -> Conversation[list[Sighting]]:
        """Read records by id."""
        return queries.read(self.settings, self.settings.mapping.by_name[object_name], ids)

    def push(self, edits: Sequence[Edit]) -> Conversation[list[Outcome]]:
        """Write records, many of one kind in bulk; return what became of each edit."""
        outcomes = yield from duplicates.doubles(self.settings, edits)
        refused = {id(outcome.edit) for outcome in outcomes}
        others = [edit for edit in edits if id(edit) not in refused]
        ordered = collections.sorted_edits(self.settings, others)
        few: list[Edit] = []
        for (deletes, _, name), group in groupby(ordered, key=_kind):
            alike = list(group)
            if deletes or len(alike) < self.settings.bulk_min:
                few += alike
                continue
            outcomes += yield from self._push_many(name, alike)
        outcomes += yield from in_rounds(
            few, self.settings.collection_max, self._send, self.settings.waits
        )
        return outcomes

    def _push_many(self, name: str, edits: Sequence[Edit]) -> Conversation[list[Outcome]]:
        """Send edits of one object as a job; what that did not settle goes row by row."""
        mapped = self.settings.mapping.by_name[name]
        rows: list[Row] = []
        for part in bulk.in_jobs(edits):
            rows += yield from bulk.send_in_bulk(self.settings, mapped, part)
        settled = [
            Outcome(edit, row.result, row.record_id or edit.record_id, row.code, row.message)
            for edit, row in zip(edits, rows, strict=True)
            if row.result in ("done", "conflict", "permanent")
        ]
        others = [
            edit
            for edit, row in zip(edits, rows, strict=True)
            if row.result not in ("done", "conflict", "permanent")
        ]
        size = self.settings.collection_max
        settled += yield from in_rounds(others, size, self._send, self.settings.waits)
        return settled

    def _send(self, edits: Sequence[Edit]) -> Conversation[list[Row]]:
        return collections.send(self.settings, edits)


def _kind(edit: Edit) -> tuple[bool, bool, str]:
    return edit.is_deletion, not edit.record_id, edit.object
