"""Salesforce: its REST API, Bulk API 2.0 and change events, as conversations."""
