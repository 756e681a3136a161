"""What an operator says of a Salesforce org."""

from dataclasses import dataclass, field
from typing import Final

from replicas.crm import limits
from replicas.crm.mapping import CrmMapping
from replicas.crm.rounds import Waits

EVENTS: Final = ("cometd", "pubsub", "none")
"""How change events may come."""


@dataclass(frozen=True, slots=True)
class SalesforceSettings:
    """One org, and how it is spoken to. Limits are the vendor's, and may change.

    ``flow`` is ``client_credentials`` or ``jwt_bearer``; ``secret`` is then the client's secret or
    its private key in PEM. ``tag`` is the name by which our own changes are known again.
    ``events`` says how change events come: by ``cometd``, ``pubsub``, or ``none``.
    """

    login_address: str
    client_id: str
    secret: str = field(repr=False)
    mapping: CrmMapping
    flow: str = "client_credentials"
    username: str = ""
    audience: str = ""
    api_version: str = "62.0"
    source: str = "salesforce"
    tag: str = "crdtstore"
    collection_max: int = limits.SALESFORCE_COLLECTION_MAX
    page_max: int = limits.SALESFORCE_PAGE_MAX
    bulk_min: int = limits.SALESFORCE_BULK_MIN
    results_max: int = limits.SALESFORCE_RESULTS_MAX
    overlap_s: float = limits.OVERLAP_S
    waits: Waits = field(default_factory=Waits)
    events: str = "cometd"
    pubsub_address: str = "api.pubsub.salesforce.com:7443"

    @property
    def root(self) -> str:
        """The path under which the REST API of the chosen version lies."""
        return f"/services/data/v{self.api_version}"
