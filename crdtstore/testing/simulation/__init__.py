"""crdtstore.testing.simulation."""
