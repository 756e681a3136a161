"""The write stream between a client and its replica: messages, writes, results; pure."""
