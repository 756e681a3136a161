"""The configuration: every mistake is found before anything starts, and no secret is shown."""

from pathlib import Path

import pytest

from crdtstore.errors import ConfigurationError
from replicas.crm.budget import Window
from replicas.crm.configuration import load_configuration
from replicas.crm.hubspot.settings import HubSpotSettings
from replicas.crm.salesforce.settings import SalesforceSettings

SALESFORCE = """\
[salesforce]
login_address = "https://login.example"
client_id = "c"
secret_file = "secret"
windows = [{ calls = 100, seconds = 20 }]
poll_s = 5
[[salesforce.objects]]
name = "Contact"
key = "Key__c"
fields.email = { property = "Email", identifier = "email" }
"""
HUBSPOT = """\
[hubspot]
token_file = "secret"
app_id = "54321"
[[hubspot.objects]]
name = "contacts"
key = "key"
fields.email = { property = "email", identifier = "email" }
"""


def loaded(tmp_path: Path, text: str, top: str = 'name = "eu"\ndata = "d"\n'):  # type: ignore[no-untyped-def]
    (tmp_path / "secret").write_text("a-secret-of-ours\n")
    (tmp_path / "crm.toml").write_text(top + text)
    return load_configuration(tmp_path / "crm.toml")


def test_both_vendors_are_read(tmp_path: Path) -> None:
    configuration = loaded(tmp_path, SALESFORCE + HUBSPOT)
    first, second = configuration.vendors
    assert isinstance(first.vendor, SalesforceSettings)
    assert isinstance(second.vendor, HubSpotSettings)
    assert first.pace.windows == (Window(100, 20),)
    assert first.work.poll_s == 5
    assert first.vendor.mapping.by_name["Contact"].identifier == "salesforce_id"
    assert configuration.data == tmp_path / "d"
    assert "a-secret-of-ours" not in repr(configuration)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "there is no CRM"),
        (SALESFORCE.replace('client_id = "c"', ""), "client_id is missing"),
        (SALESFORCE.replace("poll_s = 5", 'poll_s = "5"'), "poll_s is a float"),
        (SALESFORCE.replace("poll_s = 5", "poll_s = -5"), "poll_s is too small"),
        (SALESFORCE.replace("poll_s = 5", "page_max = 0"), "page_max is too small"),
        (SALESFORCE.replace("poll_s", "pol_s"), "'pol_s' is unknown"),
        (SALESFORCE.replace("calls = 100, ", ""), "a window has calls and seconds"),
        (SALESFORCE.replace('"secret"', '"nowhere"'), "cannot read"),
        (SALESFORCE.replace("poll_s = 5", 'flow = "magic"'), "flow 'magic'"),
        (SALESFORCE.replace("poll_s = 5", 'flow = "jwt_bearer"'), "username is missing"),
        (SALESFORCE.replace("[[salesforce.objects]]", "[[salesforce.things]]"), "'things'"),
        (HUBSPOT.replace('app_id = "54321"', ""), "app_id"),
        (HUBSPOT.replace("app_id", 'webhook_listen = "127.0.0.1:1"\napp_id'), "webhook_url"),
        (HUBSPOT.replace("app_id", 'signatures = ["v9"]\napp_id'), "some of v1, v2, v3"),
        ("x = [", "not TOML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        loaded(tmp_path, text)


def test_the_replica_needs_a_name_and_an_address(tmp_path: Path) -> None:
    for top, says in (
        ('data = "d"\n', "name is missing"),
        ('name = "eu"\ndata = "d"\nlisten = "here"\n', "no address"),
        ('name = "eu"\ndata = "d"\npeers = [1]\n', "peers is a list of texts"),
    ):
        with pytest.raises(ConfigurationError, match=says):
            loaded(tmp_path, SALESFORCE, top)
    with pytest.raises(ConfigurationError, match="cannot read"):
        load_configuration(tmp_path / "nowhere.toml")
