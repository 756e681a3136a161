"""The local Salesforce is faithful: simple-salesforce, a client of others, works with it."""

import asyncio
from typing import Any

import pytest
import requests
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import (
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
    SalesforceResourceNotFound,
)

from tests.patience import PATIENCE_S
from tests.replicas.crm.salesforce_server import SalesforceServer


class _Plain(requests.adapters.HTTPAdapter):
    """Takes the requests that the client sends to https to our plain server."""

    def send(self, request: Any, *words: Any, **options: Any) -> Any:
        request.url = request.url.replace("https://", "http://", 1)
        return super().send(request, *words, **options)


def client_of(server: SalesforceServer) -> Salesforce:
    """Return a client with a session of the server."""
    session = requests.Session()
    session.mount("https://", _Plain())
    answer = requests.post(
        f"{server.url}/services/oauth2/token",
        data={"grant_type": "client_credentials", "client_id": server.client_id,
              "client_secret": server.secret}, timeout=PATIENCE_S,
    )  # fmt: skip
    token = answer.json()["access_token"]
    url = server.url.replace("http://", "https://")
    return Salesforce(instance_url=url, session_id=token, session=session, version="62.0")


def use_all(server: SalesforceServer) -> None:
    """Use what the client offers of what the server has."""
    client = client_of(server)
    made = client.Contact.create({"LastName": "Ann", "Email": "ann@example.com"})
    assert made["success"]
    client.Contact.update(made["id"], {"Phone": "1"})
    assert client.Contact.get(made["id"])["Phone"] == "1"
    assert client.Contact.upsert("Crdtstore_Id__c/k1", {"LastName": "Bob"}) == 201
    assert client.Contact.upsert("Crdtstore_Id__c/k1", {"LastName": "Bobby"}) == 200
    found = client.query_all("SELECT Id, LastName FROM Contact ORDER BY LastName")
    assert [one["LastName"] for one in found["records"]] == ["Ann", "Bobby"]
    assert client.query("SELECT COUNT() FROM Contact")["totalSize"] == 2
    assert client.query("SELECT Id FROM Contact WHERE Phone = 'it\\'s'")["totalSize"] == 0
    rows = [
        {"attributes": {"type": "Contact"}, "id": made["id"], "Phone": "2"},
        {"attributes": {"type": "Contact"}, "id": made["id"][:-1] + "x", "Phone": "2"},
    ]
    body = {"allOrNone": False, "records": rows}
    answers = client.restful("composite/sobjects", method="PATCH", json=body)
    assert [answer["success"] for answer in answers] == [True, False]
    client.Contact.delete(made["id"])
    with pytest.raises(SalesforceResourceNotFound):
        client.Contact.get(made["id"])
    with pytest.raises(SalesforceMalformedRequest):
        client.query("SELECT Nothing FROM Contact")
    use_bulk(client)
    server.end_sessions()
    with pytest.raises(SalesforceExpiredSession):
        client.query("SELECT Id FROM Contact")


def use_bulk(client: Salesforce) -> None:
    """Write through Bulk API 2.0: each row is in one of the three lists."""
    records = [{"Crdtstore_Id__c": f"b{number}", "LastName": f"L{number}"} for number in range(9)]
    records.append({"Crdtstore_Id__c": "b9", "LastName": "x" * 81})
    (job,) = client.bulk2.Contact.upsert(
        records=records, external_id_field="Crdtstore_Id__c", wait=0.05
    )
    assert (job["numberRecordsProcessed"], job["numberRecordsFailed"]) == (10, 1)
    failed = client.bulk2.Contact.get_failed_records(job["job_id"])
    assert "STRING_TOO_LONG" in failed
    succeeded = client.bulk2.Contact.get_successful_records(job["job_id"])
    assert succeeded.count("sf__") == 2
    assert len(succeeded.strip().splitlines()) == 10
    query = "SELECT Id, LastName, IsDeleted FROM Contact WHERE LastName >= 'L0'"
    pages = list(client.bulk2.Contact.query_all(query, max_records=4, wait=0.05))
    names = [line.split(",")[1].strip('"') for page in pages for line in page.splitlines()[1:]]
    assert sorted(names) == [f"L{number}" for number in range(9)]
    assert len(pages) == 3


def test_the_client_of_others_works_with_the_local_server() -> None:
    async def main() -> None:
        server = await SalesforceServer().start()
        await asyncio.to_thread(use_all, server)
        await server.stop()

    asyncio.run(main())
