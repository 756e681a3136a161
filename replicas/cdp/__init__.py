"""The CDP replica: events in, a durable log of them, and what they say in the profiles."""
