"""HubSpot as a Crm."""

from collections.abc import Sequence

from replicas.crm.conversation import Conversation, Response, Session, Verdict
from replicas.crm.crm import Edit, Outcome, Page, Sighting
from replicas.crm.hubspot import answers, objects
from replicas.crm.hubspot.settings import HubSpotSettings
from replicas.crm.rounds import Row, in_rounds


class HubSpot:
    """One HubSpot account: the conversations by which it is read and written."""

    def __init__(self, settings: HubSpotSettings) -> None:
        self.settings = settings
        self.source = settings.source
        self.read_max = settings.batch_max

    def log_in(self, now_s: float) -> Conversation[Session]:
        """Use the token of the private app; a wrong one is found out by the first request."""
        yield from ()
        return Session(self.settings.address, {"Authorization": f"Bearer {self.settings.token}"})

    def judge(self, response: Response) -> Verdict:
        """Say what a response means for the exchange as a whole."""
        return answers.judge(response)

    def pull(self, object_name: str, cursor: str) -> Conversation[Page]:
        """Read the next page of records after a cursor."""
        return objects.pull(self.settings, self.settings.mapping.by_name[object_name], cursor)

    def read(self, object_name: str, ids: Sequence[str]) -> Conversation[list[Sighting]]:
        """Read records by id."""
        return objects.read(self.settings, self.settings.mapping.by_name[object_name], ids)

    def push(self, edits: Sequence[Edit]) -> Conversation[list[Outcome]]:
        """Write records; return what became of each edit."""
        waits = self.settings.waits
        return in_rounds(edits, self.settings.batch_max, self._send, waits)

    def _send(self, edits: Sequence[Edit]) -> Conversation[list[Row]]:
        return objects.send(self.settings, edits)
