"""Projections: golden records in Redis and PostgreSQL, kept from the change feed."""
