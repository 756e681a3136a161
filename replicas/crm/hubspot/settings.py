"""What an operator says of a HubSpot account."""

from dataclasses import dataclass, field

from replicas.crm import limits
from replicas.crm.mapping import CrmMapping
from replicas.crm.rounds import Waits


@dataclass(frozen=True, slots=True)
class HubSpotSettings:
    """One account, and how it is spoken to. Limits are the vendor's, and may change.

    ``token`` is that of a private app. ``app_id`` is the number by which our own changes are known
    again. ``webhook_secret`` signs webhooks, and ``webhook_url`` is the address at which HubSpot
    reaches us, as it signs it; ``signatures`` are the versions that are taken: the older ones can
    be replayed.
    """

    token: str = field(repr=False)
    app_id: str
    mapping: CrmMapping
    address: str = "https://api.hubapi.com"
    api_version: str = "2026-03"
    source: str = "hubspot"
    webhook_secret: str = field(default="", repr=False)
    webhook_url: str = ""
    signatures: tuple[str, ...] = ("v3",)
    batch_max: int = limits.HUBSPOT_BATCH_MAX
    search_max: int = limits.HUBSPOT_SEARCH_MAX
    overlap_s: float = limits.OVERLAP_S
    waits: Waits = field(default_factory=Waits)

    def path(self, object_name: str) -> str:
        """Return the path of an object's API in the chosen version, dated or numbered."""
        if self.api_version.startswith("v"):
            return f"/crm/{self.api_version}/objects/{object_name}"
        return f"/crm/objects/{self.api_version}/{object_name}"
