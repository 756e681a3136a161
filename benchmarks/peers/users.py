"""The user that a server runs as which refuses to run as root."""

import contextlib
import os
import pwd
from pathlib import Path
from typing import Final

from benchmarks.processes import Missing, user_group

_USERS: Final = ("postgres", "nobody")


def unprivileged_user() -> int | None:
    """Return a user who is not root, None for the present one; raises Missing."""
    if os.geteuid() != 0:
        return None
    for name in _USERS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_uid
    raise Missing("refuses to run as root, and there is no user postgres or nobody")


def own_by(folder: Path, user: int | None) -> None:
    """Give a folder and all that is in it to a user."""
    if user is None:
        return
    for each in (folder, *folder.rglob("*")):
        os.chown(each, user, user_group(user))
