"""Computed traits: definitions in TOML, folded from the event log into the replicated profiles."""
