"""Clients: a program's writes on their way to a replica elsewhere, many at a time.

    async with Client("http://127.0.0.1:8401") as client:
        await client.submit("ann", {"email": "ann@example.com"}, source="crm")

``SyncClient`` is the same for programs without asyncio.
"""

from crdtstore.client.asynchronous import Client
from crdtstore.client.synchronous import SyncClient

__all__ = ["Client", "SyncClient"]
