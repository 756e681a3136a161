"""Processes of one service: how many share its port, and what each of them has for itself.

    processes = 3                    # in the configuration

Each is a replica with an event log of its own, linked to those before it and to all peers. The
first one is what a single process would be: its name, its directory and its address are those of
the configuration, and it alone runs segments and projections, for which it has all profiles. The
others have names that end with their numbers, directories within that of the configuration, and
ports that follow the two which it names.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from crdtstore.errors import ConfigurationError
from replicas.cdp.configuration import Configuration
from replicas.cdp.followers import FollowSettings
from replicas.cdp.seen import hash_of


@dataclass(frozen=True, slots=True)
class Place:
    """Which process this is, of how many, and the directory where their sockets are."""

    number: int
    count: int
    sockets: Path

    def socket_of(self, number: int) -> Path:
        """Return where a process takes the events that others hand over."""
        return self.sockets / str(number)


def owner_of(profile_id: str, count: int) -> int:
    """Return the number of the process that keeps the events of a profile.

    What is sent again has the same profile, and so comes to the log that remembers it.
    """
    return hash_of(profile_id) % count


def configuration_of(whole: Configuration, number: int) -> Configuration:
    """Return what one process is configured as; raises ConfigurationError."""
    last = whole.processes - 1
    if not 0 <= number <= last:
        raise ConfigurationError(f"there is no process {number}; they are 0 to {last}")
    if number == 0:
        return whole
    host = "127.0.0.1" if whole.host in ("0.0.0.0", "::") else whole.host
    before = (f"http://{host}:{_port_of(whole, each)}" for each in range(number))
    return replace(
        whole,
        name=f"{whole.name}-{number}",
        data=_directory_of(whole, number),
        port=_port_of(whole, number),
        peers=(*whole.peers, *before),
        follow=FollowSettings(),
    )


def check_processes(whole: Configuration) -> None:
    """Check that the processes can do their work; raises ConfigurationError."""
    if whole.processes > 1 and whole.follow.postgresql is not None:
        raise ConfigurationError(
            "projections.postgresql goes with processes = 1: its event_stream is of one log"
        )
    number = whole.processes
    directory = _directory_of(whole, number)
    if directory.exists():
        raise ConfigurationError(
            f"{directory} is of a process {number}, and processes = {whole.processes}: let it work "
            f"with {number + 1} until nothing is behind, then move the directory away"
        )


def _directory_of(whole: Configuration, number: int) -> Path:
    return whole.data / f"process-{number}"


def _port_of(whole: Configuration, number: int) -> int:
    return whole.port if number == 0 else max(whole.port, whole.collect_port) + number
