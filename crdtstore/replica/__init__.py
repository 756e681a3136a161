"""A running replica: a store with its links, on asyncio, and what is offered around it."""
