"""The verdict on a trial: what must hold when everything was healed and has settled."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from crdtstore.model.profile import Profile
from crdtstore.store import Store
from crdtstore.testing.broken import LawBroken
from crdtstore.testing.outside import watched
from crdtstore.testing.programs import Step
from crdtstore.testing.promises import read
from crdtstore.testing.simulation.machine import Ticket
from crdtstore.testing.simulation.network import Network

Invariant: TypeAlias = Callable[[Profile], object]
"""A function of a profile that returns False or raises AssertionError where it does not hold."""


@dataclass(frozen=True, slots=True)
class Run:
    """One step that wrote, or a call of a writer, and the tickets of what it wrote."""

    step: Step
    tickets: tuple[Ticket, ...]
    was_refused: bool

    @property
    def outcome(self) -> str:
        """What became of it: durable, lost, refused, or unknown."""
        states = {ticket.state for ticket in self.tickets}
        if self.was_refused and len(self.tickets) == 1:
            return "refused"
        state = states.pop() if len(states) == 1 else "unknown"
        return "unknown" if state == "kept" else state


def settle(network: Network) -> None:
    """Heal and start everything, and wait until nothing moves; raises LawBroken."""
    for name in network.machines:
        network.restart(name)
    for wire in network.wires.values():
        network.heal(wire)
    network.advance(15)
    try:
        network.settle()
    except AssertionError as error:
        raise LawBroken(f"the replicas do not converge: {error}") from None


def check_equal(network: Network, profile_ids: Sequence[str]) -> None:
    """Compare the documents of all replicas, and the profiles that they show; raises LawBroken."""
    digests = {name: network.store(name).digest() for name in network.running()}
    if len({(digest.profiles, digest.digest) for digest in digests.values()}) > 1:
        raise LawBroken("the replicas hold different documents", f"  {digests}")
    for profile_id in profile_ids:
        shown: dict[str, str] = {}
        for name in network.running():
            with watched() as asked:
                profile = read(network.store(name), profile_id)
            if asked:
                raise LawBroken(
                    f"reading profile {profile_id!r} asks {asked[0]}: a policy of the schema does",
                    "Replicas that read at two moments would show two profiles.",
                )
            shown[repr(profile)] = name
        if len(shown) > 1:
            raise LawBroken(
                f"the replicas hold the same cells and show different profiles of {profile_id!r}",
                *(f"  {name} shows {text}" for text, name in shown.items()),
                "A policy of the schema depends on more than its candidates: see check_policy.",
            )


def check_invariants(
    network: Network, profile_ids: Sequence[str], invariants: Sequence[Invariant]
) -> None:
    """Ask every invariant of every profile at every replica; raises LawBroken."""
    for name in network.running() if invariants else ():
        for profile_id in profile_ids:
            profile = read(network.store(name), profile_id)
            if profile is None:
                continue
            for invariant in invariants:
                reason = ""
                try:
                    holds = invariant(profile) is not False
                except AssertionError as error:
                    holds, reason = False, str(error).partition("\n")[0]
                if not holds:
                    raise LawBroken(
                        f"invariant {invariant.__name__!r} does not hold at {name}"
                        + (f": {reason}" if reason else ""),
                        f"  profile {profile_id!r} is {dict(profile)}",
                    )


def check_serial(
    store: Store, alone: Store, profile_ids: Sequence[str], fields: Sequence[str]
) -> None:
    """Compare fields with those that the same writers made one after another; raises LawBroken."""
    for profile_id in profile_ids:
        profile, expected = read(store, profile_id), read(alone, profile_id)
        for field in fields:
            one = None if profile is None else profile.get(field)
            other = None if expected is None else expected.get(field)
            if repr(one) != repr(other):
                raise LawBroken(
                    f"field {field!r} of {profile_id!r} is {one!r}, though its writers make it "
                    f"{other!r} when they run one after another",
                    "  At least one wrote what it had computed from a value that another replaced.",
                    "  A counter takes increment(), a set add() and remove(), with no reading.",
                )
