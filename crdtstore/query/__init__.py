"""Queries: a filter language, the order of values, and which indexes answer a filter. All pure."""
