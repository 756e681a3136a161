"""Segments: who fulfils which conditions, kept up to date from the change feed."""
