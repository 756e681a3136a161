"""The bounds that all services share, each with its unit and reason."""

from typing import Final

SECRET_FILE_BYTES_MAX: Final = 64 * 1024
"""Bytes of a file with a secret: the largest is a private key."""

SHUTDOWN_S: Final = 5.0
"""Seconds that requests under way may take when the service ends."""

ASKING_TIMEOUT_S: Final = 60.0
"""Seconds that a command waits for a line of an answer."""
