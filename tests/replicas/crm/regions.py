"""Two regions: a CRM replica beside a Salesforce, and one beside a HubSpot, linked."""

from pathlib import Path
from typing import Any

from tests.replicas.crm.hubspot_account import value_of
from tests.replicas.crm.hubspot_server import HubSpotServer
from tests.replicas.crm.salesforce_server import SalesforceServer

FIELDS = ("email", "first_name", "last_name", "phone", "title")
SALESFORCE_NAMES = dict(
    zip(FIELDS, ("Email", "FirstName", "LastName", "Phone", "Title"), strict=True)
)
HUBSPOT_NAMES = dict(
    zip(FIELDS, ("email", "firstname", "lastname", "phone", "jobtitle"), strict=True)
)
FAST = """\
backoff_min_s = 0.02
backoff_max_s = 0.2
pause_s = 0.1
resend_after_s = 0.3
attempts = 12
"""
POLLS = "poll_s = 0.3\nrequest_timeout_s = 10\n"


def field_tables(vendor: str, names: dict[str, str]) -> str:
    """Return the mapping of the fields, in TOML."""
    lines = [f"[{vendor}.objects.fields]"]
    for field, name in names.items():
        more = ', identifier = "email"' if field == "email" else ""
        lines.append(f'{field} = {{ property = "{name}"{more} }}')
    return "\n".join(lines)


def write_salesforce(
    directory: Path, server: SalesforceServer, *, port: int, peers: list[str], more: str = POLLS
) -> Path:
    """Write the configuration of the replica beside Salesforce; return its path."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "secret").write_text(server.secret)
    path = directory / "crm.toml"
    path.write_text(
        f"""\
name = "eu"
data = "data"
listen = "127.0.0.1:{port}"
peers = {peers}
log_level = "info"

[salesforce]
login_address = "{server.url}"
client_id = "{server.client_id}"
secret_file = "secret"
{FAST}{more}
[[salesforce.objects]]
name = "Contact"
key = "Crdtstore_Id__c"
required = ["LastName"]
{field_tables("salesforce", SALESFORCE_NAMES)}
"""
    )
    return path


def write_hubspot(
    directory: Path,
    server: HubSpotServer,
    *,
    port: int,
    peers: list[str],
    hook_port: int,
    more: str = POLLS,
) -> Path:
    """Write the configuration of the replica beside HubSpot; return its path."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "token").write_text(server.token)
    (directory / "hook").write_text(server.secret)
    server.hook_url = "https://crm.example.com/hooks"
    server.hook_target = f"http://127.0.0.1:{hook_port}/hooks"
    path = directory / "crm.toml"
    path.write_text(
        f"""\
name = "us"
data = "data"
listen = "127.0.0.1:{port}"
peers = {peers}
log_level = "info"

[hubspot]
address = "{server.url}"
token_file = "token"
app_id = "{server.account.app_id}"
webhook_secret_file = "hook"
webhook_url = "{server.hook_url}"
webhook_listen = "127.0.0.1:{hook_port}"
{FAST}{more}
[[hubspot.objects]]
name = "contacts"
key = "crdtstore_id"
required = ["lastname"]
{field_tables("hubspot", HUBSPOT_NAMES)}
"""
    )
    return path


def salesforce_golden(server: SalesforceServer) -> dict[str, dict[str, Any]]:
    """Return the living contacts by profile id, as fields."""
    return {
        row["Crdtstore_Id__c"] or row["Id"]: {
            field: row[name] or "" for field, name in SALESFORCE_NAMES.items()
        }
        for row in server.org.tables["Contact"].values()
        if not row["IsDeleted"]
    }


def hubspot_golden(server: HubSpotServer) -> dict[str, dict[str, Any]]:
    """Return the living contacts by profile id or id, as fields."""
    return {
        value_of(record, "crdtstore_id") or record["id"]: {
            field: value_of(record, name) or "" for field, name in HUBSPOT_NAMES.items()
        }
        for record in server.account.records.values()
        if not record["archived"]
    }


def by_email(golden: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return contacts by their addresses."""
    found = {values["email"]: values for values in golden.values()}
    assert len(found) == len(golden), "two contacts have one address"
    return found
