"""Interest: which neighbour sends us which origin's frames.

Every origin has at most one provider at a time, so nobody is sent the same frame twice; a direct
link to the origin itself is preferred, and a provider that lags behind what another neighbour
claims to have is replaced after a while. One function decides, whatever happened.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from crdtstore import limits
from crdtstore.sync.vector import Vector


@dataclass(frozen=True, slots=True)
class Neighbour:
    """What is known of one open link: its number, the peer's origin, and what the peer has."""

    link: int
    origin: int
    claimed: Mapping[int, int]


@dataclass(slots=True)
class Requests:
    """What to send on each link: sequences after which frames are wanted, origins to stop."""

    wants: dict[int, Vector] = field(default_factory=dict)
    prunes: dict[int, list[int]] = field(default_factory=dict)


@dataclass(slots=True)
class _Provider:
    link: int
    sequence: int
    progress_ms: int
    is_fallback: bool
    is_void: bool = False


class Interest:
    """The providers of all origins. None is asked for more origins than a space may have."""

    def __init__(self) -> None:
        self._providers: dict[int, _Provider] = {}
        self._load: Counter[int] = Counter()

    def evaluate(
        self, neighbours: list[Neighbour], vector: Mapping[int, int], own_origin: int, now_ms: int
    ) -> Requests:
        """Return what has to be asked, given who is there and what we have."""
        requests = Requests()
        links = {neighbour.link: neighbour for neighbour in neighbours}
        origins = {
            origin
            for neighbour in neighbours
            for origin in (*neighbour.claimed, neighbour.origin)
            if origin != own_origin
        }
        for origin in [origin for origin in self._providers if origin not in origins]:
            provider = self._providers.pop(origin)
            if provider.link in links:
                requests.prunes.setdefault(provider.link, []).append(origin)
        self._load = Counter(provider.link for provider in self._providers.values())
        for origin in sorted(origins):
            self._evaluate_origin(origin, links, vector.get(origin, 0), now_ms, requests)
        return requests

    def forget_link(self, link: int) -> None:
        """Take note that a link is gone."""
        for origin in [o for o, provider in self._providers.items() if provider.link == link]:
            del self._providers[origin]

    def forget_all(self) -> None:
        """Ask everything anew: what we have has changed by other ways than frames."""
        for provider in self._providers.values():
            provider.is_void = True

    def _evaluate_origin(
        self,
        origin: int,
        links: Mapping[int, Neighbour],
        have: int,
        now_ms: int,
        requests: Requests,
    ) -> None:
        provider = self._providers.get(origin)
        stalled = None if provider is None or provider.is_void else provider
        if provider is not None and provider.link in links and not provider.is_void:
            if have > provider.sequence:
                provider.sequence, provider.progress_ms = have, now_ms
            claimed_most = max(n.claimed.get(origin, 0) for n in links.values())
            direct = [n for n in links.values() if n.origin == origin]
            is_direct = links[provider.link].origin == origin
            if claimed_most <= have:
                provider.progress_ms = now_ms
            if (is_direct or not direct or provider.is_fallback) and (
                now_ms - provider.progress_ms < limits.WANT_PATIENCE_MS
            ):
                return
        chosen = self._choose(origin, links, stalled)
        is_moved = provider is None or provider.link != chosen.link
        if is_moved and self._load[chosen.link] >= limits.ORIGINS_MAX:
            return
        if is_moved:
            self._load[chosen.link] += 1
        if provider is not None and provider.link in links and provider.link != chosen.link:
            requests.prunes.setdefault(provider.link, []).append(origin)
        is_fallback = chosen.origin != origin and stalled is not None
        self._providers[origin] = _Provider(chosen.link, have, now_ms, is_fallback)
        requests.wants.setdefault(chosen.link, {})[origin] = have

    @staticmethod
    def _choose(
        origin: int, links: Mapping[int, Neighbour], stalled: _Provider | None
    ) -> Neighbour:
        """Return the best provider: the origin itself, then who claims most, not who stalled."""
        return max(
            links.values(),
            key=lambda neighbour: (
                stalled is None or stalled.link != neighbour.link,
                neighbour.origin == origin,
                neighbour.claimed.get(origin, 0),
                -neighbour.link,
            ),
        )
