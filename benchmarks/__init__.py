"""Benchmarks: what this machine does, in two sizes. Run them with ``python -m benchmarks``."""
