"""The command line: a server to run, and a client to ask it."""
