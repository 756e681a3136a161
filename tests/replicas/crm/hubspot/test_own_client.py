"""The local HubSpot is faithful: HubSpot's own client works with it."""

import asyncio

import pytest
from hubspot import HubSpot
from hubspot.crm.contacts import (
    BatchInputSimplePublicObjectBatchInput,
    BatchInputSimplePublicObjectBatchInputUpsert,
    BatchReadInputSimplePublicObjectId,
    PublicObjectSearchRequest,
    SimplePublicObjectInput,
    SimplePublicObjectInputForCreate,
)
from hubspot.crm.contacts.exceptions import ApiException

from tests.replicas.crm.hubspot_server import HubSpotServer


def use_all(server: HubSpotServer) -> None:
    """Use what the client offers of what the server has."""
    client = HubSpot(access_token=server.token, host=server.url)
    contacts = client.crm.contacts
    made = contacts.basic_api.create(
        SimplePublicObjectInputForCreate(properties={"lastname": "Ann", "email": "a@b.example"})
    )
    contacts.basic_api.update(made.id, SimplePublicObjectInput(properties={"phone": "1"}))
    assert contacts.basic_api.get_by_id(made.id, properties=["phone"]).properties["phone"] == "1"
    page = contacts.basic_api.get_page(limit=10, properties=["lastname"])
    assert [one.properties["lastname"] for one in page.results] == ["Ann"]
    use_batches(client, made.id)
    with pytest.raises(ApiException, match="409"):
        contacts.basic_api.create(
            SimplePublicObjectInputForCreate(properties={"email": "a@b.example"})
        )
    contacts.basic_api.archive(made.id)
    with pytest.raises(ApiException, match="404"):
        contacts.basic_api.get_by_id(made.id)
    wrong = HubSpot(access_token="wrong", host=server.url).crm.contacts.basic_api
    with pytest.raises(ApiException, match="401"):
        wrong.get_page()


def use_batches(client: HubSpot, record_id: str) -> None:
    """Write and read in batches, which may succeed in part."""
    api = client.crm.contacts.batch_api
    inputs = [
        {"id": "k1", "idProperty": "crdtstore_id", "objectWriteTraceId": "t1",
         "properties": {"lastname": "Bob"}},
        {"id": "k2", "idProperty": "crdtstore_id", "objectWriteTraceId": "t2",
         "properties": {"email": "no address"}},
    ]  # fmt: skip
    answer = api.upsert(BatchInputSimplePublicObjectBatchInputUpsert(inputs=inputs))
    (done,) = answer.results
    assert done.new
    assert answer.num_errors == 1
    assert answer.errors[0].category == "VALIDATION_ERROR"
    update = [{"id": record_id, "properties": {"jobtitle": "CEO"}}]
    assert api.update(BatchInputSimplePublicObjectBatchInput(inputs=update)).status == "COMPLETE"
    read = api.read(
        BatchReadInputSimplePublicObjectId(
            inputs=[{"id": record_id}], properties=["jobtitle"],
            properties_with_history=["jobtitle"],
        )
    )  # fmt: skip
    history = read.results[0].properties_with_history["jobtitle"]
    assert (history[0].value, history[0].source_type) == ("CEO", "INTEGRATION")
    found = client.crm.contacts.search_api.do_search(
        PublicObjectSearchRequest(
            filter_groups=[
                {"filters": [{"propertyName": "lastmodifieddate", "operator": "GTE", "value": "0"}]}
            ],
            sorts=[{"propertyName": "lastmodifieddate", "direction": "ASCENDING"}],
            properties=["lastname"],
            limit=10,
        )
    )
    assert found.total == 2


def test_the_vendors_client_works_with_the_local_server() -> None:
    async def main() -> None:
        server = await HubSpotServer().start()
        await asyncio.to_thread(use_all, server)
        await server.stop()

    asyncio.run(main())
