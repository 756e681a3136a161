"""Projections: golden records and events in Redis and PostgreSQL, kept by durable cursors."""
