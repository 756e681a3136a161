"""Exports: golden records as tables, for those who analyse them."""
