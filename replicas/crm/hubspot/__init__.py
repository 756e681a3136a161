"""HubSpot: its CRM API and webhooks, as conversations and pure functions."""
