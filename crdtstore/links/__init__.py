"""Links of one store: who is sent what, and what comes in. No clock, no network, one thread."""
